"""What a failure means to the caller, and to the peers."""

import asyncio
from dataclasses import dataclass
from functools import partial

import structlog
from visard_common.errors import (
    FAULTS,
    AlreadyExists,
    Deviated,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    ServiceFault,
    Unavailable,
)
from visard_common.rpc import Known
from visard_engine.errors import EngineError, InputRefused, PeerLost, RoundTimeout

from visard_party.errors import Divergence, RequestConflict, StoreError
from visard_party.peers.evidence import CHECK, ELSEWHERE, MESSAGE, VIEWS, kind_of
from visard_party.peers.mailbox import SessionAborted

log = structlog.get_logger()

# whom it was is nobody's guess yet, and a caller's least of all
_DEVIATIONS = {
    VIEWS: "the parties have not seen the same: nothing was decided",
    CHECK: "what the parties computed does not pass their check: nothing was decided",
    MESSAGE: "a party sent what does not belong there: nothing was decided",
    ELSEWHERE: "a party has not followed the protocol: nothing was decided",
}


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
        """The refusal that tells a fault to the peers, with this follower's floors where kits were the reason."""
        return cls(fault.code, fault.message, fault.retry_after, floors)

    def fault(self) -> ServiceFault:
        """The fault that every party answers."""
        return FAULTS.get(self.code, Internal)(self.message, retry_after=self.retry_after)


class Refused(Exception):
    """The verdict was no. All three parties hear it from the leader: nobody aborts the session, which could be heard first."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.fault = refusal.fault()


def known(error: BaseException, who: str = "a party") -> ServiceFault | None:
    """The status that a failure is known to mean, in a run or out of one; ``who`` has failed, as in "party 1"."""
    if kind := kind_of(error):
        return Deviated(_DEVIATIONS[kind], kind=kind)
    match error:
        case ServiceFault():
            return error
        case Refused():
            return error.fault
        case SessionAborted():
            return Refusal(error.code, error.reason, error.retry_after).fault()
        case PeerLost():
            return Unavailable(str(error))
        case RoundTimeout():
            return Unavailable("a party did not answer in time")
        case RequestConflict():
            return AlreadyExists(str(error))
        case Divergence():
            return FailedPrecondition(f"{who}: {error}: run visard admin audit, then visard admin recover")
        case StoreError():
            return Unavailable(f"{who}'s store is unavailable")
        case InputRefused():
            return InvalidArgument.of(error.field, error.allowed)
    return None


def meaning(party: int) -> Known:
    """Which status an exception means that ends a call of this party."""
    return partial(known, who=f"party {party}")


def fault_of(error: BaseException, who: str = "a party") -> ServiceFault:
    """The status to answer with when a run fails; what only the operator or nobody foresaw is logged here."""
    if isinstance(error, StoreError):
        log.error("store failure", reason=str(error))
    if (fault := known(error, who)) is not None:
        return fault
    if isinstance(error, asyncio.CancelledError):
        return Unavailable("the request was cancelled")
    if isinstance(error, EngineError):
        log.error("engine failure", reason=str(error), kind=type(error).__name__)
        return Unavailable(f"{who} could not finish the run")
    log.exception("run failed")
    return Unavailable(f"{who} failed")
