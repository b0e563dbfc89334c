"""Who may change a subject's references: whoever enrolled them, and those to whom an administrator gave a right. Pure.

A right is looked for in the store (Store.granted) only where the references are not all the caller's own.
"""

from collections.abc import Sequence

from visard_common.errors import PermissionDenied
from visard_common.operations import ADMINS, DECLARED
from visard_wire.v1 import common_pb2

from visard_party.store.contents import Name


def is_admin(caller: str) -> bool:
    """Whether a caller is an administrator, who may do what the role allows to whatever others have enrolled."""
    return caller.partition("/")[0] in ADMINS


def needs_right(request: common_pb2.Request, caller: str, concerned: Sequence[Name]) -> bool:
    """Whether a request changes, or joins, references that another caller has enrolled.

    ``concerned`` are the references that the request names: for an enrolment all that its subject has already.
    """
    foreign = any(name.enrolled_by != caller for name in concerned) and not is_admin(caller)
    return DECLARED[request.operation].claims and foreign


def refusal(request: common_pb2.Request, caller: str) -> PermissionDenied:
    """What a caller without a right is told: not whose the subject is."""
    allowed = f"one that {caller} has enrolled, or has a right to: an administrator can grant it"
    text = f"request.subject: {request.subject!r} was not enrolled by {caller}, who has no right to it: "
    return PermissionDenied(text + "an administrator can grant one", field="request.subject", allowed=allowed)
