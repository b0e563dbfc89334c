"""What a request may look like: every field checked before anything is kept. Pure."""

import re
from collections.abc import Mapping

from visard.v1 import common_pb2

from services.common.errors import InvalidArgument

Operation = common_pb2.Operation

REQUEST_ID_BYTES = 16
MAX_EXPIRY_MS = 10 * 60 * 1000
MAX_IMAGES = 16

_SUBJECT = re.compile(r"[A-Za-z0-9._@-]{1,128}")
_MODEL = re.compile(r"[a-z0-9._-]{1,64}")
_POINT = re.compile(r"[A-Za-z0-9_]{0,64}")

# images a request of each operation carries
_IMAGES: Mapping[int, range] = {
    Operation.OPERATION_ENROL: range(1, MAX_IMAGES + 1),
    Operation.OPERATION_VERIFY: range(1, 2),
    Operation.OPERATION_IDENTIFY: range(1, 2),
    Operation.OPERATION_COMPARE: range(2, 3),
    Operation.OPERATION_DELETE: range(1),
    Operation.OPERATION_PUBLISH: range(1),
}
_WITH_SUBJECT = (Operation.OPERATION_ENROL, Operation.OPERATION_VERIFY, Operation.OPERATION_DELETE)


def check(request: common_pb2.Request, now_unix_ms: int) -> None:
    """Raise InvalidArgument naming the first field that is wrong, and what is allowed."""
    if len(request.request_id) != REQUEST_ID_BYTES:
        raise InvalidArgument.of("request.request_id", f"{REQUEST_ID_BYTES} bytes")
    if request.operation not in _IMAGES:
        raise InvalidArgument.of("request.operation", "enrol, verify, identify, compare, delete or publish")
    if request.operation in _WITH_SUBJECT:
        _match(_SUBJECT, "request.subject", request.subject, "1 to 128 of A-Z a-z 0-9 . _ @ -")
    elif request.subject:
        raise InvalidArgument.of("request.subject", "empty for this operation")
    _match(_MODEL, "request.model", request.model, "1 to 64 of a-z 0-9 . _ -")
    _match(_POINT, "request.operating_point", request.operating_point, "at most 64 of A-Z a-z 0-9 _")
    allowed = _IMAGES[request.operation]
    if request.images not in allowed:
        raise InvalidArgument.of("request.images", f"{allowed.start} to {allowed.stop - 1} for this operation")
    if not now_unix_ms < request.expires_unix_ms <= now_unix_ms + MAX_EXPIRY_MS:
        raise InvalidArgument.of("request.expires_unix_ms", f"in the next {MAX_EXPIRY_MS // 60000} minutes")
    publishing = request.operation == Operation.OPERATION_PUBLISH
    if len(request.program_digest) != (32 if publishing else 0):
        raise InvalidArgument.of("request.program_digest", "32 bytes for publish, else empty")


def _match(pattern: re.Pattern[str], field: str, value: str, allowed: str) -> None:
    if not pattern.fullmatch(value):
        raise InvalidArgument.of(field, allowed)
