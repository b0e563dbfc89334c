"""After any crash the parties agree about every write: at all three or at none, once, and never lost once acknowledged."""

import itertools

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from services.party.errors import Divergence
from services.party.recovery import Decision, Recovery, decide
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
WRITES = [bytes([k]) * 16 for k in range(2)]
SOME = st.sets(st.sampled_from(PARTIES), min_size=1)


class Parties(RuleBasedStateMachine):
    """Two writes at three parties. Stores survive crashes; runs, what was heard and messages do not.

    A run stages, tells the two others, and commits when it has heard both; a message of a run is lost when its receiver's
    run has ended. Reports between parties may be late, lost, doubled or out of order. A write that failed may be tried
    again, as the service does: only where its state is UNKNOWN, and for all three parties or none.
    """

    def __init__(self) -> None:
        super().__init__()
        self.store = {(p, w): U for p in PARTIES for w in WRITES}
        self.known = {p: Recovery(p) for p in PARTIES}
        self.told: dict[tuple[int, bytes], set[int]] = {}
        self.in_flight: list[tuple[int, int, dict[bytes, State]]] = []
        self.applied = dict.fromkeys(self.store, 0)
        self.acknowledged: set[bytes] = set()

    def stored(self, party: int) -> dict[bytes, State]:
        return {w: self.store[party, w] for w in WRITES}

    @rule(write=st.sampled_from(WRITES))
    def begin(self, write: bytes) -> None:
        """A run, which all three parties agree to take part in."""
        if all(self.store[p, write] is U and write not in self.known[p].running for p in PARTIES):
            for party in PARTIES:
                self.known[party].running.add(write)
                self.told[party, write] = {party}

    @rule(parties=SOME, write=st.sampled_from(WRITES))
    def stage(self, parties: set[int], write: bytes) -> None:
        for party in parties:
            if write in self.known[party].running and self.store[party, write] is U:
                self.store[party, write] = P
                for peer in PARTIES:
                    if write in self.known[peer].running:
                        self.told[peer, write].add(party)

    @rule(party=st.sampled_from(PARTIES), write=st.sampled_from(WRITES))
    def commit(self, party: int, write: bytes) -> None:
        """A run that has heard both others commits and ends."""
        if write in self.known[party].running and self.store[party, write] is P and len(self.told[party, write]) == 3:
            self.apply(party, write)
            self.known[party].running.discard(write)
            if all(self.store[p, write] is C for p in PARTIES):
                self.acknowledged.add(write)

    @rule(parties=SOME, write=st.sampled_from(WRITES))
    def abort(self, parties: set[int], write: bytes) -> None:
        """The run ends at some parties without committing."""
        for party in parties:
            self.known[party].running.discard(write)

    @rule(party=st.sampled_from(PARTIES))
    def crash(self, party: int) -> None:
        self.known[party] = Recovery(party)
        self.in_flight = [m for m in self.in_flight if party not in m[:2]]

    @rule(senders=SOME, receiver=st.sampled_from(PARTIES), at_once=st.booleans())
    def report(self, senders: set[int], receiver: int, at_once: bool) -> None:
        """Parties tell another how the writes stand there, now; the messages come at once, or when they like."""
        for sender in senders - {receiver}:
            message = (sender, receiver, self.known[sender].shown(self.stored(sender)))
            if at_once:
                self.hear(*message)
            else:
                self.in_flight.append(message)

    @rule(data=st.data(), again=st.booleans())
    def deliver(self, data: st.DataObject, again: bool) -> None:
        """Any report arrives, in any order, perhaps twice."""
        if self.in_flight:
            index = data.draw(st.integers(0, len(self.in_flight) - 1))
            self.hear(*(self.in_flight[index] if again else self.in_flight.pop(index)))

    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        if self.in_flight:
            self.in_flight.pop(data.draw(st.integers(0, len(self.in_flight) - 1)))

    def hear(self, sender: int, receiver: int, states: dict[bytes, State]) -> None:
        for write, decision in self.known[receiver].hear(sender, states, self.stored(receiver)).items():
            if decision is Decision.COMMIT:
                self.apply(receiver, write)
            else:
                assert self.store[receiver, write] is P
                self.store[receiver, write] = D

    def apply(self, party: int, write: bytes) -> None:
        assert self.store[party, write] is P
        self.store[party, write] = C
        self.applied[party, write] += 1

    @invariant()
    def never_torn(self) -> None:
        """Committed somewhere is dropped or unseen nowhere, nothing is applied twice, nothing acknowledged is lost."""
        for write in WRITES:
            states = {self.store[p, write] for p in PARTIES}
            assert not (C in states and states & {D, U})
            assert write not in self.acknowledged or states == {C}
        assert max(self.applied.values()) <= 1

    def teardown(self) -> None:
        """All runs end, and everybody reports to everybody: then the parties agree about every write."""
        for party in PARTIES:
            self.known[party].running.clear()
        for _ in range(2):
            for sender, receiver in itertools.permutations(PARTIES, 2):
                self.hear(sender, receiver, self.known[sender].shown(self.stored(sender)))
        for write in WRITES:
            states = {self.store[p, write] for p in PARTIES}
            assert P not in states
            assert states == {C} or C not in states


def explore(examples: int, steps: int) -> None:
    """Run the machine; ``python -m tests.party.test_recovery`` does so at length."""
    Parties.TestCase.settings = settings(
        max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=list(HealthCheck)
    )
    Parties.TestCase("runTest").runTest()


def three_parties__should_agree_after_any_history() -> None:
    explore(400, 60)


if __name__ == "__main__":
    explore(1000, 100)
    print("100,000 steps: the parties agreed about every write")
