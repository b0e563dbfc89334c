"""Faults: what a service answers when it cannot do what it was asked. Each maps to one gRPC status.

ServiceFault
    caller's     InvalidArgument, NotFound, AlreadyExists, PermissionDenied, Aborted (Deviated)
    operator's   FailedPrecondition, ResourceExhausted, Unavailable, DeadlineExceeded
    developer's  Internal (made of any other exception; its text stays in the log)
"""

from typing import ClassVar

from visard_common.limits import MAX_TEXT


def cut(text: str) -> str:
    """A text as long as a status may carry: what a caller has sent may be part of it, and headers have limits."""
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


class ServiceFault(Exception):
    """An answer other than success. ``field`` names what is wrong and ``allowed`` what would be right; all texts are cut."""

    code: ClassVar[str] = "INTERNAL"

    def __init__(
        self, message: str, *, field: str | None = None, allowed: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(cut(message))
        self.message = cut(message)
        self.field = cut(field) if field is not None else None
        self.allowed = cut(allowed) if allowed is not None else None
        self.retry_after = retry_after


class InvalidArgument(ServiceFault):
    """A field is wrong."""

    code = "INVALID_ARGUMENT"

    @classmethod
    def of(cls, field: str, allowed: str) -> "InvalidArgument":
        """The usual form: which field, and what is allowed."""
        return cls(f"{field}: {allowed}", field=field, allowed=allowed)


class NotFound(ServiceFault):
    """What the request names does not exist."""

    code = "NOT_FOUND"


class AlreadyExists(ServiceFault):
    """What the request would make exists, or the request was seen before."""

    code = "ALREADY_EXISTS"


class PermissionDenied(ServiceFault):
    """The certificate's role may not do this."""

    code = "PERMISSION_DENIED"


class Aborted(ServiceFault):
    """The write was undone after a failure; it may be sent again with a fresh request id."""

    code = "ABORTED"


class Deviated(Aborted):
    """A party did not follow the protocol: nothing was decided, and nothing is stored. ``kind``: how it was noticed."""

    def __init__(
        self,
        message: str,
        *,
        field: str | None = None,
        allowed: str | None = None,
        retry_after: float | None = None,
        kind: str = "",
    ) -> None:
        super().__init__(message, field=field, allowed=allowed, retry_after=retry_after)
        self.kind = kind


class FailedPrecondition(ServiceFault):
    """The parties are not in a state in which this could be done."""

    code = "FAILED_PRECONDITION"


class ResourceExhausted(ServiceFault):
    """A limit is reached; ``retry_after`` (seconds) says when to try again."""

    code = "RESOURCE_EXHAUSTED"


class Unavailable(ServiceFault):
    """Somebody who is needed is away."""

    code = "UNAVAILABLE"


class DeadlineExceeded(ServiceFault):
    """Not done in the time allowed."""

    code = "DEADLINE_EXCEEDED"


class Internal(ServiceFault):
    """A defect of the service."""

    code = "INTERNAL"


FAULTS: dict[str, type[ServiceFault]] = {
    fault.code: fault
    for fault in (
        InvalidArgument,
        NotFound,
        AlreadyExists,
        PermissionDenied,
        Aborted,
        FailedPrecondition,
        ResourceExhausted,
        Unavailable,
        DeadlineExceeded,
        Internal,
    )
}
