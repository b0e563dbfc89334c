"""Who goes through a network together: party 0 decides, the others check. Pure: queue, messages and decisions.

A request that finds no batch under way begins one at once. Those that come meanwhile wait for company: they make the next batch
when there are as many as it has room for, or when the first of them has waited for long enough, or when none is under way any
more. Two batches of one image cost a machine that is busy anyway half as much again as one of two.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from visard_common.limits import SESSION_BYTES
from visard_engine.errors import ProtocolError

MAX_MEMBERS = 16


class Waiting(Protocol):
    """A request that waits to go through a network."""

    @property
    def network(self) -> object:
        """What it goes through; those with equal ones may be in one batch."""

    @property
    def size(self) -> int:
        """How many images it has."""

    @property
    def since(self) -> float:
        """When it began to wait, by the monotonic clock."""


W = TypeVar("W", bound=Waiting)


@dataclass
class BatchQueue(Generic[W]):
    """The leader's queue: at most ``batches`` under way, each with at most ``room`` images (or one member's).

    For ``patience`` seconds a request waits for company, while a batch is under way.
    """

    room: int
    batches: int
    patience: float = 0.0
    waiting: list[W] = field(default_factory=list)
    under_way: int = 0

    def form(self, now: float) -> list[W]:
        """The next batch: the first in the queue and whoever fits with it.

        Nobody while as many are under way as may be, or while one is and this one waits for company.
        """
        if self.under_way >= self.batches or not self.waiting:
            return []
        first, *others = self.waiting
        chosen, left = [first], self.room - first.size
        for other in others:
            if other.network == first.network and other.size <= left and len(chosen) < MAX_MEMBERS:
                chosen.append(other)
                left -= other.size
        if left > 0 and len(chosen) < MAX_MEMBERS and self.looks_again(now):
            return []
        self.waiting = [member for member in self.waiting if member not in chosen]
        self.under_way += 1
        return chosen

    def looks_again(self, now: float) -> float:
        """In how many seconds the first in the queue will have waited for long enough; 0 where it is not a matter of time."""
        if not self.waiting or not 0 < self.under_way < self.batches:
            return 0.0
        return max(0.0, self.waiting[0].since + self.patience - now)


@dataclass(frozen=True)
class Call:
    """What the leader tells the others in each member's own session: the batch's session, and the members' in order."""

    batch: bytes
    members: tuple[bytes, ...]

    def encode(self) -> bytes:
        """As JSON, at most 16 members of 16 bytes each in hex digits."""
        return json.dumps([self.batch.hex(), [member.hex() for member in self.members]]).encode()

    @classmethod
    def decode(cls, data: bytes) -> "Call":
        """What ``encode`` made; raises ProtocolError for anything else, as it comes from another party."""
        try:
            batch, members = json.loads(data)
            call = cls(bytes.fromhex(batch), tuple(bytes.fromhex(member) for member in members))
        except (ValueError, TypeError, RecursionError) as error:
            raise ProtocolError("the leader's call to a batch makes no sense") from error
        sizes = {len(session) for session in (call.batch, *call.members)}
        if (
            sizes != {SESSION_BYTES}
            or not 1 <= len(call.members) <= MAX_MEMBERS
            or len({*call.members}) < len(call.members)
        ):
            raise ProtocolError("the leader's call to a batch makes no sense")
        return call


def encode_members(taken: Sequence[bool]) -> bytes:
    """Which of a call's members are here, or are taken along: a byte each."""
    return bytes(taken)


def decode_members(data: bytes, count: int) -> list[bool]:
    """A flag for each of ``count`` members; raises ProtocolError for anything but that many bytes 0 or 1."""
    if len(data) != count or not set(data) <= {0, 1}:
        raise ProtocolError("a peer's list of members makes no sense")
    return [bool(byte) for byte in data]
