"""What a failure in a run means to the caller, and to the peers."""

import asyncio

import structlog

from services.common.errors import AlreadyExists, InvalidArgument, ServiceFault, Unavailable
from services.mpc.errors import EngineError, InputRefused, PeerLost, RoundTimeout
from services.party.agreement import Refusal, Refused
from services.party.errors import RequestConflict, StoreError
from services.party.mailbox import SessionAborted

log = structlog.get_logger()


def fault_of(error: BaseException) -> ServiceFault:
    """The status to answer with; what nobody foresaw is logged here."""
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
        case asyncio.CancelledError():
            return Unavailable("the request was cancelled")
        case RequestConflict():
            return AlreadyExists(str(error))
        case StoreError():
            log.error("store failure", reason=str(error))
            return Unavailable("a party's store is unavailable")
        case InputRefused():
            return InvalidArgument.of(error.field, error.allowed)
        case EngineError():
            log.error("engine failure", reason=str(error), kind=type(error).__name__)
            return Unavailable("a party could not finish the run")
    log.exception("run failed")
    return Unavailable("a party failed")
