"""What a failure means to the caller, and to the peers."""

import asyncio

import structlog

from services.common.errors import AlreadyExists, FailedPrecondition, InvalidArgument, ServiceFault, Unavailable
from services.mpc.errors import EngineError, InputRefused, PeerLost, RoundTimeout
from services.party.agreement import Refusal, Refused
from services.party.errors import Divergence, RequestConflict, StoreError
from services.party.mailbox import SessionAborted

log = structlog.get_logger()


def known(error: BaseException, who: str = "a party") -> ServiceFault | None:
    """The status that a failure is known to mean, in a run or out of one; ``who`` has failed, as in "party 1"."""
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
