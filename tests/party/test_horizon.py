"""Finished writes are forgotten at all three parties alike, and none that could still come, or is not finished everywhere."""

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from visard_common.limits import MAX_EXPIRY_MS
from visard_party.consistency.horizon import STEP_MS, Horizon
from visard_party.consistency.sets import Holdings, View
from visard_party.store.contents import LogEntry, State

LONGEST = 600_000
START = 1_790_000_000_000
VIEW = View(b"references", b"writes", 0)


def horizons() -> list[Horizon]:
    return [Horizon(party, LONGEST) for party in range(3)]


def after(minutes: float) -> int:
    return START + int(60_000 * minutes)


def agreeing(horizon: Horizon, view: View = VIEW, now: int = START) -> None:
    for peer in range(3):
        if peer != horizon.party:
            horizon.hear(peer, view, now)


def horizon__should_move_at_party_0_when_all_three_have_finished() -> None:
    zero, one, _ = horizons()
    assert not zero.move(VIEW, START), "nobody was heard"
    agreeing(zero)
    agreeing(one)
    assert not one.move(VIEW, START)
    assert zero.move(VIEW, START)
    assert zero.at == zero.latest(START) // STEP_MS * STEP_MS <= START - 2 * MAX_EXPIRY_MS - LONGEST
    assert not zero.move(VIEW, START), "until the next step"


def horizon__should_move_while_new_writes_are_under_way() -> None:
    """Under a steady load hashes differ at every moment, and something is always pending."""
    zero = horizons()[0]
    for peer in (1, 2):
        zero.hear(peer, View(b"references", b"other writes", 3, pending_expires=START - 1), START)
    assert zero.move(View(b"references", b"writes", 1, pending_expires=START), START)
    assert zero.due(VIEW, START) == zero.at


def peer_that_was_heard_long_ago__should_be_no_evidence() -> None:
    zero = horizons()[0]
    agreeing(zero)
    assert not zero.move(VIEW, START + MAX_EXPIRY_MS + 1)


def horizon__should_stay_while_somebody_has_something_old_pending_or_is_away() -> None:
    old = START - 2 * MAX_EXPIRY_MS - LONGEST
    for spoilt in (
        View(b"references", b"writes", 1),  # as a party says that does not tell how old
        View(b"references", b"writes", 1, pending_expires=old),
        View(b"references", b"writes", 1, pending_expires=old + MAX_EXPIRY_MS),  # its deletion may be older
        None,
    ):
        zero = horizons()[0]
        agreeing(zero)
        if spoilt is None:
            zero.lost(2)
        else:
            zero.hear(2, spoilt, START)
        assert not zero.move(VIEW, START)
        zero.at = zero.latest(START)
        assert zero.due(VIEW, START) is None


def party_that_has_lost_its_horizon__should_take_the_others() -> None:
    zero, one, two = horizons()
    one.at = two.at = one.latest(START) // STEP_MS * STEP_MS
    agreeing(zero, View(b"references", b"writes", 0, one.at))
    assert zero.at == one.at


def horizon_ahead_of_any_clock__should_not_be_followed() -> None:
    one = horizons()[1]
    one.hear(0, View(b"", b"", 0, START), START)
    assert one.at == 0


def views_at_two_horizons__should_be_no_difference_that_counts() -> None:
    assert not VIEW.holds_as(View(b"references", b"writes", 0, 7))


def hash_of_the_log__should_not_depend_on_what_is_deleted_already() -> None:
    old = [LogEntry(bytes([k]) * 16, "change", b"d", State.COMMITTED, 1, 10) for k in range(5)]
    new = [LogEntry(bytes([k]) * 16, "change", b"d", State.COMMITTED, 1, 30) for k in range(5, 9)]
    whole, pruned = Holdings((), [*old, *new]), Holdings((), new)
    assert whole.writes != pruned.writes
    whole.forget_writes(20)
    pruned.forget_writes(20)
    assert whole.writes == pruned.writes
    whole.update((), (), {old[0].request_id: 10, b"x" * 16: 40})
    pruned.update((), (), {b"x" * 16: 40})
    whole.forget_writes(20)
    assert whole.writes == pruned.writes


@dataclass
class Party:
    """A log of writes: when each expires, and whether it is committed here."""

    horizon: Horizon
    log: dict[int, tuple[int, bool]] = field(default_factory=dict)
    committed: set[int] = field(default_factory=set)

    def view(self) -> View:
        counted = sorted(w for w, (expires, done) in self.log.items() if done and expires >= self.horizon.at)
        pending = [expires for expires, done in self.log.values() if not done]
        return View(b"", repr(counted).encode(), len(pending), self.horizon.at, min(pending, default=0))


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["write", "commit", "tell", "look", "restart", "wait"]), st.integers(0, 1 << 16)),
        max_size=120,
    )
)
def any_history__should_prune_nothing_that_is_missing_somewhere(steps: list[tuple[str, int]]) -> None:
    """Stages at all three, commits and reports in any order, restarts: what is deleted was committed everywhere."""
    parties, now, staged = [Party(horizon) for horizon in horizons()], START, 0
    for step, number in steps:
        party = parties[number % 3]
        match step:
            case "write":
                staged += 1
                for one in parties:
                    one.log[staged] = (now + number * MAX_EXPIRY_MS // (1 << 16), False)
            case "commit":
                for write, (expires, done) in sorted(party.log.items()):
                    if not done and write % 5 != number % 5:
                        party.log[write] = (expires, True)
                        party.committed.add(write)
            case "tell":
                parties[number // 3 % 3].horizon.hear(party.horizon.party, party.view(), now)
            case "look":
                party.horizon.move(party.view(), now)
                if (before := party.horizon.due(party.view(), now)) is not None:
                    for write in [w for w, (expires, done) in party.log.items() if done and expires < before]:
                        assert all(write in one.committed for one in parties)
                        del party.log[write]
                    party.horizon.forgotten = before
            case "restart":
                party.horizon = Horizon(party.horizon.party, LONGEST)
            case "wait":
                now += number * 100
