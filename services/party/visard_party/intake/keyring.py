"""Which sealing key a party offers, which it still accepts, and which it erases: pure decisions, no files, no clock.

A key is offered for some hours and accepted for one more. A newer one takes its place at once, and leaves it an hour at most.
So whatever was sealed to a key can be opened for as long as a key is offered, and an hour, and by nobody afterwards. Serials
only grow, whatever disks are lost or restored: they are the clock's milliseconds, or one more than the serial before.
Times are milliseconds since 1970.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import pairwise

from visard_wire.partykeys import CLOCK_SKEW_MS

HOUR_MS = 3_600_000
# a request lives ten minutes at most; who fetched a key just before it was replaced has time to use it
ACCEPTED_LONGER_MS = HOUR_MS


@dataclass(frozen=True, order=True)
class Term:
    """A key's serial, when it was made, and when it is erased at the latest."""

    serial: int
    not_before: int
    not_after: int

    @property
    def offered_until(self) -> int:
        """When another takes its place at the latest."""
        return self.not_after - ACCEPTED_LONGER_MS


@dataclass(frozen=True)
class Plan:
    """What to do with the keys there are. ``offered`` is None when a new one is to be made first."""

    offered: Term | None
    accepted: tuple[Term, ...]


def fresh(last_serial: int, now: int, hours: float) -> Term:
    """The term of a key that is made now, and offered for so many hours."""
    return Term(max(now, last_serial + 1), now, now + round(hours * HOUR_MS) + ACCEPTED_LONGER_MS)


def plan(held: Collection[Term], now: int, replaced: int) -> Plan:
    """Keys with serials up to ``replaced`` are not offered any more. What is held and not accepted is to be erased."""
    newest = max(held, default=None)
    usable = newest is not None and newest.serial > replaced and _runs(newest, now)
    return Plan(newest if usable else None, tuple(_accepted(held, now)))


def _runs(term: Term, now: int) -> bool:
    """Whether clients take it: one made in the future, before the clock was set back, they would not."""
    return term.not_before <= now + CLOCK_SKEW_MS and now < term.offered_until


def _accepted(held: Iterable[Term], now: int) -> Iterable[Term]:
    """Newest first."""
    ordered = sorted(held, reverse=True)
    ends = [term.not_after for term in ordered]
    for k, (newer, older) in enumerate(pairwise(ordered), 1):
        ends[k] = min(older.not_after, newer.not_before + ACCEPTED_LONGER_MS)
    return [term for term, end in zip(ordered, ends, strict=True) if now < end]
