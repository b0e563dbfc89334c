"""``python -m bench.histories [STEPS]``: random histories of three parties and their writes, with crashes and lost messages.

After each step no write is torn and none is done twice; at the end of each history all three parties hold the same.
"""

import itertools
import sqlite3
import sys
from dataclasses import dataclass

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from visard_party.consistency.recovery import Decision, Recovery
from visard_party.store import sqlite_writes
from visard_party.store.contents import Change, Reference, Rename, Renew, State, Write
from visard_wire.secret import Secret

P, C, D, U = State.PENDING, State.COMMITTED, State.DROPPED, State.UNKNOWN
PARTIES = range(3)
LEADER = 0
SOME = st.just(set(PARTIES)) | st.sets(st.sampled_from(PARTIES), min_size=1)
KINDS = ("enrol", "rename", "rename", "renew", "delete", "replace")
MOST_OPEN = 4  # writes at a time
MOST_ROWS = 4


def reference(name: str) -> Reference:
    """One that is not looked into."""
    return Reference(name, "ada", "face", 1, 0, 0, 0, b"", Secret(name.encode()))


@dataclass(frozen=True)
class Planned:
    """A write: which references it finds, brings, erases; an exclusive one raises the version of those that it finds."""

    content: Write
    finds: frozenset[str]
    brings: frozenset[str] = frozenset()
    erases: frozenset[str] = frozenset()

    @property
    def exclusive(self) -> bool:
        """Whether nothing else may run beside it."""
        return isinstance(self.content, Rename | Renew)


def planned(kind: str, number: int, rows: list[str]) -> Planned:
    """A write of a kind, given what is there."""
    fresh, some = f"r{number}", frozenset(rows[:2])
    if kind == "rename" and rows:
        return Planned(Rename(tuple(sorted(some)), f"s{number}", number), some)
    if kind == "renew" and rows:
        return Planned(Renew(tuple((name, Secret(b"new")) for name in rows), (), number), frozenset(rows))
    if (kind == "delete" and rows) or len(rows) > MOST_ROWS:
        return Planned(Change(erase=(rows[0],)), some, erases=frozenset(rows[:1]))
    if kind == "replace" and rows:
        change = Change((reference(fresh),), (rows[-1],))
        return Planned(change, frozenset(rows[-1:]), frozenset({fresh}), frozenset(rows[-1:]))
    both = (fresh, f"{fresh}b")
    return Planned(Change(tuple(map(reference, both))), frozenset(), frozenset(both))


class Parties(RuleBasedStateMachine):
    """Writes at three parties, whose stores are databases in memory: what the embedded store does to them is done.

    Stores survive crashes; runs, what was heard and messages do not. A run stages, tells the two others, and commits when
    it has heard both; a message of a run is lost when its receiver's run has ended. Reports between parties may be late,
    lost, doubled or out of order. A write begins where all three let it: its id is unknown there, nothing is in its way,
    and all hold the same of what it is about. Party 0 lets nothing run beside an exclusive one, until it crashes.
    """

    steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.stores = [sqlite3.connect(":memory:", isolation_level=None) for _ in PARTIES]
        for store in self.stores:
            store.executescript(sqlite_writes.SCHEMA)
        self.known = [Recovery(party) for party in PARTIES]
        self.writes: dict[bytes, Planned] = {}
        self.open: list[bytes] = []
        self.told: dict[tuple[int, bytes], set[int]] = {}
        self.in_flight: list[tuple[int, int, dict[bytes, State]]] = []
        self.acknowledged: set[bytes] = set()

    def state(self, party: int, write: bytes) -> State:
        """How a write stands at a party."""
        return sqlite_writes.state(self.stores[party], write)

    def states(self, write: bytes) -> list[State]:
        """How a write stands at each party."""
        return [self.state(party, write) for party in PARTIES]

    def rows(self, party: int) -> dict[str, tuple[str, int]]:
        """What readers see."""
        query = "SELECT reference_id, subject, version FROM refs WHERE visible ORDER BY reference_id"
        return {name: (subject, version) for name, subject, version in self.stores[party].execute(query)}

    def pending(self, party: int) -> list[bytes]:
        """The open writes that a party has staged."""
        return [write for write in self.open if self.state(party, write) is P]

    @rule(kind=st.sampled_from(KINDS), staged=st.just(set()) | SOME)
    def begin(self, kind: str, staged: set[int]) -> None:
        """A request comes, and runs until some parties have staged."""
        if len(self.open) < MOST_OPEN:
            write = len(self.writes).to_bytes(16, "big")
            self.writes[write] = planned(kind, len(self.writes), list(self.rows(LEADER)))
            self.open.append(write)
            self.start(write)
            self.stage(staged)

    @rule(kind=st.sampled_from(KINDS))
    def go_well(self, kind: str) -> None:
        """A request comes, and nothing is in its way."""
        self.begin(kind, set(PARTIES))
        self.commit(set(PARTIES))

    @rule(which=st.integers(0, MOST_OPEN - 1))
    def again(self, which: int) -> None:
        """A request that failed comes again."""
        if which < len(self.open):
            self.start(self.open[which])

    def start(self, write: bytes) -> None:
        """A run, if all three parties agree to take part in it."""
        if self.may_begin(write):
            for party in PARTIES:
                self.known[party].running.add(write)
                self.told[party, write] = {party}

    def may_begin(self, write: bytes) -> bool:
        """Whether all three parties would let a write begin."""
        plan, leads = self.writes[write], self.known[LEADER].running
        found = [{k: row for k, row in self.rows(p).items() if k in plan.finds} for p in PARTIES]
        return (
            self.states(write) == [U, U, U]
            and not any(write in self.known[p].running for p in PARTIES)
            and found[0] == found[1] == found[2]
            and found[0].keys() == plan.finds
            and not any(plan.exclusive or self.writes[other].exclusive for other in leads)
            and not any(self.known[p].in_the_way(self.pending(p), write, alone=plan.exclusive) for p in PARTIES)
        )

    @rule(parties=SOME)
    def stage(self, parties: set[int]) -> None:
        """The runs at some parties come to where they stage, and tell the others' runs."""
        for party in sorted(parties):
            for write in sorted(self.known[party].running):
                if self.state(party, write) is U:
                    sqlite_writes.stage(self.stores[party], write, self.writes[write].content, b"digest")
                    for peer in PARTIES:
                        if write in self.known[peer].running:
                            self.told[peer, write].add(party)

    @rule(parties=SOME)
    def commit(self, parties: set[int]) -> None:
        """Runs that have heard both others commit and end."""
        for party in sorted(parties):
            for write in sorted(self.known[party].running):
                if self.state(party, write) is P and len(self.told[party, write]) == 3:
                    sqlite_writes.commit(self.stores[party], write)
                    self.known[party].running.discard(write)
                    if self.states(write) == [C, C, C]:
                        self.acknowledged.add(write)

    @rule(parties=SOME, crash=st.booleans())
    def abort(self, parties: set[int], crash: bool) -> None:
        """All runs at some parties end without committing; after a crash they do not know what they have heard either."""
        for party in parties:
            self.known[party].running.clear()
        if crash:
            self.known = [Recovery(p) if p in parties else self.known[p] for p in PARTIES]
            self.in_flight = [m for m in self.in_flight if not parties & {*m[:2]}]

    @rule(senders=SOME, receiver=st.sampled_from(PARTIES), at_once=st.booleans())
    def report(self, senders: set[int], receiver: int, at_once: bool) -> None:
        """Parties tell another how the writes stand there, now; the messages come at once, or when they like."""
        for sender in sorted(senders - {receiver}):
            stored = {write: self.state(sender, write) for write in self.open}
            message = (sender, receiver, self.known[sender].shown(stored))
            if at_once:
                self.hear(*message)
            else:
                self.in_flight.append(message)

    @rule(data=st.data(), fate=st.sampled_from(["arrives", "arrives twice", "is lost"]))
    def deliver(self, data: st.DataObject, fate: str) -> None:
        """What becomes of any report that is under way, whichever was sent first."""
        if self.in_flight:
            index = data.draw(st.integers(0, len(self.in_flight) - 1))
            message = self.in_flight[index] if fate == "arrives twice" else self.in_flight.pop(index)
            if fate != "is lost":
                self.hear(*message)

    def hear(self, sender: int, receiver: int, states: dict[bytes, State]) -> None:
        """A report arrives, and what follows from it is done."""
        stored = {write: self.state(receiver, write) for write in states}
        for write, decision in self.known[receiver].hear(sender, states, stored).items():
            assert stored[write] is P
            if decision is Decision.COMMIT:
                sqlite_writes.commit(self.stores[receiver], write)
            else:
                sqlite_writes.drop(self.stores[receiver], write)

    @invariant()
    def never_torn(self) -> None:
        """Committed somewhere is dropped or unseen nowhere, and nothing that was acknowledged is lost."""
        type(self).steps += 1
        for write in self.open:
            states = set(self.states(write))
            assert not (C in states and states & {D, U})
            assert write not in self.acknowledged or states == {C}
        self.open = [write for write in self.open if not self.is_over(write)]

    def is_over(self, write: bytes) -> bool:
        """Whether nothing can happen to a write any more."""
        states = set(self.states(write))
        return states == {C} or (D in states and P not in states and not self.runs_somewhere(write))

    def runs_somewhere(self, write: bytes) -> bool:
        """Whether a party still has a run of a write."""
        return any(write in known.running for known in self.known)

    @invariant()
    def done_once(self) -> None:
        """Every party shows just what it has committed: each write once, and what was erased never again."""
        for party in PARTIES:
            committed = [plan for write, plan in self.writes.items() if self.state(party, write) is C]
            there = set[str]().union(*(plan.brings for plan in committed))
            there -= set[str]().union(*(plan.erases for plan in committed))
            versions = {k: 1 + sum(p.exclusive and k in p.finds for p in committed) for k in there}
            assert {name: version for name, (_, version) in self.rows(party).items()} == versions

    def teardown(self) -> None:
        """All runs end, and everybody reports to everybody: then all three hold the same, and nothing is undecided."""
        for party in PARTIES:
            self.known[party].running.clear()
        for _ in range(2):
            for sender, receiver in itertools.permutations(PARTIES, 2):
                self.report({sender}, receiver, at_once=True)
        for write in self.writes:
            states = set(self.states(write))
            assert P not in states
            assert states == {C} or C not in states
            assert write not in self.acknowledged or states == {C}
        assert self.rows(0) == self.rows(1) == self.rows(2)
        self.done_once()
        for store in self.stores:
            store.close()


def explore(examples: int, steps: int) -> None:
    """Run the machine."""
    Parties.TestCase.settings = settings(
        max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=list(HealthCheck)
    )
    Parties.TestCase("runTest").runTest()


def main() -> None:
    """``python -m bench.histories [STEPS]``: 100,000 steps, if no other number is given."""
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    while Parties.steps < wanted:
        explore(200, 100)
    print(f"{Parties.steps:,} steps: the parties agreed about every write")


if __name__ == "__main__":
    main()
