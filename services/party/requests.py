"""What a request may look like: every field checked before anything is kept. Pure."""

import re
from collections.abc import Mapping

from visard.v1 import common_pb2

from services.common.errors import InvalidArgument
from services.common.limits import (
    DIGEST_BYTES,
    MAX_AHEAD_MS,
    MAX_EXPIRY_MS,
    MAX_IMAGES,
    MAX_INSTEAD,
    MAX_METADATA_BYTES,
    MAX_REFERENCES,
    MAX_TTL_SECONDS,
    PARTIES,
    REQUEST_ID_BYTES,
)

Operation = common_pb2.Operation


_SUBJECT = re.compile(r"[A-Za-z0-9._@-]{1,128}")
_MODEL = re.compile(r"[a-z0-9._-]{1,64}")
_POINT = re.compile(r"[A-Za-z0-9_]{0,64}")
_REFERENCE = re.compile(r"[0-9a-f]{32}")
# those who may enrol: services.common.roles
_GRANTEE = re.compile(r"(enroller|owner)/[A-Za-z0-9._-]{1,64}")

# images a request of each operation carries
_IMAGES: Mapping["common_pb2.Operation.ValueType", range] = {
    Operation.OPERATION_ENROL: range(1, MAX_IMAGES + 1),
    Operation.OPERATION_VERIFY: range(1, 2),
    Operation.OPERATION_IDENTIFY: range(1, 2),
    Operation.OPERATION_COMPARE: range(2, 3),
    Operation.OPERATION_DELETE: range(1),
    Operation.OPERATION_PUBLISH: range(1),
    Operation.OPERATION_RENAME: range(1),
    Operation.OPERATION_WITHDRAW: range(1),
    Operation.OPERATION_EXPIRE: range(1),
    Operation.OPERATION_REFRESH: range(1),
    Operation.OPERATION_RECOVER: range(1),
    Operation.OPERATION_GRANT: range(1),
    Operation.OPERATION_REVOKE: range(1),
    Operation.OPERATION_RUN: range(1, 2),
}
_WITH_SUBJECT = (
    Operation.OPERATION_ENROL,
    Operation.OPERATION_VERIFY,
    Operation.OPERATION_DELETE,
    Operation.OPERATION_RENAME,
)
# operations on rights
_RIGHTS = (Operation.OPERATION_GRANT, Operation.OPERATION_REVOKE)
# operations that change what is stored: their ids may come again
WRITES = frozenset(
    {
        Operation.OPERATION_ENROL,
        Operation.OPERATION_DELETE,
        Operation.OPERATION_PUBLISH,
        Operation.OPERATION_RENAME,
        Operation.OPERATION_WITHDRAW,
        Operation.OPERATION_EXPIRE,
        Operation.OPERATION_REFRESH,
        Operation.OPERATION_GRANT,
        Operation.OPERATION_REVOKE,
    }
)
# operations on everything that is stored
LONG = frozenset({Operation.OPERATION_REFRESH, Operation.OPERATION_RECOVER})
# the gateway asks for these by itself: it erases only what is over, by the parties' own clocks and records
UNSIGNED = frozenset({Operation.OPERATION_EXPIRE})
# operations that carry a share, and so must be uploaded
WITH_SHARE = frozenset(
    {
        Operation.OPERATION_ENROL,
        Operation.OPERATION_VERIFY,
        Operation.OPERATION_IDENTIFY,
        Operation.OPERATION_COMPARE,
        Operation.OPERATION_PUBLISH,
        Operation.OPERATION_RUN,
    }
)


def check(request: common_pb2.Request, now_unix_ms: int) -> None:
    """Raise InvalidArgument naming the first field that is wrong, and what is allowed."""
    check_id("request.request_id", request.request_id)
    if request.operation not in _IMAGES:
        names = ", ".join(Operation.Name(known).removeprefix("OPERATION_").lower() for known in _IMAGES)
        raise InvalidArgument.of("request.operation", f"one of {names}")
    _check_names(request)
    allowed = _IMAGES[request.operation]
    if request.images not in allowed:
        raise InvalidArgument.of("request.images", f"{allowed.start} to {allowed.stop - 1} for this operation")
    if not now_unix_ms < request.expires_unix_ms <= now_unix_ms + MAX_EXPIRY_MS:
        raise InvalidArgument.of("request.expires_unix_ms", f"in the next {MAX_EXPIRY_MS // 60000} minutes")
    if not now_unix_ms - MAX_EXPIRY_MS <= request.sent_unix_ms <= now_unix_ms + MAX_AHEAD_MS:
        raise InvalidArgument.of("request.sent_unix_ms", "the time now, at most ten minutes ago: check the clocks")
    publishing = request.operation == Operation.OPERATION_PUBLISH
    if len(request.program_digest) != (32 if publishing else 0):
        raise InvalidArgument.of("request.program_digest", "32 bytes for publish, else empty")
    _check_options(request)
    signed = request.operation not in UNSIGNED
    if [len(digest) for digest in request.share_digests] != [DIGEST_BYTES] * (PARTIES if signed else 0):
        raise InvalidArgument.of(
            "request.share_digests", "SHA-256 of each of the three sealed shares, in order of party"
        )


def check_id(field: str, value: bytes) -> None:
    """Raise InvalidArgument unless this may be a request's id."""
    if len(value) != REQUEST_ID_BYTES:
        raise InvalidArgument.of(field, f"{REQUEST_ID_BYTES} bytes")


def check_subject(field: str, value: str) -> None:
    """Raise InvalidArgument unless this may be a subject's name."""
    _match(_SUBJECT, field, value, "1 to 128 of A-Z a-z 0-9 . _ @ -")


def check_row_id(field: str, value: str) -> None:
    """Raise InvalidArgument unless this may be the id of a reference or a right."""
    _match(_REFERENCE, field, value, "32 hex digits")


def check_model(field: str, value: str) -> None:
    """Raise InvalidArgument unless this may be a model's name."""
    _match(_MODEL, field, value, "1 to 64 of a-z 0-9 . _ -")


def _check_names(request: common_pb2.Request) -> None:
    rights = request.operation in _RIGHTS
    if request.operation in _WITH_SUBJECT or (rights and request.subject):
        check_subject("request.subject", request.subject)
    elif request.subject:
        raise InvalidArgument.of("request.subject", "empty for this operation")
    if rights:
        _match(_GRANTEE, "request.grantee", request.grantee, "enroller/NAME or owner/NAME, as in the certificate")
    elif request.grantee:
        raise InvalidArgument.of("request.grantee", "empty for this operation")
    if request.operation == Operation.OPERATION_RENAME:
        check_subject("request.new_subject", request.new_subject)
        if request.new_subject == request.subject:
            raise InvalidArgument.of("request.new_subject", "another name than before")
    elif request.new_subject:
        raise InvalidArgument.of("request.new_subject", "empty for this operation")
    if request.operation not in LONG:
        check_model("request.model", request.model)
    elif request.model:
        raise InvalidArgument.of("request.model", "empty for this operation")
    _match(_POINT, "request.operating_point", request.operating_point, "at most 64 of A-Z a-z 0-9 _")
    if request.operating_point and request.operation == Operation.OPERATION_RUN:
        raise InvalidArgument.of("request.operating_point", "empty for run: nothing is compared")


def _check_options(request: common_pb2.Request) -> None:
    """Fields that one operation alone may set."""
    enrols = request.operation == Operation.OPERATION_ENROL
    for name in ("replace", "unique", "ttl_seconds", "metadata"):
        if getattr(request, name) and not enrols:
            raise InvalidArgument.of(f"request.{name}", "for enrol only")
    if request.ttl_seconds > MAX_TTL_SECONDS:
        raise InvalidArgument.of("request.ttl_seconds", f"at most {MAX_TTL_SECONDS}: ten years")
    if len(request.metadata) > MAX_METADATA_BYTES:
        raise InvalidArgument.of("request.metadata", f"at most {MAX_METADATA_BYTES} bytes")
    if request.reference_ids and request.operation != Operation.OPERATION_DELETE:
        raise InvalidArgument.of("request.reference_ids", "for delete only")
    if len(set(request.reference_ids)) != len(request.reference_ids) or len(request.reference_ids) > MAX_REFERENCES:
        raise InvalidArgument.of("request.reference_ids", f"at most {MAX_REFERENCES}, each once")
    for reference_id in request.reference_ids:
        _match(_REFERENCE, "request.reference_ids", reference_id, "32 hex digits each")
    _check_instead(request)
    if request.party > (2 if request.operation == Operation.OPERATION_RECOVER else 0):
        raise InvalidArgument.of("request.party", "0, 1 or 2 for recover, else 0")


def _check_instead(request: common_pb2.Request) -> None:
    ids = request.instead_of
    if ids and request.operation not in WRITES - UNSIGNED:
        raise InvalidArgument.of("request.instead_of", "for writes only")
    if len({*ids, request.request_id}) != len(ids) + 1 or len(ids) > MAX_INSTEAD:
        raise InvalidArgument.of("request.instead_of", f"at most {MAX_INSTEAD} other ids, each once")
    for request_id in ids:
        check_id("request.instead_of", request_id)


def _match(pattern: re.Pattern[str], field: str, value: str, allowed: str) -> None:
    if not pattern.fullmatch(value):
        raise InvalidArgument.of(field, allowed)
