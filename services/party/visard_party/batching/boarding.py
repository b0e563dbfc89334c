"""Who goes through a network together: party 0 decides, the others check. Pure: queue, messages and decisions.

Requests that come while a ride is under way wait, and then ride together, as many as there is room for; a request that
finds none under way rides at once. So nobody waits for company, and under load there is company.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from visard_engine.errors import ProtocolError

from visard_party.peers.sessions import SESSION_BYTES

MAX_RIDERS = 16


class Passenger(Protocol):
    """A request that waits to go through a network."""

    @property
    def network(self) -> object:
        """What it goes through; those with equal ones may ride together."""

    @property
    def size(self) -> int:
        """Its images."""


P = TypeVar("P", bound=Passenger)


@dataclass
class Platform(Generic[P]):
    """The leader's queue: at most ``rides`` under way, each with at most ``room`` images (or one passenger's)."""

    room: int
    rides: int
    waiting: list[P] = field(default_factory=list)
    under_way: int = 0

    def depart(self) -> list[P]:
        """Those who ride now: the first in the queue and whoever fits with it; nobody while all rides are taken."""
        if self.under_way >= self.rides or not self.waiting:
            return []
        first, *others = self.waiting
        chosen, left = [first], self.room - first.size
        for other in others:
            if other.network == first.network and other.size <= left and len(chosen) < MAX_RIDERS:
                chosen.append(other)
                left -= other.size
        self.waiting = [passenger for passenger in self.waiting if passenger not in chosen]
        self.under_way += 1
        return chosen


@dataclass(frozen=True)
class Call:
    """What the leader tells the others in each rider's own session: the ride's session, and the riders' in order."""

    ride: bytes
    riders: tuple[bytes, ...]

    def encode(self) -> bytes:
        """As JSON."""
        return json.dumps([self.ride.hex(), [rider.hex() for rider in self.riders]]).encode()

    @classmethod
    def decode(cls, data: bytes) -> "Call":
        """Raises ProtocolError."""
        try:
            ride, riders = json.loads(data)
            call = cls(bytes.fromhex(ride), tuple(bytes.fromhex(rider) for rider in riders))
        except (ValueError, TypeError, RecursionError) as error:
            raise ProtocolError("the leader's call to ride makes no sense") from error
        sizes = {len(session) for session in (call.ride, *call.riders)}
        if (
            sizes != {SESSION_BYTES}
            or not 1 <= len(call.riders) <= MAX_RIDERS
            or len({*call.riders}) < len(call.riders)
        ):
            raise ProtocolError("the leader's call to ride makes no sense")
        return call


def encode_riders(aboard: Sequence[bool]) -> bytes:
    """Which of a call's riders are here, or ride: a byte each."""
    return bytes(aboard)


def decode_riders(data: bytes, count: int) -> list[bool]:
    """Raises ProtocolError."""
    if len(data) != count or not set(data) <= {0, 1}:
        raise ProtocolError("a peer's list of riders makes no sense")
    return [bool(byte) for byte in data]
