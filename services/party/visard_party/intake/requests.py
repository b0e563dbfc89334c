"""What a request may look like: every field checked before anything is kept. Pure."""

import math
import re
from collections.abc import Sequence

from visard_common.errors import InvalidArgument
from visard_common.limits import (
    MAX_AHEAD_MS,
    MAX_EXPIRY_MS,
    MAX_METADATA_BYTES,
    MAX_POINTS,
    MAX_REFERENCES,
    MAX_TTL_SECONDS,
)
from visard_common.operations import DECLARED, FIELDS, Declared, Gallery, Subject, setting, word
from visard_wire.limits import DIGEST_BYTES, MAX_INSTEAD, MAX_LOCK_AFTER, MAX_RULES, PARTIES, REQUEST_ID_BYTES
from visard_wire.v1 import common_pb2

_SUBJECT = re.compile(r"[A-Za-z0-9._@-]{1,128}")
_MODEL = re.compile(r"[a-z0-9._-]{1,64}")
_POINT = re.compile(r"[A-Za-z0-9_]{0,64}")
DEFAULT_POINT = "default"  # what every model that matches has
_LARGEST_DISTANCE = 2.0  # on the unit sphere
_REFERENCE = re.compile(r"[0-9a-f]{32}")
# those who may enrol: visard_common.roles
_CALLER = re.compile(r"([a-z]{1,16}(/[A-Za-z0-9._-]{1,64})?)?")
_CALLERS = re.compile(r"\*|[a-z*]{1,16}(/[A-Za-z0-9._*-]{1,64})?")
_RULES = tuple(gallery.value for gallery in (Gallery.ENROL, Gallery.VERIFY, Gallery.SEARCH))
LOCK = "lock"  # the rule of a gallery whose subjects are locked after so many failed verifications in a row
_GRANTEE = re.compile(r"(enroller|owner)/[A-Za-z0-9._-]{1,64}")


def check(request: common_pb2.Request, now_unix_ms: int) -> None:
    """Raise InvalidArgument naming the first field that is wrong, and what is allowed."""
    check_id("request.request_id", request.request_id)
    declared = DECLARED.get(request.operation)
    if declared is None:
        raise InvalidArgument.of("request.operation", f"one of {', '.join(map(word, DECLARED))}")
    _check_names(request, declared)
    allowed = declared.images
    if request.images not in allowed:
        raise InvalidArgument.of("request.images", f"{allowed.start} to {allowed.stop - 1} for this operation")
    if not now_unix_ms < request.expires_unix_ms <= now_unix_ms + MAX_EXPIRY_MS:
        raise InvalidArgument.of("request.expires_unix_ms", f"in the next {MAX_EXPIRY_MS // 60000} minutes")
    if not now_unix_ms - MAX_EXPIRY_MS <= request.sent_unix_ms <= now_unix_ms + MAX_AHEAD_MS:
        raise InvalidArgument.of("request.sent_unix_ms", "the time now, at most ten minutes ago: check the clocks")
    _check_fields(request, declared)
    if [len(digest) for digest in request.share_digests] != [DIGEST_BYTES] * (PARTIES if declared.signed else 0):
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


def check_gallery(field: str, value: str) -> None:
    """Raise InvalidArgument unless this may be a gallery's name, or is empty."""
    if value:
        _match(_MODEL, field, value, "1 to 64 of a-z 0-9 . _ -")


def check_caller(field: str, value: str) -> None:
    """Raise InvalidArgument unless this may be who asks, as in "enroller/kiosk-7", or is empty."""
    _match(_CALLER, field, value, "a caller as in its certificate")


def _check_names(request: common_pb2.Request, declared: Declared) -> None:
    _check_subject(request, declared)
    if "grantee" in declared.fields:
        _match(_GRANTEE, "request.grantee", request.grantee, "enroller/NAME or owner/NAME, as in the certificate")
    if "new_subject" in declared.fields:
        check_subject("request.new_subject", request.new_subject)
        if request.new_subject == request.subject:
            raise InvalidArgument.of("request.new_subject", "another name than before")
    if "new_model" in declared.fields:
        check_model("request.new_model", request.new_model)
        if request.new_model == request.model:
            raise InvalidArgument.of("request.new_model", "another model than before")
    if "deployment" in declared.fields:
        _match(_MODEL, "request.deployment", request.deployment, "1 to 64 of a-z 0-9 . _ -")
    if declared.model:
        check_model("request.model", request.model)
    elif request.model:
        raise InvalidArgument.of("request.model", "empty for this operation")
    if declared.gallery is Gallery.NONE and request.gallery:
        raise InvalidArgument.of("request.gallery", "empty for this operation")
    if not declared.model and declared.gallery is not Gallery.NONE:  # which is about the gallery itself
        _match(_MODEL, "request.gallery", request.gallery, "1 to 64 of a-z 0-9 . _ -")
    check_gallery("request.gallery", request.gallery)
    _match(_POINT, "request.operating_point", request.operating_point, "at most 64 of A-Z a-z 0-9 _")
    if request.operating_point and not declared.decides:
        raise InvalidArgument.of("request.operating_point", f"empty for {word(request.operation)}: nothing is compared")


def _check_subject(request: common_pb2.Request, declared: Declared) -> None:
    if declared.subject is Subject.NEEDED or (declared.subject is Subject.OPTIONAL and request.subject):
        check_subject("request.subject", request.subject)
    elif request.subject:
        raise InvalidArgument.of("request.subject", "empty for this operation")


def _check_fields(request: common_pb2.Request, declared: Declared) -> None:
    """Fields that only some operations may set."""
    for name in sorted(FIELDS - declared.fields):
        if getattr(request, name):
            raise InvalidArgument.of(f"request.{name}", setting(name))
    if request.review and (request.unique or request.replace):
        raise InvalidArgument.of("request.review", "without unique and replace")
    if "program_digest" in declared.fields and len(request.program_digest) != DIGEST_BYTES:
        raise InvalidArgument.of("request.program_digest", f"{DIGEST_BYTES} bytes")
    if request.ttl_seconds > MAX_TTL_SECONDS:
        raise InvalidArgument.of("request.ttl_seconds", f"at most {MAX_TTL_SECONDS}: ten years")
    if len(request.metadata) > MAX_METADATA_BYTES:
        raise InvalidArgument.of("request.metadata", f"at most {MAX_METADATA_BYTES} bytes")
    if len(set(request.reference_ids)) != len(request.reference_ids) or len(request.reference_ids) > MAX_REFERENCES:
        raise InvalidArgument.of("request.reference_ids", f"at most {MAX_REFERENCES}, each once")
    for reference_id in request.reference_ids:
        _match(_REFERENCE, "request.reference_ids", reference_id, "32 hex digits each")
    if request.party >= PARTIES:
        raise InvalidArgument.of("request.party", "0, 1 or 2")
    if "points" in declared.fields:
        check_points(request.points)
    if "rules" in declared.fields:
        _check_rules(request.rules)
    _check_instead(request)


def check_points(points: Sequence[common_pb2.OperatingPoint]) -> None:
    """Raise InvalidArgument unless these may be a model's operating points; whether rates and distances fit, its program says."""
    if not 1 <= len(points) <= MAX_POINTS:
        raise InvalidArgument.of("request.points", f"1 to {MAX_POINTS}")
    names = {point.name for point in points}
    if "" in names or len(names) < len(points) or DEFAULT_POINT not in names:
        raise InvalidArgument.of("request.points.name", f"each once, and one of them {DEFAULT_POINT}")
    for point in points:
        _match(_POINT, "request.points.name", point.name, "1 to 64 of A-Z a-z 0-9 _")
        if not 0 < point.distance < _LARGEST_DISTANCE:  # nor what is no number
            raise InvalidArgument.of("request.points.distance", f"more than 0, less than {_LARGEST_DISTANCE:g}")
        if not 0 <= point.false_match_rate < 1 or math.isnan(point.false_match_rate):
            raise InvalidArgument.of("request.points.false_match_rate", "from 0, for unknown, to less than 1")


def _check_rules(rules: Sequence[common_pb2.GalleryRule]) -> None:
    if len(rules) > MAX_RULES or len({(rule.may, rule.callers) for rule in rules}) < len(rules):
        raise InvalidArgument.of("request.rules", f"at most {MAX_RULES}, each once")
    for rule in rules:
        if rule.may == LOCK:
            _check_lock(rules)
            continue
        if rule.may not in _RULES:
            raise InvalidArgument.of("request.rules.may", f"one of {', '.join((*_RULES, LOCK))}")
        allowed = "a caller as in its certificate, enroller/NAME, where * stands for any letters"
        _match(_CALLERS, "request.rules.callers", rule.callers, allowed)


def _check_lock(rules: Sequence[common_pb2.GalleryRule]) -> None:
    """Of a gallery that locks: after how many failures, once."""
    numbers = [rule.callers for rule in rules if rule.may == LOCK]
    if len(numbers) > 1 or not re.fullmatch(r"[1-9][0-9]{0,2}", numbers[0]) or int(numbers[0]) > MAX_LOCK_AFTER:
        raise InvalidArgument.of("request.rules.callers", f"of lock, once: 1 to {MAX_LOCK_AFTER}, a number")


def _check_instead(request: common_pb2.Request) -> None:
    ids = request.instead_of
    if len({*ids, request.request_id}) != len(ids) + 1 or len(ids) > MAX_INSTEAD:
        raise InvalidArgument.of("request.instead_of", f"at most {MAX_INSTEAD} other ids, each once")
    for request_id in ids:
        check_id("request.instead_of", request_id)


def _match(pattern: re.Pattern[str], field: str, value: str, allowed: str) -> None:
    if not pattern.fullmatch(value):
        raise InvalidArgument.of(field, allowed)
