"""Batches: requests that wait at the same time go through a network together, in the rounds of one.

A batch has a session of its own. Party 0 calls the members, each in its own session, hears from the others who is there, and
says who is taken along; from then on every party holds the images and kits of all members, and nothing that happens to one of
them (its caller gives up, its time is over) touches the others. Each goes on alone with its descriptors.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Collection, Coroutine, Sequence
from contextlib import asynccontextmanager
from contextvars import Context
from dataclasses import dataclass, field

import numpy as np
from visard_common.deadline import within
from visard_common.errors import ServiceFault, Unavailable
from visard_common.limits import FOLLOWERS, LEADER, RETRY_SECONDS
from visard_engine.describe import AT_ONCE, describe_each
from visard_engine.errors import InputRefused, ProtocolError
from visard_engine.field import Elements
from visard_engine.kits import Kit
from visard_engine.session import Run

from visard_party.batching.queue import BatchQueue, Call, decode_members, encode_members
from visard_party.faults import fault_of
from visard_party.metrics import BATCH_IMAGES
from visard_party.models import Published
from visard_party.peers.channel import SessionChannel
from visard_party.peers.links import PeerLinks
from visard_party.peers.mailbox import SessionAborted
from visard_party.peers.sessions import SESSION_BYTES

_LOOK_SECONDS = 0.05  # a follower that waits for a member looks so often whether its request has ended meanwhile


class _NoBatch(Exception):
    """The batch's session could not be opened; its members have been told why."""


@dataclass(eq=False)
class Member:
    """A request's images, their kits, and the future of their descriptors."""

    channel: SessionChannel
    kits: Sequence[Kit]
    model: Published
    images: Elements = field(repr=False)
    descriptors: "asyncio.Future[list[Elements]]" = field(repr=False)
    since: float = field(default_factory=time.monotonic)

    @property
    def network(self) -> object:
        """What it goes through: a version of a model; a name that was withdrawn and published again is another model."""
        return self.model.name, self.model.created_unix_ms, self.model.version

    @property
    def size(self) -> int:
        """How many images it has."""
        return len(self.images)

    def begin(self) -> None:
        """Its turn has come; the call was a part of the agreement, not a round of the engine."""
        self.channel.begin_engine()
        self.channel.add_wait(time.monotonic() - self.since)

    def fail(self, error: BaseException) -> None:
        """End it without descriptors, for this reason; nothing where it has ended already."""
        if not self.descriptors.done():
            self.descriptors.set_exception(error)

    def answer(self, found: list[Elements | InputRefused], channel: SessionChannel, part: float) -> None:
        """The member's descriptors, unless one of its images is refused, and its part of what the batch has cost."""
        self.channel.add_cost(channel.rounds, int(part * channel.sent_bytes))
        for refused in found:
            if isinstance(refused, InputRefused):
                self.fail(refused)
        if not self.descriptors.done():
            self.descriptors.set_result([output for output in found if not isinstance(output, InputRefused)])


@dataclass
class _Batch:
    """One batch at a follower: who was called, and who has come."""

    call: Call
    present: dict[bytes, Member] = field(default_factory=dict)
    joined: asyncio.Event = field(default_factory=asyncio.Event)


class Batches:
    """Describes requests' images: several requests in one evaluation of their network where several wait."""

    def __init__(self, links: PeerLinks, at_once: int, round_seconds: float, seconds: float) -> None:
        self._links = links
        self._round_seconds = round_seconds
        self._seconds = seconds
        self._queue: BatchQueue[Member] = BatchQueue(AT_ONCE, at_once)
        self._called: dict[bytes, _Batch] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def describe(
        self, channel: SessionChannel, kits: Sequence[Kit], model: Published, images: Elements
    ) -> list[Elements]:
        """The descriptors (D,) of a request's images (N, C, H, W), one kit each; raises EngineError and ServiceFault."""
        member = Member(channel, kits, model, images, asyncio.get_running_loop().create_future())
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
        while members := self._queue.form():
            self._spawn(self._lead(members))

    async def _lead(self, members: list[Member]) -> None:
        call = Call(os.urandom(SESSION_BYTES), tuple(member.channel.session for member in members))
        try:
            with contextlib.suppress(_NoBatch):
                await self._led(call, members)
        finally:
            self._queue.under_way -= 1
            self._begin()

    async def _led(self, call: Call, members: list[Member]) -> None:
        async with self._session(call.batch, members) as channel:
            for member in members:
                await member.channel.exchange(dict.fromkeys(FOLLOWERS, call.encode()), ())
            replies = await channel.exchange({}, FOLLOWERS)
            here = [decode_members(replies[peer], len(members)) for peer in FOLLOWERS]
            taken = [not m.descriptors.done() and all(at) for m, *at in zip(members, *here, strict=True)]
            await channel.exchange(dict.fromkeys(FOLLOWERS, encode_members(taken)), ())
            await self._evaluate(channel, _chosen(members, taken))

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
            with contextlib.suppress(_NoBatch):
                await self._followed(batch)
        finally:
            del self._called[batch.call.batch]

    async def _followed(self, batch: _Batch) -> None:
        call = batch.call
        async with self._session(call.batch, batch.present.values()) as channel:
            await self._gathered(batch)
            here = [
                session in batch.present and not batch.present[session].descriptors.done() for session in call.members
            ]
            await channel.exchange({LEADER: encode_members(here)}, ())
            taken = decode_members((await channel.exchange({}, (LEADER,)))[LEADER], len(call.members))
            if any(chosen and not known for chosen, known in zip(taken, here, strict=True)):
                raise ProtocolError("the leader takes along who is not here")
            await self._evaluate(channel, _chosen([batch.present.get(session) for session in call.members], taken))

    async def _gathered(self, batch: _Batch) -> None:
        """Until everybody is here whose request is under way at this party, but no longer than the leader waits."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._round_seconds / 2):
                while any(s in self._links.sessions.mailboxes and s not in batch.present for s in batch.call.members):
                    batch.joined.clear()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(_LOOK_SECONDS):
                            await batch.joined.wait()

    @asynccontextmanager
    async def _session(self, batch: bytes, members: Collection[Member]) -> AsyncIterator[SessionChannel]:
        """The batch's channel. Whoever has no descriptors at its end is told why; of a failure the peers are told, too."""
        fault: ServiceFault = _given_up()
        try:
            channel = SessionChannel(self._links, batch, self._round_seconds)
        except Exception as error:
            for member in members:
                member.fail(fault_of(error))
            raise _NoBatch from error
        try:
            async with within(self._seconds, "the run"):
                yield channel
        except Exception as error:
            fault = fault_of(error)
            if not isinstance(error, SessionAborted):
                channel.abort(fault.code, fault.message, fault.retry_after)
        finally:
            for member in members:
                member.fail(fault)
            channel.close()

    async def _evaluate(self, channel: SessionChannel, members: list[Member]) -> None:
        """Evaluate the network on all members' images, one after the other, and give each its own descriptors."""
        for member in members:
            member.begin()
        if not members:
            return
        if len({member.network for member in members}) > 1:
            raise ProtocolError("the leader calls requests of several networks to one batch")
        kits = [kit for member in members for kit in member.kits]
        images = np.concatenate([member.images for member in members])
        BATCH_IMAGES.observe(len(images))
        channel.begin_engine()
        found = await describe_each(Run(channel), kits, members[0].model.model, images)
        for member in members:
            member.answer(found[: member.size], channel, member.size / len(images))
            found = found[member.size :]

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        """A batch that goes on whatever becomes of the member that started it; it tells all members how it ended."""
        task = asyncio.get_running_loop().create_task(work, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _given_up() -> ServiceFault:
    return Unavailable("a party gave the request up", retry_after=RETRY_SECONDS)


def _chosen(members: Sequence[Member | None], taken: Sequence[bool]) -> list[Member]:
    """The members that are taken along; the others are told that they are not."""
    for member, chosen in zip(members, taken, strict=True):
        if member is not None and not chosen:
            member.fail(_given_up())
    return [member for member, chosen in zip(members, taken, strict=True) if member is not None and chosen]
