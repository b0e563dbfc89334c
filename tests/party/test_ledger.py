"""Kit numbers: whatever happens in whatever order, none is used twice, the floor never sinks, and nothing is asked for ever."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from visard_party.kits.ledger import MAX_NUMBER, WINDOW, Ledger, first_number

TARGET = 3
NUMBERS = st.integers(1, 3 * WINDOW)


class Disk(RuleBasedStateMachine):
    """A ledger beside the disk that it decides about: kits present, floor written, kits used."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger()
        self.kits: set[int] = set()
        self.floor = 1
        self.used: list[int] = []
        self.aside: set[int] = set()  # files of audited kits
        self.key, self.since = 0, 1

    def chosen(self, number: int) -> bool:
        """Whether a number is audited, as a shelf has it: one in four, others by each key."""
        return number >= self.since and bool(self.key) and (number * 7 + self.key) % 4 == 0

    @rule()
    def another_key(self) -> None:
        self.key += 1
        self.since = self.ledger.untold
        self.put_aside()

    def put_aside(self) -> None:
        numbers = self.ledger.set_aside(self.chosen)
        assert numbers <= self.kits
        assert not numbers & set(self.used)
        self.kits -= numbers
        self.aside |= numbers

    @rule()
    def fetch(self) -> None:
        number = self.ledger.next_to_fetch(TARGET)
        if number is not None:
            self.ledger.fetching = number
            self.land(number)

    def land(self, number: int) -> None:
        if self.ledger.arrived(number):
            self.kits.add(number)
        self.put_aside()

    @rule(floor=NUMBERS)
    def fetch_overtaken_by_a_floor(self, floor: int) -> None:
        number = self.ledger.next_to_fetch(TARGET)
        if number is not None:
            self.ledger.fetching = number
            self.raise_floor(floor)
            self.land(number)

    @rule()
    def reserve(self) -> None:
        number = self.ledger.reserve()
        assert number is None or (number in self.kits and number not in self.used)

    @rule(number=NUMBERS)
    def release(self, number: int) -> None:
        self.ledger.release(number)

    @rule(number=NUMBERS)
    def demand(self, number: int) -> None:
        demanded = self.ledger.demand(number, self.chosen)
        if number in self.used or number in self.aside or self.chosen(number):
            assert not demanded

    @rule(number=NUMBERS)
    def give_up(self, number: int) -> None:
        self.ledger.demanded.discard(number)

    @precondition(lambda self: self.kits)
    @rule(data=st.data(), dies=st.sampled_from(["no", "after deletion", "after the floor"]))
    def take(self, data: st.DataObject, dies: str) -> None:
        number = data.draw(st.sampled_from(sorted(self.kits)))
        if not self.ledger.demand(number, self.chosen):  # as a stock does it
            return
        old = self.ledger.taken(number)
        assert all(n < number - WINDOW for n in old)
        self.kits -= old | {number}
        if dies == "after deletion":
            self.crash()
            return
        self.floor = max(self.floor, self.ledger.floor)
        if dies == "after the floor":
            self.crash()
            return
        self.used.append(number)

    @rule(floor=NUMBERS)
    def raise_floor(self, floor: int) -> None:
        self.kits -= self.ledger.raise_floor(floor)
        self.floor = max(self.floor, self.ledger.floor)

    @rule()
    def crash(self) -> None:
        self.kits = {n for n in self.kits if n >= self.floor}
        self.ledger = Ledger(self.floor, set(self.kits), aside=set(self.aside))
        self.since = self.floor
        self.put_aside()

    @rule(lost=st.sets(st.integers(0, 3)))
    def crash_that_takes_memory(self, lost: set[int]) -> None:
        self.kits -= {n for n in self.kits if n % 4 in lost}
        self.crash()
        self.ledger.restarted()

    @invariant()
    def numbers_are_used_once(self) -> None:
        assert len(self.used) == len(set(self.used))
        assert not self.kits & set(self.used)

    @invariant()
    def nothing_is_audited_that_was_used(self) -> None:
        assert not (self.aside | self.ledger.owed) & set(self.used)
        assert not self.aside & self.kits

    @invariant()
    def the_floor_is_above_all_that_was_used(self) -> None:
        assert self.ledger.floor >= self.floor > max(self.used, default=0)

    @invariant()
    def the_ledger_knows_the_disk(self) -> None:
        assert self.ledger.in_stock == self.kits
        assert self.ledger.reserved <= self.kits

    @invariant()
    def fetching_never_asks_for_what_was_used_and_comes_to_an_end(self) -> None:
        ledger = Ledger(
            self.ledger.floor, set(self.ledger.in_stock), set(self.ledger.reserved), set(self.ledger.demanded)
        )
        ledger.aside, ledger.owed = set(self.ledger.aside), set(self.ledger.owed)
        limit = TARGET + len(ledger.demanded) + len(ledger.owed)
        for _ in range(limit):
            number = ledger.next_to_fetch(TARGET)
            if number is None:
                return
            assert number not in self.used
            assert number not in ledger.in_stock
            assert number not in ledger.aside
            assert ledger.arrived(number)
        assert ledger.next_to_fetch(TARGET) is None


class numbers__should_be_used_once_whatever_happens(Disk.TestCase):  # type: ignore[misc,valid-type]
    settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def used_number__should_never_be_fetched_again() -> None:
    ledger = Ledger(in_stock={1, 2, 3})
    ledger.taken(2)
    assert not ledger.demand(2)
    assert ledger.demand(1)  # overtaken, not used
    ledger.taken(3)
    ledger.taken(1)
    assert ledger.next_to_fetch(1) == 4


def demanded_number__should_be_fetched_before_the_stock_is_filled() -> None:
    ledger = Ledger()
    assert ledger.demand(9)
    assert ledger.next_to_fetch(4) == 9
    ledger.arrived(9)
    assert ledger.next_to_fetch(4) == 10


def one_number__should_be_fetched_at_a_time() -> None:
    assert Ledger(fetching=1).next_to_fetch(4) is None


def overtaken_kits__should_not_count_as_stock() -> None:
    ledger = Ledger(in_stock={1, 2, 3, 4})
    ledger.taken(4)
    assert ledger.next_to_fetch(1) == 5
    assert ledger.in_stock == {1, 2, 3}


def kits_of_two_large_enrolments__should_survive_each_other() -> None:
    ledger = Ledger(in_stock=set(range(1, 33)))
    first, second = [[ledger.reserve() for _ in range(16)] for _ in range(2)]
    for number in [*second, *first]:
        assert number is not None
        assert ledger.demand(number)
        assert number in ledger.in_stock
        ledger.taken(number)


def released_number__should_be_next_unless_overtaken() -> None:
    ledger = Ledger(in_stock={1, 2, 3})
    assert [ledger.reserve(), ledger.reserve()] == [1, 2]
    ledger.release(1)
    assert ledger.reserve() == 1
    ledger.taken(2)
    ledger.release(1)  # the others' floors may be above it by now
    assert ledger.reserve() == 3


def kit_that_came_too_late__should_be_refused() -> None:
    ledger = Ledger(fetching=1)
    ledger.raise_floor(5)
    assert not ledger.arrived(1)
    assert ledger.next_to_fetch(1) == 5


def raised_floor__should_give_up_what_lies_below_and_never_sink() -> None:
    ledger = Ledger(in_stock={1, 2, 8}, reserved={2, 8})
    assert ledger.raise_floor(8) == {1, 2}
    assert (ledger.in_stock, ledger.reserved) == ({8}, {8})
    assert ledger.raise_floor(3) == set()
    assert ledger.floor == 8


def numbers__should_begin_beyond_all_that_an_earlier_time_used_up() -> None:
    assert first_number(1_800_000_000) > first_number(1_799_999_999) + 10_000_000
    assert first_number(0) > 0
    assert first_number(2**32 - 1) < MAX_NUMBER


def follower__should_fetch_ahead_where_the_leader_begins_and_take_whatever_it_picks() -> None:
    ledger = Ledger(begin=1000)
    assert ledger.next_to_fetch(1) == 1000
    ledger.arrived(1000)
    assert ledger.demand(5)
    assert ledger.floor == 1


def numbers_lost_with_the_memory__should_be_fetched_before_new_ones() -> None:
    ledger = Ledger(floor=3, in_stock={5}, aside={7})
    ledger.restarted()
    fetched = []
    while (number := ledger.next_to_fetch(6)) is not None:
        fetched.append(number)
        ledger.arrived(number)
    assert fetched == [3, 4, 6, 8, 9]
    ledger.raise_floor(5)
    assert ledger.next_to_fetch(6) == 10, "what is below the floor is not looked for"
