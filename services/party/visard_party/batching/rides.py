"""Rides: requests that wait at the same time go through a network in one run, in the rounds of one.

A ride has a session of its own. Party 0 calls the riders, each in its own session, hears from the others who is there, and
says who rides; from then on every party holds the images and kits of all riders, and nothing that happens to one of them
(its caller gives up, its time is over) touches the others. Each goes on alone with its descriptors.
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

from visard_party.batching.boarding import Call, Platform, decode_riders, encode_riders
from visard_party.faults import fault_of
from visard_party.metrics import RIDE_IMAGES
from visard_party.models import Published
from visard_party.peers.channel import SessionChannel
from visard_party.peers.links import PeerLinks
from visard_party.peers.mailbox import SessionAborted
from visard_party.peers.sessions import SESSION_BYTES

_LOOK_SECONDS = 0.05  # a follower that waits for a rider looks so often whether its request has ended meanwhile


class _NoRide(Exception):
    """The ride's session could not be opened; its riders have been told why."""


@dataclass(eq=False)
class Rider:
    """A request's images, their kits, and the future of their descriptors."""

    channel: SessionChannel
    kits: Sequence[Kit]
    model: Published
    images: Elements = field(repr=False)
    descriptors: "asyncio.Future[list[Elements]]" = field(repr=False)
    since: float = field(default_factory=time.monotonic)

    @property
    def network(self) -> object:
        """A version of a model; a name that was withdrawn and published again is another model."""
        return self.model.name, self.model.created_unix_ms, self.model.version

    @property
    def size(self) -> int:
        """Its images."""
        return len(self.images)

    def depart(self) -> None:
        """Its turn has come; the call was a part of the agreement, not a round of the engine."""
        self.channel.rounds = 0
        self.channel.waited_seconds = time.monotonic() - self.since

    def fail(self, error: BaseException) -> None:
        """No descriptors, for this reason."""
        if not self.descriptors.done():
            self.descriptors.set_exception(error)

    def arrive(self, found: list[Elements | InputRefused], channel: SessionChannel, part: float) -> None:
        """The rider's descriptors, unless one of its images is refused, and its part of what the ride has cost."""
        self.channel.add_cost(channel.rounds, int(part * channel.sent_bytes))
        for refused in found:
            if isinstance(refused, InputRefused):
                self.fail(refused)
        if not self.descriptors.done():
            self.descriptors.set_result([output for output in found if not isinstance(output, InputRefused)])


@dataclass
class _Ride:
    """One ride at a follower: who was called, and who has come."""

    call: Call
    aboard: dict[bytes, Rider] = field(default_factory=dict)
    boarded: asyncio.Event = field(default_factory=asyncio.Event)


class Rides:
    """Takes requests through networks, several in one run where several wait."""

    def __init__(self, links: PeerLinks, at_once: int, round_seconds: float, seconds: float) -> None:
        self._links = links
        self._round_seconds = round_seconds
        self._seconds = seconds
        self._platform: Platform[Rider] = Platform(AT_ONCE, at_once)
        self._called: dict[bytes, _Ride] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def describe(
        self, channel: SessionChannel, kits: Sequence[Kit], model: Published, images: Elements
    ) -> list[Elements]:
        """The descriptors (D,) of a request's images (N, C, H, W), one kit each; raises EngineError and ServiceFault."""
        rider = Rider(channel, kits, model, images, asyncio.get_running_loop().create_future())
        if self._links.party != LEADER:
            await self._board(rider)
            return await rider.descriptors
        self._platform.waiting.append(rider)
        self._depart()
        try:
            return await rider.descriptors
        finally:
            if rider in self._platform.waiting:
                self._platform.waiting.remove(rider)

    def _depart(self) -> None:
        while riders := self._platform.depart():
            self._spawn(self._lead(riders))

    async def _lead(self, riders: list[Rider]) -> None:
        call = Call(os.urandom(SESSION_BYTES), tuple(rider.channel.session for rider in riders))
        try:
            with contextlib.suppress(_NoRide):
                await self._called_together(call, riders)
        finally:
            self._platform.under_way -= 1
            self._depart()

    async def _called_together(self, call: Call, riders: list[Rider]) -> None:
        async with self._session(call.ride, riders) as channel:
            for rider in riders:
                await rider.channel.exchange(dict.fromkeys(FOLLOWERS, call.encode()), ())
            replies = await channel.exchange({}, FOLLOWERS)
            here = [decode_riders(replies[peer], len(riders)) for peer in FOLLOWERS]
            aboard = [not r.descriptors.done() and all(at) for r, *at in zip(riders, *here, strict=True)]
            await channel.exchange(dict.fromkeys(FOLLOWERS, encode_riders(aboard)), ())
            await self._travel(channel, _chosen(riders, aboard))

    async def _board(self, rider: Rider) -> None:
        """At a follower: hear which ride it is, and be there."""
        channel = rider.channel
        channel.round_seconds = self._seconds  # it may wait at the leader as long as the caller waits
        call = Call.decode((await channel.exchange({}, (LEADER,)))[LEADER])
        channel.round_seconds = self._round_seconds
        if call.ride in self._links.sessions.finished:
            raise Unavailable("the request came too late for its ride")
        known = self._called.get(call.ride)
        ride = known or _Ride(call)
        if ride.call != call or channel.session not in call.riders:
            raise ProtocolError("the leader calls one request to another's ride")
        ride.aboard[channel.session] = rider
        ride.boarded.set()
        if known is None:
            self._called[call.ride] = ride
            self._spawn(self._follow(ride))

    async def _follow(self, ride: _Ride) -> None:
        try:
            with contextlib.suppress(_NoRide):
                await self._followed(ride)
        finally:
            del self._called[ride.call.ride]

    async def _followed(self, ride: _Ride) -> None:
        call = ride.call
        async with self._session(call.ride, ride.aboard.values()) as channel:
            await self._boarding(ride)
            here = [session in ride.aboard and not ride.aboard[session].descriptors.done() for session in call.riders]
            await channel.exchange({LEADER: encode_riders(here)}, ())
            aboard = decode_riders((await channel.exchange({}, (LEADER,)))[LEADER], len(call.riders))
            if any(rides and not known for rides, known in zip(aboard, here, strict=True)):
                raise ProtocolError("the leader takes along who is not here")
            await self._travel(channel, _chosen([ride.aboard.get(session) for session in call.riders], aboard))

    async def _boarding(self, ride: _Ride) -> None:
        """Until everybody is here whose request is under way at this party, but no longer than the leader waits."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._round_seconds / 2):
                while any(s in self._links.sessions.mailboxes and s not in ride.aboard for s in ride.call.riders):
                    ride.boarded.clear()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(_LOOK_SECONDS):
                            await ride.boarded.wait()

    @asynccontextmanager
    async def _session(self, ride: bytes, riders: Collection[Rider]) -> AsyncIterator[SessionChannel]:
        """The ride's channel. Whoever has no descriptors at its end is told why; of a failure the peers are told, too."""
        fault: ServiceFault = _given_up()
        try:
            channel = SessionChannel(self._links, ride, self._round_seconds)
        except Exception as error:
            for rider in riders:
                rider.fail(fault_of(error))
            raise _NoRide from error
        try:
            async with within(self._seconds, "the run"):
                yield channel
        except Exception as error:
            fault = fault_of(error)
            if not isinstance(error, SessionAborted):
                channel.abort(fault.code, fault.message, fault.retry_after)
        finally:
            for rider in riders:
                rider.fail(fault)
            channel.close()

    async def _travel(self, channel: SessionChannel, riders: list[Rider]) -> None:
        """Through the network, the riders' images one after the other, and apart again."""
        for rider in riders:
            rider.depart()
        if not riders:
            return
        if len({rider.network for rider in riders}) > 1:
            raise ProtocolError("the leader calls requests of several networks to one ride")
        kits = [kit for rider in riders for kit in rider.kits]
        images = np.concatenate([rider.images for rider in riders])
        RIDE_IMAGES.observe(len(images))
        channel.rounds = 0
        found = await describe_each(Run(channel), kits, riders[0].model.model, images)
        for rider in riders:
            rider.arrive(found[: rider.size], channel, rider.size / len(images))
            found = found[rider.size :]

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        """A ride that goes on whatever becomes of the rider that started it; it tells all riders how it ended."""
        task = asyncio.get_running_loop().create_task(work, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _given_up() -> ServiceFault:
    return Unavailable("a party gave the request up", retry_after=RETRY_SECONDS)


def _chosen(riders: Sequence[Rider | None], aboard: Sequence[bool]) -> list[Rider]:
    """Those who ride; the others are told that they do not."""
    for rider, rides in zip(riders, aboard, strict=True):
        if rider is not None and not rides:
            rider.fail(_given_up())
    return [rider for rider, rides in zip(riders, aboard, strict=True) if rider is not None and rides]
