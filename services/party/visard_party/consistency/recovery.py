"""Writes that a crash left unfinished: what each party does about them. Pure: states in, decisions out.

A party commits only after all three have staged (visard_party.consistency.writes). So a committed write is staged everywhere
and can always be rolled forward; a write that somebody has not staged was acknowledged to nobody and is dropped. DROPPED is
final: a party that dropped a write refuses to stage it, so it cannot be committed later.

One party may lie. So nothing is committed before both peers were heard: of a run that an honest party has given up it says
so, and no other's word outweighs that. A run needs all three parties, so whoever waits for one is missed by nobody.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from visard_party.errors import Divergence
from visard_party.store.contents import State


class Decision(Enum):
    """What a party does with a pending write; WAIT until more peers have been heard."""

    COMMIT = "commit"
    DROP = "drop"
    WAIT = "wait"


def decide(states: Mapping[int, State]) -> Decision:
    """What a party with a pending write does, given the states it has heard, its own included, by party number.

    Raises Divergence where the states contradict the protocol: committed here, dropped or never staged there.
    """
    seen = set(states.values())
    if State.COMMITTED in seen and seen & {State.DROPPED, State.UNKNOWN}:
        raise Divergence("one party has committed a write that another has dropped or never seen")
    if State.RUNNING in seen or len(states) < 3:
        return Decision.WAIT
    return Decision.COMMIT if seen <= {State.PENDING, State.COMMITTED} else Decision.DROP


@dataclass
class Recovery:
    """What one party knows about unfinished writes: its runs in progress, and what its peers have said.

    Events go in (a run begins or ends, a report comes), decisions come out; the store's states are arguments.
    """

    party: int
    running: set[bytes] = field(default_factory=set)
    _heard: dict[bytes, dict[int, State]] = field(default_factory=dict)

    def due(self, pending: Iterable[bytes]) -> list[bytes]:
        """Of the pending writes those that no run here will finish: the peers must be asked."""
        return [request_id for request_id in pending if request_id not in self.running]

    def in_the_way(self, pending: Iterable[bytes], request_id: bytes, *, alone: bool) -> set[bytes]:
        """Of the pending writes those that must be decided before this request may write.

        What a crash has left is committed or dropped at each party in its own time: whatever is written meanwhile could
        come before it here and after it there. Writes of runs in progress are in nobody's way but that of one that must
        be ``alone``: party 0 lets only such be under way beside each other as may be made in any order.
        """
        return {other for other in pending if other != request_id and (alone or other not in self.running)}

    def shown(self, stored: Mapping[bytes, State]) -> dict[bytes, State]:
        """States to tell a peer: a run in progress may still stage, or commit, what the store does not show yet."""
        return {
            request_id: State.RUNNING if request_id in self.running and state is not State.COMMITTED else state
            for request_id, state in stored.items()
        }

    def hear(self, peer: int, report: Mapping[bytes, State], stored: Mapping[bytes, State]) -> dict[bytes, Decision]:
        """Take in a peer's report; what to do about the writes in it, given the store's states of them.

        A write whose states contradict each other is left alone: nothing is decided about it.
        """
        decisions: dict[bytes, Decision] = {}
        for request_id, state in report.items():
            self._heard.setdefault(request_id, {})[peer] = state
            if self.shown(stored).get(request_id) is not State.PENDING:
                del self._heard[request_id]
                continue
            decision = self._decide(request_id)
            if decision is not Decision.WAIT:
                decisions[request_id] = decision
                del self._heard[request_id]
        return decisions

    def _decide(self, request_id: bytes) -> Decision:
        try:
            return decide(self._heard[request_id] | {self.party: State.PENDING})
        except Divergence:
            return Decision.WAIT
