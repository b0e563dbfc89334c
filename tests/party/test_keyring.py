"""A key is offered for its hours, accepted for one more and erased then, whatever the clock does; serials only grow."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from visard_party.intake.keyring import ACCEPTED_LONGER_MS, HOUR_MS, Plan, Term, fresh, plan
from visard_wire.partykeys import CLOCK_SKEW_MS

NOW = 1_790_000_000_000
DAY = 24 * HOUR_MS
FIRST = fresh(0, NOW, 24)
END = NOW + DAY


def first_key__should_be_needed_where_there_is_none() -> None:
    assert plan((), NOW, 0).offered is None
    assert Term(NOW, NOW, END + HOUR_MS) == FIRST


def key__should_be_offered_for_its_hours_and_accepted_for_one_more() -> None:
    for now in (NOW, NOW + 1, END - 1):
        assert plan([FIRST], now, 0) == Plan(FIRST, (FIRST,))
    for now in (END, END + HOUR_MS - 1):
        assert plan([FIRST], now, 0) == Plan(None, (FIRST,))
    assert plan([FIRST], END + HOUR_MS, 0).accepted == ()


def key_that_was_replaced_early__should_stay_for_an_hour() -> None:
    second = fresh(FIRST.serial, NOW + 5 * HOUR_MS, 24)
    held = [FIRST, second]
    assert plan(held, second.not_before, 0).offered == second
    assert plan(held, second.not_before + HOUR_MS - 1, 0).accepted == (second, FIRST)
    assert plan(held, second.not_before + HOUR_MS, 0).accepted == (second,)


def key_of_before_a_start__should_not_be_offered_and_still_be_accepted() -> None:
    assert plan([FIRST], NOW + 1, FIRST.serial) == Plan(None, (FIRST,))


def clock_that_is_set_back__should_not_lower_a_serial_nor_keep_a_key_of_the_future() -> None:
    earlier = NOW - 30 * DAY
    assert plan([FIRST], earlier, 0).offered is None
    second = fresh(FIRST.serial, earlier, 24)
    assert second.serial == FIRST.serial + 1
    assert plan([FIRST, second], earlier, 0).offered == second
    assert plan([FIRST, second], earlier + HOUR_MS, 0).accepted == (second,), "the future key has its hour and no more"
    assert plan([FIRST], NOW - CLOCK_SKEW_MS, 0).offered == FIRST, "clients allow for as much"


def disk_that_was_lost__should_cost_no_serial() -> None:
    assert fresh(0, NOW + 1, 24).serial > FIRST.serial


steps = st.lists(st.tuples(st.integers(0, 3 * HOUR_MS), st.booleans()), max_size=60)


@given(steps=steps, hours=st.floats(0.001, 30))
def every_key__should_be_gone_in_time_and_never_without_a_successor(
    steps: list[tuple[int, bool]], hours: float
) -> None:
    now, replaced, last, held, made = NOW, 0, 0, list[Term](), list[Term]()
    for pause, rotate in steps:
        now += pause
        replaced = last if rotate else replaced
        decided = plan(held, now, replaced)
        held = list(decided.accepted)
        if decided.offered is None:
            made.append(fresh(last, now, hours))
            held, last = [*held, made[-1]], made[-1].serial
        offered = plan(held, now, replaced).offered
        assert offered == made[-1] == max(held)
        assert offered.not_before <= now < offered.offered_until
        assert all(now < key.not_after <= key.not_before + hours * HOUR_MS + ACCEPTED_LONGER_MS + 1 for key in held)
        assert all(older.serial < newer.serial for older, newer in pairwise(made))
        for key in made:  # whoever sealed to a key while it was offered has an hour for it
            successor = next((other for other in made if other.serial > key.serial), None)
            if successor is None or now < successor.not_before + ACCEPTED_LONGER_MS:
                assert key in held or now >= key.not_after
