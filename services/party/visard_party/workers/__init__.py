"""A party's workers, as the party sees them: who holds which part of a gallery, and a search as the sum of theirs.

One of them evaluates the network. For a search the party asks each twice: what it holds, which the three parties compare before
they begin; and for its part of the answer. Workers of one part search with each other as parties do. Their answers are tables
over XOR, so that the whole one is their XOR, and what a caller gets does not depend on how many there are.

Writes stay the party's: it tells each worker which references were written since it has asked last, and the worker reads them
from the store. A worker that is away makes searches fail, never leave out what it holds.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from functools import reduce
from typing import TypeVar, cast

import numpy as np
from visard_common.background import Background
from visard_common.errors import Unavailable
from visard_common.limits import RETRY_SECONDS
from visard_engine.bits import ReplicatedBits
from visard_engine.channel import Channel
from visard_engine.field import Elements
from visard_wire.v1 import common_pb2, worker_pb2

from visard_party.config import PartyConfig
from visard_party.consistency.writes import Writes
from visard_party.peers.channel import SessionChannel
from visard_party.tables import Question
from visard_party.workers.asked import Described, Held, Wanted
from visard_party.workers.one import Worker

LOOK_SECONDS = 2.0
STILL_SECONDS = 2.0  # for which commits wait at most

T = TypeVar("T")
Distrust = Callable[[str], Awaitable[None]]


class Workers:
    """The workers of this party, in order. ``distrust`` is called with what one of them holds against the dealer."""

    def __init__(self, config: PartyConfig, writes: Writes, distrust: Distrust) -> None:
        self._writes = writes
        self._distrust = distrust
        self._seconds, self._patience = config.run_timeout, config.peer_timeout
        self._all = [Worker(config, ordinal, writes.watch()) for ordinal in range(len(config.workers))]

    def __len__(self) -> int:
        return len(self._all)

    async def hold(self, session: bytes, wanted: Wanted, count: int) -> Held:
        """Have the first ``count`` keep what a run is about; raises Unavailable where one is away, StoreError."""
        request = worker_pb2.HoldRequest(
            session=session,
            model=wanted.place.model,
            gallery=wanted.place.gallery,
            field_bits=wanted.field_bits,
            workers=count,
            at_unix_ms=wanted.at_unix_ms,
            without=wanted.without,
        )
        try:
            return await self._held_now(request)
        except TimeoutError:  # one reads a whole part: not while commits wait
            await _all_of([worker.hold(request, self._patience) for worker in self._all[:count]])
        try:
            return await self._held_now(request)
        except TimeoutError as error:
            raise Unavailable("the workers are slow to say what they hold", retry_after=RETRY_SECONDS) from error

    async def _held_now(self, request: worker_pb2.HoldRequest) -> Held:
        """What they hold, with no commit half done while they read the store; raises TimeoutError."""
        async with self._writes.still(), asyncio.timeout(STILL_SECONDS):
            held = await _all_of([worker.hold(request, self._patience) for worker in self._all[: request.workers]])
        return Held(request.session, tuple(held))

    def ended(self, session: bytes) -> None:
        """A run is over, however it went: what is held for it is let go, as they are told the next time."""
        for worker in self._all:
            worker.ended.append(session)

    async def search(
        self, channel: Channel, held: Held, terms: bytes, probes: Sequence[Elements], asked: Question
    ) -> ReplicatedBits:
        """The tables of some probes (D,), one after the other, of all that is held. Raises ServiceFault.

        ``terms`` are those of the run; what it costs is counted in ``channel``, the rounds of the slowest once.
        """
        request = worker_pb2.SearchRequest(
            session=held.session,
            terms=terms,
            probes=b"".join(probe.tobytes() for probe in probes),
            photos=len(probes),
            limits=asked.limits,
            mean=asked.mean.vector if asked.mean is not None else (),
            mean_limit=asked.mean.limit if asked.mean is not None else 0,
            room=asked.room,
            cell_seed=asked.seed,
        )
        having = [worker for worker, part in zip(self._all, held.parts, strict=False) if part.references]
        answers = await _all_of([worker.search(request, self._seconds) for worker in having])
        sent, kits = sum(a.sent_bytes for a in answers), sum(a.kit_bytes for a in answers)
        _carrier(channel).add_cost(max(a.rounds for a in answers), sent, kits)
        return reduce(_joined, map(_bits, answers))

    def idlest(self) -> int:
        """The number of the worker that describes photos next, as party 0 sees it; 0 where none can: the party does it itself."""
        now = time.monotonic()
        able = [worker for worker in self._all if not worker.state.reason and worker.rests_until <= now]
        if not able:
            return 0
        chosen = min(able, key=lambda worker: (worker.describing, worker.used))
        chosen.used = now
        return 1 + chosen.ordinal

    async def describe(self, channel: Channel, number: int, named: Described, images: Elements) -> list[Elements]:
        """The descriptors (D,) of images (N, C, H, W), from the worker of this number. Raises ServiceFault.

        What it costs is counted in ``channel``.
        """
        if number > len(self._all):
            raise Unavailable("party 0 has more workers than this party", retry_after=RETRY_SECONDS)
        request = worker_pb2.DescribeRequest(
            session=named.session,
            terms=named.terms,
            model=named.model,
            model_digest=named.model_digest,
            photos=len(images),
        )
        answer = await self._all[number - 1].describe(request, images.tobytes(), self._seconds)
        _carrier(channel).add_cost(answer.rounds, answer.sent_bytes, answer.kit_bytes)
        return list(np.frombuffer(answer.descriptors, images.dtype).reshape(len(images), -1))

    @property
    def states(self) -> list[common_pb2.WorkerState]:
        """How they were when they were asked last, in order."""
        return [worker.state for worker in self._all]

    def keep(self, work: Background) -> None:
        """Begin what is done by itself: looking."""
        if self._all:
            work.every(LOOK_SECONDS, "workers", self.look)

    async def look(self) -> None:
        """Tell them what was written, so that what is erased leaves their memory, and hear how they are.

        What one of them holds against the dealer, this party does as well.
        """
        found = await asyncio.gather(*(worker.look(self._patience) for worker in self._all))
        for worker, problem in zip(self._all, found, strict=True):
            if problem:
                await self._distrust(f"at {worker.name}, {problem}")

    async def close(self) -> None:
        """Close the channels to them."""
        for worker in self._all:
            await worker.close()


async def _all_of(calls: Iterable[Coroutine[None, None, T]]) -> list[T]:
    """What all of them answer; when one fails the others are given up."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _carrier(channel: Channel) -> SessionChannel:
    """The channel of a party's run, which counts what is done for it elsewhere."""
    return cast(SessionChannel, channel)


def _bits(answer: worker_pb2.SearchResponse) -> ReplicatedBits:
    pieces = [np.frombuffer(piece, np.uint64) for piece in (answer.piece_own, answer.piece_previous)]
    return ReplicatedBits(np.stack(pieces), answer.bits)


def _joined(one: ReplicatedBits, other: ReplicatedBits) -> ReplicatedBits:
    return ReplicatedBits(one.shared ^ other.shared, one.count)
