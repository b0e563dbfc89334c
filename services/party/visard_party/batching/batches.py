"""Batches: requests that wait at the same time go through a network together, in the rounds of one.

A batch has a session of its own. Party 0 calls the members, each in its own session, hears from the others who is there, and
says who is taken along; from then on every party holds the images and kits of all members, and nothing that happens to one of
them (its caller gives up, its time is over) touches the others. Each goes on alone with its descriptors.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Collection, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from contextvars import Context
from dataclasses import dataclass, field

from visard_common.errors import Unavailable
from visard_common.limits import FOLLOWERS, LEADER, SESSION_BYTES
from visard_engine.describe import AT_ONCE
from visard_engine.errors import ProtocolError
from visard_engine.field import Elements
from visard_engine.kits import Kit

from visard_party.batching.members import Member, chosen_of, evaluate
from visard_party.batching.queue import BatchQueue, Call, decode_members, encode_members
from visard_party.batching.session import NoBatch, opened
from visard_party.models import Published
from visard_party.peers.channel import SessionChannel
from visard_party.peers.links import PeerLinks

_LOOK_SECONDS = 0.05  # a follower that waits for a member looks so often whether its request has ended meanwhile


@dataclass
class _Batch:
    """One batch at a follower: who was called, and who has come."""

    call: Call
    present: dict[bytes, Member] = field(default_factory=dict)
    joined: asyncio.Event = field(default_factory=asyncio.Event)


class Batches:
    """Describes requests' images: several requests in one evaluation of their network where several wait.

    ``at_once`` and ``patience`` are the queue's ``batches`` and ``patience``, at the leader.
    """

    def __init__(
        self, links: PeerLinks, at_once: int, round_seconds: float, seconds: float, patience: float = 0.0
    ) -> None:
        self._links = links
        self._round_seconds = round_seconds
        self._seconds = seconds
        self._queue: BatchQueue[Member] = BatchQueue(AT_ONCE, at_once, patience)
        self._looking: asyncio.TimerHandle | None = None
        self._called: dict[bytes, _Batch] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def describe(
        self, channel: SessionChannel, kits: Sequence[Kit], model: Published, images: Elements
    ) -> list[Elements]:
        """The descriptors (D,) of a request's images (N, C, H, W), one kit each; raises EngineError and ServiceFault."""
        member = Member(channel, kits, model, images, rounds=channel.rounds)
        if self._links.party != LEADER:
            await self._join(member)
            return await member.descriptors
        self._queue.waiting.append(member)
        self._begin()
        try:
            return await member.descriptors
        finally:
            if member in self._queue.waiting:
                self._queue.waiting.remove(member)

    def _begin(self) -> None:
        while members := self._queue.form(time.monotonic()):
            self._spawn(self._lead(members))
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None
        if seconds := self._queue.looks_again(time.monotonic()):
            self._looking = asyncio.get_running_loop().call_later(seconds, self._begin)

    async def _lead(self, members: list[Member]) -> None:
        call = Call(os.urandom(SESSION_BYTES), tuple(member.channel.session for member in members))
        try:
            with contextlib.suppress(NoBatch):
                await self._led(call, members)
        finally:
            self._queue.under_way -= 1
            self._begin()

    async def _led(self, call: Call, members: list[Member]) -> None:
        async with self._opened(call, members) as channel:
            for member in members:
                await member.channel.exchange(dict.fromkeys(FOLLOWERS, call.encode()), ())
            replies = await channel.exchange({}, FOLLOWERS)
            here = [decode_members(replies[peer], len(members)) for peer in FOLLOWERS]
            taken = [not m.descriptors.done() and all(at) for m, *at in zip(members, *here, strict=True)]
            await channel.exchange(dict.fromkeys(FOLLOWERS, encode_members(taken)), ())
            await evaluate(channel, chosen_of(members, taken))

    async def _join(self, member: Member) -> None:
        """At a follower: hear from the leader which batch it is, and join it; raises EngineError and ServiceFault."""
        channel = member.channel
        # it may wait at the leader as long as the caller waits
        call = Call.decode((await channel.exchange({}, (LEADER,), self._seconds))[LEADER])
        if call.batch in self._links.sessions.finished:
            raise Unavailable("the request came too late for its batch")
        known = self._called.get(call.batch)
        batch = known or _Batch(call)
        if batch.call != call or channel.session not in call.members:
            raise ProtocolError("the leader calls one request to another's batch")
        batch.present[channel.session] = member
        batch.joined.set()
        if known is None:
            self._called[call.batch] = batch
            self._spawn(self._follow(batch))

    async def _follow(self, batch: _Batch) -> None:
        try:
            with contextlib.suppress(NoBatch):
                await self._followed(batch)
        finally:
            del self._called[batch.call.batch]

    async def _followed(self, batch: _Batch) -> None:
        call = batch.call
        async with self._opened(call, batch.present.values()) as channel:
            await self._gathered(batch)
            here = [
                session in batch.present and not batch.present[session].descriptors.done() for session in call.members
            ]
            await channel.exchange({LEADER: encode_members(here)}, ())
            taken = decode_members((await channel.exchange({}, (LEADER,)))[LEADER], len(call.members))
            if any(chosen and not known for chosen, known in zip(taken, here, strict=True)):
                raise ProtocolError("the leader takes along who is not here")
            await evaluate(channel, chosen_of([batch.present.get(session) for session in call.members], taken))

    async def _gathered(self, batch: _Batch) -> None:
        """Until everybody is here whose request is under way at this party, but no longer than the leader waits."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._round_seconds / 2):
                while any(s in self._links.sessions.mailboxes and s not in batch.present for s in batch.call.members):
                    batch.joined.clear()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(_LOOK_SECONDS):
                            await batch.joined.wait()

    def _opened(self, call: Call, members: Collection[Member]) -> AbstractAsyncContextManager[SessionChannel]:
        return opened(self._links, call.batch, members, self._round_seconds, self._seconds)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        """A batch that goes on whatever becomes of the member that started it; it tells all members how it ended."""
        task = asyncio.get_running_loop().create_task(work, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
