"""A run among the workers of one number: its session, which follows from their parties' run, and its kits."""

import hashlib
from collections.abc import Sequence

from visard_common.limits import SESSION_BYTES
from visard_engine.kits import Kit, KitPlan

from visard_party.peers.channel import SessionChannel
from visard_party.runs.agreement import Terms
from visard_party.runs.handshake import Agreeing


def session_of(what: bytes, party_session: bytes, number: int) -> bytes:
    """The name of the workers' session for what they do in a run of their parties, once."""
    named = b"visard worker session" + what + party_session + bytes([number])
    return hashlib.sha256(named).digest()[:SESSION_BYTES]


def digests(plans: Sequence[KitPlan]) -> tuple[str, ...]:
    """The plans, as they are compared."""
    return tuple(plan.digest.hex() for plan in plans)


async def agreed(
    agreeing: Agreeing, channel: SessionChannel, terms: Terms, plans: tuple[KitPlan, ...], seconds: float
) -> list[Kit]:
    """A kit for each plan, once all three workers agree to the terms; the two others may come so many seconds later.

    Raises Refused, ServiceFault, EngineError.
    """
    return await agreeing.kits(channel, terms, plans, await agreeing.proposal(channel, seconds))
