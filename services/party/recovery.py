"""Writes that a crash left unfinished: what each party does about them. Pure: states in, decisions out.

A party commits only after all three have staged (services.party.runs). So a committed write is staged everywhere and can
always be rolled forward; a write that somebody has not staged was acknowledged to nobody and is dropped. DROPPED is
final: a party that dropped a write refuses to stage it, so it cannot be committed later.
"""

from collections.abc import Mapping
from enum import Enum

from services.party.errors import Divergence
from services.party.store.base import State


class Decision(Enum):
    """What to do with a pending write."""

    COMMIT = "commit"
    DROP = "drop"
    WAIT = "wait"


def decide(states: Mapping[int, State]) -> Decision:
    """What a party with a pending write does, given the states it has heard, its own included, by party number.

    Raises Divergence where the states contradict the protocol: committed here, dropped or never staged there.
    """
    seen = set(states.values())
    if State.COMMITTED in seen:
        if seen & {State.DROPPED, State.UNKNOWN}:
            raise Divergence("one party has committed a write that another has dropped or never seen")
        return Decision.COMMIT
    if State.RUNNING in seen or len(states) < 3:
        return Decision.WAIT
    return Decision.COMMIT if seen == {State.PENDING} else Decision.DROP
