"""After any crash the parties agree about every write: at all three or at none, once, and never lost once acknowledged."""

import itertools

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from services.party.errors import Divergence
from services.party.recovery import Decision, decide
from services.party.store.base import State

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
        ((P, C, R), Decision.COMMIT),
    ],
)
def decision__should_follow_from_the_states(states: tuple[State, ...], decision: Decision) -> None:
    for order in itertools.permutations(states):
        assert decide(dict(enumerate(order))) is decision


def silence__should_be_waited_for_unless_somebody_committed() -> None:
    assert decide({0: P, 1: P}) is Decision.WAIT
    assert decide({0: P}) is Decision.WAIT
    assert decide({0: P, 2: C}) is Decision.COMMIT


@pytest.mark.parametrize("other", [D, U])
def contradiction__should_be_reported(other: State) -> None:
    with pytest.raises(Divergence):
        decide({0: P, 1: C, 2: other})


PARTIES = range(3)


class Parties(RuleBasedStateMachine):
    """One write at three parties. Stores survive crashes, runs and messages do not; reports may be late or doubled."""

    @initialize()
    def begin(self) -> None:
        self.store = dict.fromkeys(PARTIES, U)
        self.running = set(PARTIES)
        self.staged_heard: dict[int, set[int]] = {p: set() for p in PARTIES}
        self.in_flight: list[tuple[int, int, State]] = []  # (sender, receiver, state as of sending)
        self.heard: dict[int, dict[int, State]] = {p: {} for p in PARTIES}
        self.acknowledged = False
        self.applied = dict.fromkeys(PARTIES, 0)

    def state(self, party: int) -> State:
        running = party in self.running and self.store[party] is not C
        return R if running else self.store[party]

    @rule(party=st.sampled_from(PARTIES))
    def stage(self, party: int) -> None:
        """The run of a party reaches the point of staging, and tells the two others."""
        if party in self.running and self.store[party] is U:
            self.store[party] = P
            for peer in PARTIES:
                if peer in self.running:
                    self.staged_heard[peer].add(party)

    @rule(party=st.sampled_from(PARTIES))
    def commit(self, party: int) -> None:
        """A run that has heard both others commits and ends."""
        if party in self.running and self.staged_heard[party] == set(PARTIES):
            self.apply(party)
            self.running.discard(party)
            self.acknowledged = all(self.store[p] is C for p in PARTIES)

    @rule(party=st.sampled_from(PARTIES))
    def crash_or_abort(self, party: int) -> None:
        """The run ends without committing; what was heard in it is gone."""
        self.running.discard(party)
        self.staged_heard[party].clear()
        self.heard[party].clear()

    @rule(sender=st.sampled_from(PARTIES), receiver=st.sampled_from(PARTIES))
    def report(self, sender: int, receiver: int) -> None:
        """A party tells another how the write stands here, now."""
        if sender != receiver:
            self.in_flight.append((sender, receiver, self.state(sender)))

    @rule(data=st.data(), again=st.booleans())
    def deliver(self, data: st.DataObject, again: bool) -> None:
        """Any report arrives, in any order, perhaps twice; its receiver decides if the write is pending there."""
        if not self.in_flight:
            return
        index = data.draw(st.integers(0, len(self.in_flight) - 1))
        sender, receiver, state = self.in_flight[index] if again else self.in_flight.pop(index)
        self.heard[receiver][sender] = state
        self.resolve(receiver)

    def resolve(self, party: int) -> None:
        if self.state(party) is not P:
            return
        decision = decide(self.heard[party] | {party: P})
        if decision is Decision.COMMIT:
            self.apply(party)
        elif decision is Decision.DROP:
            self.store[party] = D

    def apply(self, party: int) -> None:
        assert self.store[party] is P
        self.store[party] = C
        self.applied[party] += 1

    @invariant()
    def never_torn(self) -> None:
        states = set(self.store.values())
        assert not (C in states and states & {D, U})
        assert max(self.applied.values()) <= 1
        assert not self.acknowledged or states == {C}

    def teardown(self) -> None:
        """All runs end, all reports are fresh: then the parties agree."""
        if not hasattr(self, "store"):
            return
        self.running.clear()
        for _ in range(2):
            for party, peer in itertools.permutations(PARTIES, 2):
                self.heard[party][peer] = self.state(peer)
            for party in PARTIES:
                self.resolve(party)
        assert len({self.store[p] is C for p in PARTIES}) == 1
        assert P not in self.store.values()


Parties.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def three_parties__should_agree_after_any_history() -> None:
    Parties.TestCase("runTest").runTest()
