"""How a run starts: what the leader (party 0) proposes, what the others check, and how all three come to one verdict.

Pure: messages and decisions. services.party.runs sends them. The rounds: the leader's proposal; each follower's reply;
the leader's verdict. Whoever refuses makes all three answer the same status.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any

from services.common.errors import FAULTS, FailedPrecondition, Internal, ResourceExhausted, ServiceFault, Unavailable
from services.mpc.errors import ProtocolError

LEADER = 0
RETRY_AFTER = 1.0  # seconds after which a caller may try again
FOLLOWERS = (1, 2)

_NONSENSE = (ValueError, TypeError, KeyError, RecursionError)


@dataclass(frozen=True)
class Terms:
    """What all three must see alike: the request, the rows it is compared with, and the kit plans, as hex digests."""

    request: str
    rows: str
    plans: tuple[str, ...]


@dataclass(frozen=True)
class Proposal:
    """The leader's terms and the kit number it has chosen for each plan."""

    terms: Terms
    kits: tuple[int, ...]


@dataclass(frozen=True)
class Refusal:
    """Why not: a status, its text, and when to try again; ``floors`` are a follower's lowest kit numbers for the plans.

    ``stale_kits``: what is in stock comes from different secrets of the dealer, and nobody can tell which is older.
    """

    code: str
    message: str
    retry_after: float | None = None
    floors: tuple[int, ...] = ()
    stale_kits: bool = False

    @classmethod
    def of(cls, fault: ServiceFault, floors: tuple[int, ...] = ()) -> "Refusal":
        """The refusal that a fault makes."""
        return cls(fault.code, fault.message, fault.retry_after, floors)

    def fault(self) -> ServiceFault:
        """The fault that every party answers."""
        return FAULTS.get(self.code, Internal)(self.message, retry_after=self.retry_after)


class Refused(Exception):
    """The verdict was no. All three parties hear it from the leader: nobody aborts the session, which could be heard first."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.fault = refusal.fault()


@dataclass(frozen=True)
class Reply:
    """A follower's answer: why not, or the fingerprints of the kits it has taken."""

    refusal: Refusal | None
    kits: tuple[str, ...] = ()


def check(terms: Terms, own: Terms) -> Refusal | None:
    """A follower's view of the leader's terms."""
    if terms.request != own.request:
        return Refusal.of(FailedPrecondition("the parties were given different requests"))
    if terms.rows != own.rows:
        # a write that is committed here and not yet there; of differences that stay services.party.upkeep speaks
        message = "the parties hold different references: a write is under way, or see visard status"
        return Refusal.of(Unavailable(message, retry_after=RETRY_AFTER))
    if terms.plans != own.plans:
        return Refusal.of(FailedPrecondition("the parties run different versions, or hold different models"))
    return None


def verdict(replies: list[Reply], own_kits: tuple[str, ...]) -> Refusal | None:
    """The first refusal, or None: go. Kits of one number must be one kit, or every answer would be wrong."""
    refusal = next((reply.refusal for reply in replies if reply.refusal is not None), None)
    if refusal is None and any(reply.kits != own_kits for reply in replies):
        message = "the parties' kits of one number differ: was the dealer's key changed? they are discarded"
        fault = ResourceExhausted(message, retry_after=RETRY_AFTER)
        return Refusal(fault.code, fault.message, fault.retry_after, stale_kits=True)
    return refusal


def encode(message: Proposal | Reply | Refusal | None) -> bytes:
    """A message as JSON; None means yes."""
    return json.dumps(asdict(message) if message is not None else None).encode()


def decode_proposal(data: bytes) -> Proposal:
    """The leader's proposal; raises ProtocolError."""
    try:
        raw = json.loads(data)
        terms = raw["terms"]
        plans = tuple(str(plan) for plan in terms["plans"])
        kits = tuple(int(number) for number in raw["kits"])
        proposal = Proposal(Terms(str(terms["request"]), str(terms["rows"]), plans), kits)
    except _NONSENSE as error:
        raise ProtocolError("the leader's proposal makes no sense") from error
    if len(proposal.kits) != len(proposal.terms.plans) or any(not 0 < number < 1 << 62 for number in kits):
        raise ProtocolError("the leader's proposal makes no sense")
    return proposal


def decode_reply(data: bytes) -> Reply:
    """A follower's reply; raises ProtocolError."""
    try:
        raw = json.loads(data)
        return Reply(_refusal(raw["refusal"]), tuple(str(kit) for kit in raw["kits"]))
    except _NONSENSE as error:
        raise ProtocolError("a peer's reply makes no sense") from error


def decode_verdict(data: bytes) -> Refusal | None:
    """The leader's verdict; raises ProtocolError."""
    try:
        return _refusal(json.loads(data))
    except _NONSENSE as error:
        raise ProtocolError("the leader's verdict makes no sense") from error


def _refusal(raw: Any) -> Refusal | None:
    if raw is None:
        return None
    floors = tuple(int(floor) for floor in raw["floors"])
    retry = None if raw["retry_after"] is None else float(raw["retry_after"])
    return Refusal(str(raw["code"]), str(raw["message"]), retry, floors, bool(raw["stale_kits"]))
