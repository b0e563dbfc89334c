"""What a party writes down when somebody has not followed the protocol: its last rounds, by digests. Nothing secret is in it.

Nobody knows at once who it was. So all three write down what they have seen, under the session's name, and their operators
put the three logs side by side: docs/operations.md, A party deviates.
"""

import structlog
from visard_common.errors import Deviated, cut
from visard_engine.errors import CheckFailed, PartyDeviates, ProtocolError

from visard_party.metrics import DEVIATIONS
from visard_party.peers.mailbox import SessionAborted
from visard_party.peers.sessions import Rounds

VIEWS, CHECK, MESSAGE = "views", "check", "message"
KINDS = (VIEWS, CHECK, MESSAGE)
for _kind in KINDS:
    DEVIATIONS.labels(_kind)  # shown as 0 until something happens

log = structlog.get_logger()


def kind_of(error: BaseException | None) -> str:
    """How a deviation was noticed that has ended a run, or empty where it ended for another reason.

    By views that differ, by the check at the end, or by a message that does not belong where it came.
    """
    match error:
        case CheckFailed():
            return CHECK
        case PartyDeviates():
            return VIEWS
        case ProtocolError():
            return MESSAGE
        case SessionAborted():
            return error.deviation
        case Deviated():
            return error.kind
    return ""


def note(session: bytes, party: int, rounds: Rounds, error: BaseException | None) -> bool:
    """Log and count it if ``error``, for which this session has ended at this party, is a deviation; whether it is.

    Nor is anything said where a peer speaks of one and nothing was opened here: of a request whose batch has failed the batch's
    own session tells.
    """
    kind, heard = kind_of(error), isinstance(error, SessionAborted)
    if not kind or isinstance(error, Deviated) or (heard and not rounds):
        return False
    DEVIATIONS.labels(kind).inc()
    log.error(
        "a party deviates",
        session=session.hex(),
        party=party,
        kind=kind,
        noticed_by=error.peer if isinstance(error, SessionAborted) else party,
        reason=cut(str(error)),
        rounds=list(rounds),
    )
    return True
