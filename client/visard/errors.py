"""All errors of the client.

VisardError
    CaptureError        the photo: nothing was sent
        NotAnImage, NoFace, DoubtfulFace, SeveralFaces, FaceTooSmall, PartialFace, TooDark, QualityError
    RequestError        the request: change it
        InvalidRequest (StaleKey), NotFound, AlreadyExists, PermissionDenied,
        FailedPrecondition (NobodyEnrolled, SubjectLocked)
    ServiceError        the service: try again, or ask its operator
        Unavailable (Unreachable), Undone (Deviated), Exhausted, DeadlineExceeded, InternalError
    TrustError          somebody between us and the parties, or one of them, does not keep to the rules
        UntrustedKey, SealError, InconsistentAnswer
    NotOpen             the program: use a client as a context manager
"""

from collections.abc import Iterator
from typing import Any, cast

from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode
from grpc.aio import AioRpcError
from visard_wire.errors import (
    DEVIATES,
    NOBODY_ENROLLED,
    SUBJECT_LOCKED,
    InvalidRequest,
    RequestError,
    SealError,
    TrustError,
    UntrustedKey,
    VisardError,
)


class CaptureError(VisardError):
    """The photo cannot be used; nothing was sent."""


class NotAnImage(CaptureError):
    """The file is no image of a kind that is read, or a damaged or giant one."""


class NoFace(CaptureError):
    """No face was found: use a photo that shows one from the front, in good light."""


class DoubtfulFace(CaptureError):
    """What was found may be no person's face: an animal's, a drawing, or a face that cannot be seen well."""


class SeveralFaces(CaptureError):
    """More than one face was found and none was chosen."""


class FaceTooSmall(CaptureError):
    """The face has too few pixels to be told from others: see docs/capture.md."""


class PartialFace(CaptureError):
    """A good part of the face lies outside the photo or is covered."""


class TooDark(CaptureError):
    """The face is too dark to be told from others: see docs/capture.md."""


class QualityError(CaptureError):
    """The photo shows a face, but not well enough to be enrolled or asked about; the text says what to change.

    With ``force`` such a photo is taken all the same. What is asked of photos: visard.capture.gates, docs/capture.md.
    """


class StaleKey(InvalidRequest):
    """A party has another sealing key by now. The client fetches the keys anew and sends again, once, by itself."""


class NotFound(RequestError):
    """No such subject, reference, right or model."""


class AlreadyExists(RequestError):
    """This request, a subject or model of this name, or (with unique) this person, is there already."""


class PermissionDenied(RequestError):
    """The certificate's role may not do this, or another caller has enrolled the subject."""


class FailedPrecondition(RequestError):
    """The parties are not in a state to do this; the text says why."""


class NobodyEnrolled(FailedPrecondition):
    """There is nobody to be found: nobody is enrolled with the model in the gallery."""


class SubjectLocked(FailedPrecondition):
    """Too many verifications of the subject have failed in a row, in a gallery that locks: an administrator can unlock it."""


class ServiceError(VisardError):
    """The service could not answer: the same request may succeed later."""


class Unavailable(ServiceError):
    """A service is down or lost its peers."""


class Unreachable(Unavailable):
    """Nobody answers at the gateway's address, or there is no trust between its certificate and ours."""


class Undone(ServiceError):
    """A write was undone after a failure: nothing is stored. Send it again as a new request."""


class Deviated(Undone):
    """A party did not keep to the protocol: nothing was decided, and nothing is stored. Its operators must look at their logs.

    The client sends such a request again, once, by itself.
    """


class Exhausted(ServiceError):
    """A limit is reached; ``retry_after`` says in how many seconds to try again."""

    def __init__(self, message: str, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class DeadlineExceeded(ServiceError):
    """No answer in the time allowed; a write may have been made all the same."""


class InternalError(ServiceError):
    """A defect of the service; its log has the details."""


class NotOpen(VisardError):
    """A client is used before it was opened, or after it was closed."""


class InconsistentAnswer(TrustError):
    """The parties' answers contradict each other."""


__all__ = [
    "AlreadyExists",
    "CaptureError",
    "DeadlineExceeded",
    "Deviated",
    "DoubtfulFace",
    "Exhausted",
    "FaceTooSmall",
    "FailedPrecondition",
    "InconsistentAnswer",
    "InternalError",
    "InvalidRequest",
    "NoFace",
    "NobodyEnrolled",
    "NotAnImage",
    "NotFound",
    "NotOpen",
    "PartialFace",
    "PermissionDenied",
    "QualityError",
    "RequestError",
    "SealError",
    "ServiceError",
    "SeveralFaces",
    "StaleKey",
    "SubjectLocked",
    "TooDark",
    "TrustError",
    "Unavailable",
    "Undone",
    "Unreachable",
    "UntrustedKey",
    "VisardError",
    "from_rpc",
]

_KEY_FIELDS = ("header.shares.key_id", "envelope.key_id")
_ERRORS: dict[StatusCode, type[VisardError]] = {
    StatusCode.INVALID_ARGUMENT: InvalidRequest,
    StatusCode.NOT_FOUND: NotFound,
    StatusCode.ALREADY_EXISTS: AlreadyExists,
    StatusCode.PERMISSION_DENIED: PermissionDenied,
    StatusCode.UNAUTHENTICATED: PermissionDenied,
    StatusCode.FAILED_PRECONDITION: FailedPrecondition,
    StatusCode.ABORTED: Undone,
    StatusCode.UNAVAILABLE: Unavailable,
    StatusCode.CANCELLED: Unavailable,
    StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
}


def from_rpc(error: AioRpcError, gateway: str) -> VisardError:
    """The error that a failed call to the gateway at this address means."""
    text = error.details() or error.code().name
    if error.code() is StatusCode.UNAVAILABLE and _NO_CONNECTION in text:
        return Unreachable(_unreachable(text, gateway))
    if error.code() is StatusCode.RESOURCE_EXHAUSTED:
        return Exhausted(text, _retry_after(error))
    if error.code() is StatusCode.INVALID_ARGUMENT and _field(error) in _KEY_FIELDS:
        return StaleKey(text)
    if error.code() is StatusCode.FAILED_PRECONDITION and text == NOBODY_ENROLLED:
        return NobodyEnrolled(text)
    if error.code() is StatusCode.FAILED_PRECONDITION and text == SUBJECT_LOCKED:
        return SubjectLocked(text)
    if error.code() is StatusCode.ABORTED and _reason(error) == DEVIATES:
        return Deviated(text)
    return _ERRORS.get(error.code(), InternalError)(text)


_NO_CONNECTION = "failed to connect to all addresses"


def _unreachable(text: str, gateway: str) -> str:
    """Of what gRPC says about sockets and handshakes, what a person can do something about."""
    if "handshake" in text.lower() or "CERTIFICATE" in text or "peer address" in text:
        return (
            f"no trust between us and the gateway at {gateway}: is ca.pem its authority's, and our certificate of it?"
        )
    return f"nobody answers at {gateway}: are the services running (visard up)?"


def _retry_after(error: AioRpcError) -> float:
    """Seconds in the call's RetryInfo, or one."""
    info = error_details_pb2.RetryInfo()
    if any(detail.Unpack(info) for detail in _details(error)):
        return float(info.retry_delay.seconds + info.retry_delay.nanos / 1e9)
    return 1.0


def _field(error: AioRpcError) -> str:
    """The field that the service found wrong, if it named one."""
    bad = error_details_pb2.BadRequest()
    found = any(detail.Unpack(bad) for detail in _details(error)) and bad.field_violations
    return bad.field_violations[0].field if found else ""


def _reason(error: AioRpcError) -> str:
    """Why, where the service gave a reason that programs read."""
    info = error_details_pb2.ErrorInfo()
    return info.reason if any(detail.Unpack(info) for detail in _details(error)) else ""


def _details(error: AioRpcError) -> Iterator[Any]:
    for key, value in cast("tuple[tuple[str, str | bytes], ...]", error.trailing_metadata() or ()):
        if key == "grpc-status-details-bin" and isinstance(value, bytes):
            yield from status_pb2.Status.FromString(value).details
