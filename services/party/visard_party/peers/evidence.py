"""What a party writes down when somebody has not followed the protocol: its last rounds, by digests. Nothing secret is in it.

Nobody knows at once who it was. So all three write down what they have seen, under the session's name, and their operators
put the three logs side by side: docs/operations.md, A party deviates.
"""

import structlog
from visard_common.errors import Deviated, cut
from visard_engine.errors import CheckFailed, PartyDeviates, ProtocolError
from visard_wire.v1 import peer_pb2

from visard_party.metrics import DEVIATIONS
from visard_party.peers.mailbox import SessionAborted
from visard_party.peers.sessions import Rounds, Sessions

VIEWS, CHECK, MESSAGE = "views", "check", "message"
KINDS = (VIEWS, CHECK, MESSAGE)
ELSEWHERE = "elsewhere"  # in another session, which tells of it

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

    Of what has happened in another session, the one of a request's batch, that session tells, and nobody twice.
    """
    kind = kind_of(error)
    if kind not in KINDS or isinstance(error, Deviated):
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


def told(error: BaseException) -> str:
    """What the peers are told of an error that ends a session here: how a deviation was noticed, or that it was elsewhere."""
    return ELSEWHERE if isinstance(error, Deviated) else kind_of(error)


def given_up(sessions: Sessions, party: int, peer: int, close: peer_pb2.Close) -> None:
    """A peer has given up on a session, which may have ended well here: then its evidence is looked for as well."""
    deviation = close.deviation if close.deviation in (*KINDS, ELSEWHERE) else ""
    why = SessionAborted(close.code, close.reason, close.retry_after or None, deviation, peer)
    if deviation in KINDS and (rounds := sessions.take_evidence(close.session)):
        note(close.session, party, rounds, why)
    sessions.abort(close.session, why)
