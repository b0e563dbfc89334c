"""After any crash the parties agree about every write: at all three or at none, once, and never lost once acknowledged."""

import itertools

import pytest
from visard_party.consistency.recovery import Decision, decide
from visard_party.errors import Divergence
from visard_party.store.contents import State

from bench.histories import LEADER, PARTIES, Parties, explore

P, C, D, U, R = State.PENDING, State.COMMITTED, State.DROPPED, State.UNKNOWN, State.RUNNING


@pytest.mark.parametrize(
    ("states", "decision"),
    [
        ((P, P, P), Decision.COMMIT),
        ((P, C, P), Decision.COMMIT),
        ((C, C, P), Decision.COMMIT),
        ((P, P, U), Decision.DROP),
        ((P, D, P), Decision.DROP),
        ((P, R, P), Decision.WAIT),
        ((P, U, R), Decision.WAIT),
        ((P, C, R), Decision.WAIT),
    ],
)
def decision__should_follow_from_the_states(states: tuple[State, ...], decision: Decision) -> None:
    for order in itertools.permutations(states):
        assert decide(dict(enumerate(order))) is decision


@pytest.mark.parametrize("states", [{0: P}, {0: P, 1: P}, {0: P, 2: C}])
def silence__should_be_waited_for(states: dict[int, State]) -> None:
    """Also where one says that it has committed: it may lie, and the other may have given the run up."""
    assert decide(states) is Decision.WAIT


@pytest.mark.parametrize("other", [D, U])
def contradiction__should_be_reported(other: State) -> None:
    with pytest.raises(Divergence):
        decide({0: P, 1: C, 2: other})


def three_parties__should_agree_after_any_history() -> None:
    explore(80, 50)


def rename_left_behind_by_a_crash__should_be_decided_before_the_next() -> None:
    parties = Parties()
    parties.go_well("enrol")
    parties.begin("rename", set(PARTIES))
    parties.abort({LEADER}, crash=True)
    parties.go_well("rename")  # if it were made now, party 0 would have the two in another order than the others
    assert [parties.states(write) for write in parties.writes] == [[C, C, C], [P, C, C], [U, U, U]]
    parties.teardown()
