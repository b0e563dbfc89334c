"""How a run starts: what the leader (party 0) proposes, what the others check, and how all three come to one verdict.

Pure: messages and decisions. visard_party.runs.handshake sends them. The rounds: the leader's proposal; each follower's reply;
the leader's verdict. Whoever refuses makes all three answer the same status.

On the way the three toss a coin that nobody could know before the shares of the request were handed in: each draws a nonce when
it holds its share, the leader says only the hash of its own until it has heard the others' (M. Blum, "Coin flipping by
telephone", CRYPTO 1981). The tests of what a client has shared depend on it (visard_engine.protocols.degree).

With another coin, tossed in the same messages, they make the key that says which kits are audited (visard_party.kits.audit), when
they have no common one: at their first run, or after one has lost its disk or wants more or fewer audits. No kit is taken by who
notices it, and the three begin again with the proposal. So they do where a number was set aside at one of them alone.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from visard_common.errors import (
    FailedPrecondition,
    PermissionDenied,
    ResourceExhausted,
    Unavailable,
)
from visard_common.limits import LEADER, RETRY_SECONDS
from visard_engine.errors import ProtocolError

from visard_party.faults import Refusal
from visard_party.kits.audit import AuditKey, strictest
from visard_party.kits.ledger import MAX_NUMBER
from visard_party.operations.prepared import Prepared
from visard_party.spread import MAX_WORKERS

NONCE_BYTES = 32

_NONSENSE = (ValueError, TypeError, KeyError, RecursionError)


@dataclass(frozen=True)
class Terms:
    """What all three must see alike: the request, the rows it is compared with, the model, the kit plans, as hex digests.

    And who has signed: two callers could sign one request. ``workers`` and ``describer`` are what the leader says of who does
    what (visard_party.intake.asked).
    """

    request: str
    caller: str
    rows: str
    model: str
    plans: tuple[str, ...]
    workers: int = 0
    describer: int = 0

    @classmethod
    def of(cls, prepared: Prepared) -> "Terms":
        """Those of a request that is about to be run."""
        plans = tuple(plan.digest.hex() for plan in prepared.plans)
        asked, digests = prepared.asked, (prepared.rows_digest.hex(), prepared.model_digest.hex())
        return cls(asked.digest.hex(), asked.caller, *digests, plans, asked.workers, asked.describer)


@dataclass(frozen=True)
class Proposal:
    """The leader's terms, the kit number it has chosen for each plan, and the hash of its nonce in hex.

    ``audit`` names the audit key by which it has chosen them. Without one it has chosen none, and both are empty.
    """

    terms: Terms
    kits: tuple[int, ...]
    commitment: str
    audit: str = ""


@dataclass(frozen=True)
class Reply:
    """A follower's answer: why not, or the tags of the kits it has taken, in hex; and its nonce in hex.

    Also the name of its audit key, and of how many kits it wants one audited. It has taken none when the leader's key is another;
    nor where one is ``aside``, audited here by an earlier key that the leader had not heard of.
    """

    refusal: Refusal | None
    kits: tuple[str, ...] = ()
    nonce: str = ""
    audit: str = ""
    audit_one_in: int = 0
    aside: bool = False


@dataclass(frozen=True)
class Verdict:
    """The leader's last word: why not, or go, or begin again; and each party's nonce in hex, in order of party.

    With ``audit_one_in`` the coin of these nonces makes an audit key, of so many kits one.
    """

    refusal: Refusal | None
    nonces: tuple[str, ...] = ()
    again: bool = False
    audit_one_in: int | None = None


def check(terms: Terms, own: Terms) -> Refusal | None:
    """A follower's view of the leader's terms."""
    if terms.request != own.request:
        return Refusal.of(FailedPrecondition("the parties were given different requests"))
    if terms.caller != own.caller:
        return Refusal.of(PermissionDenied("the parties were given one request signed by different callers"))
    if terms.rows != own.rows:
        # a write that is committed here and not yet there; of differences that stay visard_party.consistency.watch speaks
        message = "the parties hold different references: a write is under way, or see visard status"
        return Refusal.of(Unavailable(message, retry_after=RETRY_SECONDS))
    if terms.model != own.model:  # likewise; of differences that stay visard_party.consistency.modelset speaks
        message = "the parties hold different models: a publication is under way, or see visard status"
        return Refusal.of(Unavailable(message, retry_after=RETRY_SECONDS))
    if terms.plans != own.plans:
        return Refusal.of(FailedPrecondition("the parties run different versions, or hold different models"))
    return None


def verdict(replies: list[Reply], own_kits: tuple[str, ...] | None) -> Refusal | None:
    """The first refusal, or None: go. Kits of one number must be one kit, or every answer would be wrong.

    ``own_kits`` is None where there are none to compare, because the parties begin again.
    """
    refusal = next((reply.refusal for reply in replies if reply.refusal is not None), None)
    if refusal is None and own_kits is not None and any(reply.kits != own_kits for reply in replies):
        message = "the parties' kits of one number differ: was the dealer's key changed? they are discarded"
        fault = ResourceExhausted(message, retry_after=RETRY_SECONDS)
        return Refusal(fault.code, fault.message, fault.retry_after, stale_kits=True)
    return refusal


def commitment(nonce: bytes) -> str:
    """What the leader says of its nonce at first: SHA-256, in hex."""
    return hashlib.sha256(b"visard nonce" + nonce).hexdigest()


def tossed(verdict: Verdict, proposal: Proposal, party: int, nonce: bytes) -> bytes:
    """The coin, 32 bytes, as a follower sees it; raises ProtocolError when a nonce is not what was said of it before."""
    nonces = [bytes.fromhex(one) for one in verdict.nonces]
    if commitment(nonces[LEADER]) != proposal.commitment or nonces[party] != nonce:
        raise ProtocolError("the leader's verdict holds other nonces than were given")
    return coin(nonces)


def coin(nonces: Sequence[bytes]) -> bytes:
    """The coin that three nonces make, 32 bytes."""
    return hashlib.sha256(b"visard coin" + b"".join(nonces)).digest()


def audit_key(verdict: Verdict, coin: bytes, wanted: int) -> AuditKey:
    """The audit key of a verdict that begins again; raises ProtocolError when it audits less than this party wants."""
    one_in = verdict.audit_one_in or 0
    if strictest([one_in, wanted]) != one_in:
        raise ProtocolError("the leader's verdict audits fewer kits than this party wants")
    return AuditKey.of(coin, one_in)


def encode(message: Proposal | Reply | Verdict) -> bytes:
    """A message as JSON, which the three decoders take."""
    return json.dumps(asdict(message)).encode()


def decode_proposal(data: bytes) -> Proposal:
    """The leader's proposal; raises ProtocolError."""
    try:
        raw = json.loads(data)
        terms = raw["terms"]
        plans = tuple(str(plan) for plan in terms["plans"])
        kits = tuple(int(number) for number in raw["kits"])
        digests = str(terms["rows"]), str(terms["model"])
        who = _workers(terms["workers"]), _workers(terms["describer"])
        agreed = Terms(str(terms["request"]), str(terms["caller"]), *digests, plans, *who)
        proposal = Proposal(agreed, kits, str(raw["commitment"]), str(raw["audit"]))
    except _NONSENSE as error:
        raise ProtocolError("the leader's proposal makes no sense") from error
    expected = len(proposal.terms.plans) if proposal.audit else 0
    if len(proposal.kits) != expected or any(not 0 < number <= MAX_NUMBER for number in kits):
        raise ProtocolError("the leader's proposal makes no sense")
    return proposal


def decode_reply(data: bytes) -> Reply:
    """A follower's reply; raises ProtocolError."""
    try:
        raw = json.loads(data)
        kits, one_in = tuple(str(kit) for kit in raw["kits"]), _one_in(raw["audit_one_in"])
        return Reply(
            _refusal(raw["refusal"]), kits, _nonce(raw["nonce"]), str(raw["audit"]), one_in, raw["aside"] is True
        )
    except _NONSENSE as error:
        raise ProtocolError("a peer's reply makes no sense") from error


def decode_verdict(data: bytes) -> Verdict:
    """The leader's verdict; raises ProtocolError."""
    try:
        raw = json.loads(data)
        first, second, third = (_nonce(nonce) for nonce in raw["nonces"])
        one_in = None if raw["audit_one_in"] is None else _one_in(raw["audit_one_in"])
        return Verdict(_refusal(raw["refusal"]), (first, second, third), raw["again"] is True, one_in)
    except _NONSENSE as error:
        raise ProtocolError("the leader's verdict makes no sense") from error


def _workers(raw: Any) -> int:
    if not isinstance(raw, int) or not 0 <= raw <= MAX_WORKERS:
        raise ValueError("a number of workers that makes no sense")
    return raw


def _one_in(raw: Any) -> int:
    if not isinstance(raw, int) or not 0 <= raw < 1 << 32:
        raise ValueError("a number of kits that makes no sense")
    return raw


def _nonce(raw: Any) -> str:
    if len(bytes.fromhex(raw)) != NONCE_BYTES:
        raise ValueError("a nonce of another size")
    return str(raw)


def _refusal(raw: Any) -> Refusal | None:
    if raw is None:
        return None
    floors = tuple(min(max(int(floor), 1), MAX_NUMBER) for floor in raw["floors"])
    retry = None if raw["retry_after"] is None else float(raw["retry_after"])
    return Refusal(str(raw["code"]), str(raw["message"]), retry, floors, bool(raw["stale_kits"]))
