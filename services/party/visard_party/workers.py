"""A party's workers, as the party sees them: who holds which part of a gallery, and a search as the sum of theirs.

The party computes the descriptors, and asks each worker twice: what it holds, which the three parties compare before they begin;
and for its part of the answer. Workers of one part search with each other as parties do. Their answers are tables over XOR, so
that the whole one is their XOR, and what a caller gets does not depend on how many there are.

Writes stay the party's: it tells each worker which references were written since it has asked last, and the worker reads them
from the store. A worker that is away makes searches fail, never leave out what it holds.
"""

import asyncio
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from typing import TypeVar

import grpc
import numpy as np
from visard_common.background import Background
from visard_common.channels import Renewed
from visard_common.errors import ServiceFault
from visard_common.rpc import fault_of
from visard_engine.bits import ReplicatedBits
from visard_engine.field import Elements
from visard_wire.digests import of_parts
from visard_wire.v1 import common_pb2, worker_pb2, worker_pb2_grpc

from visard_party.config import PartyConfig
from visard_party.consistency.changes import Changes
from visard_party.consistency.writes import Writes
from visard_party.gallery import Rows
from visard_party.peers.channel import SessionChannel
from visard_party.store.contents import Place
from visard_party.tables import Question

LOOK_SECONDS = 10.0

T = TypeVar("T")


@dataclass(frozen=True)
class Wanted:
    """Which references a run is about: a field's of a place, but for those whose time is over then, and for one subject's."""

    place: Place
    field_bits: int
    at_unix_ms: int
    without: str = ""


@dataclass(frozen=True)
class Held:
    """What the workers keep for a run, each its part: public. ``room`` is that of the longest name of all."""

    session: bytes
    parts: tuple[worker_pb2.HoldResponse, ...] = ()

    def __len__(self) -> int:
        return sum(part.references for part in self.parts)

    @property
    def room(self) -> int:
        """Bytes for a subject in an answer."""
        return max(part.room for part in self.parts)

    @property
    def sizes(self) -> set[int]:
        """Elements of the descriptors: one number, but where a model was published anew in another way."""
        return {part.descriptor_size for part in self.parts if part.references}

    @property
    def digest(self) -> bytes:
        """Of all public names, and of who has which."""
        parts = [part.references.to_bytes(8, "big") + part.digest for part in self.parts]
        return of_parts(b"visard parts v1", parts)


Searched = Rows | Held


class Workers:
    """The workers of this party, in order."""

    def __init__(self, config: PartyConfig, writes: Writes) -> None:
        self._writes = writes
        self._seconds, self._patience = config.run_timeout, config.peer_timeout
        self._all = [_Worker(config, ordinal, writes.watch()) for ordinal in range(len(config.workers))]

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
        async with self._writes.still():  # they read the store
            held = await _all_of([worker.hold(request, self._patience) for worker in self._all[:count]])
        return Held(session, tuple(held))

    async def search(
        self, channel: SessionChannel, held: Held, terms: bytes, probes: Sequence[Elements], asked: Question
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
        channel.add_cost(max(a.rounds for a in answers), sum(a.sent_bytes for a in answers))
        return reduce(_joined, map(_bits, answers))

    @property
    def states(self) -> list[common_pb2.WorkerState]:
        """How they were when they were asked last, in order."""
        return [worker.state for worker in self._all]

    def keep(self, work: Background) -> None:
        """Begin what is done by itself: looking."""
        if self._all:
            work.every(LOOK_SECONDS, "workers", self.look)

    async def look(self) -> None:
        """Tell them what was written, so that what is erased leaves their memory, and hear how they are."""
        await asyncio.gather(*(worker.look(self._patience) for worker in self._all))

    async def close(self) -> None:
        """Close the channels to them."""
        for worker in self._all:
            await worker.close()


class _Worker:
    """One of them, and what has been written since it was asked last."""

    def __init__(self, config: PartyConfig, ordinal: int, changes: Changes) -> None:
        self.name = f"worker {ordinal} of party {config.index}"
        self._stub = Renewed(config.tls, f"party/{config.index}", config.workers[ordinal], worker_pb2_grpc.WorkerStub)
        self._changes = changes
        self.state = common_pb2.WorkerState(reason="it was not asked yet")
        self._lock = asyncio.Lock()  # else one that asks later could hear sooner, and know less

    async def hold(self, request: worker_pb2.HoldRequest, seconds: float) -> worker_pb2.HoldResponse:
        """See Workers.hold."""
        async with self._lock:
            with self._telling() as told:
                whole = worker_pb2.HoldRequest(told=told)
                whole.MergeFrom(request)
                return await self._stub.current().Hold(whole, timeout=seconds)

    async def search(self, request: worker_pb2.SearchRequest, seconds: float) -> worker_pb2.SearchResponse:
        """See Workers.search."""
        with self._faults():
            return await self._stub.current().Search(request, timeout=seconds)

    async def look(self, seconds: float) -> None:
        """See Workers.look."""
        async with self._lock:
            try:
                with self._telling() as told:
                    self.state = await self._stub.current().Tell(told, timeout=seconds)
            except ServiceFault as fault:
                self.state = common_pb2.WorkerState(reason=fault.message)

    @contextmanager
    def _telling(self) -> Iterator[worker_pb2.TellRequest]:
        """What has been written since it was told last; where that does not reach it, it is told the next time."""
        taken = self._changes.take()
        try:
            with self._faults():
                yield worker_pb2.TellRequest(changed=sorted(taken.references), everything=taken.everything)
        except BaseException:
            self._changes.give_back(taken)
            raise

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except grpc.aio.AioRpcError as error:
            raise fault_of(error, self.name) from error

    async def close(self) -> None:
        await self._stub.close()


async def _all_of(calls: Iterable[Coroutine[None, None, T]]) -> list[T]:
    """What all of them answer; when one fails the others are given up."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _bits(answer: worker_pb2.SearchResponse) -> ReplicatedBits:
    pieces = [np.frombuffer(piece, np.uint64) for piece in (answer.piece_own, answer.piece_previous)]
    return ReplicatedBits(np.stack(pieces), answer.bits)


def _joined(one: ReplicatedBits, other: ReplicatedBits) -> ReplicatedBits:
    return ReplicatedBits(one.shared ^ other.shared, one.count)
