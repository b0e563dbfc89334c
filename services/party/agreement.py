"""How a run starts: what the leader (party 0) proposes, what the others check, and how all three come to one verdict.

Pure: messages and decisions. services.party.runs sends them. The rounds: the leader's proposal; each follower's reply;
the leader's verdict. Whoever refuses makes all three answer the same status.
"""

import json
from dataclasses import asdict, dataclass

from services.common.errors import FAULTS, FailedPrecondition, Internal, ServiceFault
from services.mpc.errors import ProtocolError

LEADER = 0
FOLLOWERS = (1, 2)


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
    """Why not: a status, its text, and when to try again; ``floors`` are a follower's lowest kit numbers for the plans."""

    code: str
    message: str
    retry_after: float | None = None
    floors: tuple[int, ...] = ()

    @classmethod
    def of(cls, fault: ServiceFault, floors: tuple[int, ...] = ()) -> "Refusal":
        """The refusal that a fault makes."""
        return cls(fault.code, fault.message, fault.retry_after, floors)

    def fault(self) -> ServiceFault:
        """The fault that every party answers."""
        return FAULTS.get(self.code, Internal)(self.message, retry_after=self.retry_after)


def check(terms: Terms, own: Terms) -> Refusal | None:
    """A follower's view of the leader's terms."""
    if terms.request != own.request:
        return Refusal.of(FailedPrecondition("the parties were given different requests"))
    if terms.rows != own.rows:
        return Refusal.of(
            FailedPrecondition("the parties hold different references: see visard status", retry_after=1.0)
        )
    if terms.plans != own.plans:
        return Refusal.of(FailedPrecondition("the parties run different versions, or hold different models"))
    return None


def verdict(replies: list[Refusal | None]) -> Refusal | None:
    """The first refusal, or None: go."""
    return next((reply for reply in replies if reply is not None), None)


def encode(message: Proposal | Refusal | None) -> bytes:
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
    except (ValueError, TypeError, KeyError) as error:
        raise ProtocolError("the leader's proposal makes no sense") from error
    if len(proposal.kits) != len(proposal.terms.plans) or any(not 0 < number < 1 << 62 for number in kits):
        raise ProtocolError("the leader's proposal makes no sense")
    return proposal


def decode_refusal(data: bytes) -> Refusal | None:
    """A reply or verdict; raises ProtocolError."""
    try:
        raw = json.loads(data)
        if raw is None:
            return None
        floors = tuple(int(floor) for floor in raw["floors"])
        retry = raw["retry_after"]
        return Refusal(str(raw["code"]), str(raw["message"]), None if retry is None else float(retry), floors)
    except (ValueError, TypeError, KeyError) as error:
        raise ProtocolError("a peer's reply makes no sense") from error
