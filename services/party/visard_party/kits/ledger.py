"""Which kit numbers of a plan may still be used: pure decisions, no files, no clock.

Numbers only grow. ``floor`` is the lowest number still acceptable; it is written down before any lower number's kit is
used, so a crash can waste kits but never bring one back. Party 0 picks numbers; where it begins with those of a new plan
depends on its clock (``first_number``), so that none comes again even when all three parties have lost their disks and the
dealer has not.

A party's workers have kits of their own: the dealer knows a kit by ``kit_id``, whose highest bits are whoever fetches it, by its
own configuration. So whatever numbers a peer names, no two processes of a party ask for one kit, to use it or to see its seeds.

Some numbers are audited (visard_party.kits.audit): their kits are set aside, and never used. A number is set aside for good.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

# a follower whose stock lies further behind the leader's numbers gives it up: two enrolments of 16 photos at a time
WINDOW = 32
_A_SECOND = 24  # bits: many more numbers than a second can use up
_A_WORKER = 56  # bits: those of 32-bit seconds, to the year 2106
MAX_NUMBER = (1 << _A_WORKER) - 1
Chosen = Callable[[int], bool]  # whether a number is audited


def first_number(unix_seconds: float) -> int:
    """Where to begin after everything was lost: beyond whatever was used before that time."""
    return max(int(unix_seconds), 1) << _A_SECOND


def kit_id(number: int, worker: int) -> int:
    """What the dealer calls a kit: ``worker`` is 0 for a party's own, k + 1 for its worker k's. Raises ValueError."""
    if not 0 < number <= MAX_NUMBER:
        raise ValueError(f"kits are numbered from 1 to {MAX_NUMBER}")
    return (worker << _A_WORKER) + number


def _none(_: int) -> bool:
    return False


@dataclass
class Ledger:
    """The numbers of one plan at one party."""

    floor: int = 1
    in_stock: set[int] = field(default_factory=set)
    reserved: set[int] = field(default_factory=set)
    demanded: set[int] = field(default_factory=set)
    aside: set[int] = field(default_factory=set)  # audited: in nobody's stock, and never again
    owed: set[int] = field(default_factory=set)  # audited as well, and still to be fetched
    lost: set[int] = field(default_factory=set)  # with the memory of an earlier process, and not used
    fetching: int | None = None
    begin: int = 1  # where party 0 is expected to begin

    def next_to_fetch(self, target: int) -> int | None:
        """The number to fetch now, or None when there is enough in stock."""
        if self.fetching is not None:
            return None
        if missing := (self.demanded | self.owed) - self.in_stock:
            return min(missing)
        # kits below the floor wait for runs that overtook each other; they are no stock for runs to come
        if sum(n >= self.floor for n in self.in_stock - self.reserved) >= target:
            return None
        again = {n for n in self.lost if n >= self.floor} - self._seen
        return min(again, default=self._next)

    @property
    def _seen(self) -> set[int]:
        return self.in_stock | self.aside | self.owed | self.demanded

    @property
    def _next(self) -> int:
        """The lowest number that was never asked for."""
        return max([self.floor, self.begin, *(n + 1 for n in self._seen)])

    def restarted(self) -> None:
        """What is here is what was on disk: numbers missing in between were in memory, and are fetched again.

        Else this party would be ahead of the others, and set kits aside that they do not know yet.
        """
        begin = max(self.floor, self.begin, self._next - WINDOW)
        self.lost = set(range(begin, self._next)) - self._seen

    @property
    def untold(self) -> int:
        """The lowest number from which on no run was told any: what is below may be in use."""
        return max([self.floor, *(n + 1 for n in self.reserved | self.demanded)])

    def withheld(self, number: int) -> None:
        """The dealer will never deliver a number: it has shown it to all. It is as if it were set aside here."""
        for numbers in (self.owed, self.demanded):
            numbers.discard(number)
        self.aside.add(number)

    def arrived(self, number: int) -> bool:
        """Take a fetched kit into stock; False when it came too late to be used."""
        self.fetching = None
        if number < self.floor and number not in self.demanded | self.owed:
            return False
        self.in_stock.add(number)
        return True

    def reserve(self) -> int | None:
        """The lowest number that nobody has reserved, now reserved; None when there is none."""
        free = self.in_stock - self.reserved
        if not free:
            return None
        number = min(free)
        self.reserved.add(number)
        return number

    def release(self, number: int) -> None:
        """Give back a reserved number that no other party was told; below the floor it stays wasted."""
        if number >= self.floor:
            self.reserved.discard(number)

    def demand(self, number: int, chosen: Chosen = _none) -> bool:
        """Ask for one number that the leader has chosen; False when it can never be used (again), or is audited.

        The audited numbers before it are owed from now on, so that they are fetched in their turn even where nothing is fetched
        ahead: the dealer must not see by the order that a number was left out.
        """
        if self.audited(number, chosen):
            return False
        if number < self.floor and number not in self.in_stock and number not in self.demanded:
            return False
        before = range(max(self._next, number - WINDOW), number)
        self.owed |= {n for n in before if chosen(n)}
        self.demanded.add(number)
        return True

    def audited(self, number: int, chosen: Chosen) -> bool:
        """Whether a number is one that is audited here, by the present key or an earlier one."""
        return number in self.aside or number in self.owed or chosen(number)

    def set_aside(self, chosen: Chosen) -> set[int]:
        """Take what is audited out of the stock, for good; returns it."""
        free = self.in_stock - self.reserved - self.demanded
        numbers = {n for n in free if n in self.owed or chosen(n)}
        self.in_stock -= numbers
        self.owed -= numbers
        self.aside |= numbers
        return numbers

    def taken(self, number: int) -> set[int]:
        """A kit leaves the stock for good; returns the numbers too far behind it, to be deleted as well."""
        for numbers in (self.in_stock, self.reserved, self.demanded):
            numbers.discard(number)
        self.floor = max(self.floor, number + 1)
        return self._discard_below(number - WINDOW)

    def raise_floor(self, floor: int) -> set[int]:
        """Give up all numbers below; returns those in stock, to be deleted."""
        self.floor = max(self.floor, floor)
        return self._discard_below(self.floor)

    def _discard_below(self, limit: int) -> set[int]:
        old = {n for n in self.in_stock if n < limit}
        self.in_stock -= old
        self.reserved -= old
        self.aside = {n for n in self.aside if n >= limit}
        self.owed = {n for n in self.owed if n >= limit}
        return old
