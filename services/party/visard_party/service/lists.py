"""What a party tells of what it keeps, a page at a time: subjects, references, rights, and its log of who asked for what."""

import time
from itertools import accumulate

from visard_common.errors import InvalidArgument, NotFound
from visard_common.limits import MAX_AHEAD_MS, MAX_EXPIRY_MS, MAX_PAGE, MAX_REQUEST, MAX_ROWS
from visard_wire.chain import message
from visard_wire.limits import DEFAULT_GALLERY
from visard_wire.v1 import common_pb2, gateway_pb2

from visard_party.intake import requests
from visard_party.models import ModelShelf
from visard_party.operations import galleries
from visard_party.operations.rights import is_admin
from visard_party.store.base import Store
from visard_party.store.contents import May, Place, Reference

_PAGE_BYTES = MAX_REQUEST // 2  # of entries of the log; the largest one has some kilobytes


async def subjects(
    store: Store, models: ModelShelf, request: gateway_pb2.ListSubjectsRequest
) -> gateway_pb2.ListSubjectsResponse:
    """A page of subjects, in order of name; raises InvalidArgument, and NotFound for a model that is not published."""
    if not 0 <= request.page_size <= MAX_PAGE:
        raise InvalidArgument.of("page_size", f"1 to {MAX_PAGE}; 0 for 1000")
    requests.check_model("model", request.model)
    if request.page_token:
        requests.check_subject("page_token", request.page_token)
    at = _moment(request.at_unix_ms)
    place = await _place(store, models, request)
    limit = request.page_size or 1000
    found = await store.subjects(place, limit + 1, request.page_token, at)
    page = [gateway_pb2.Subject(subject=s.subject, references=s.references) for s in found[:limit]]
    token = page[-1].subject if len(found) > limit else ""
    return gateway_pb2.ListSubjectsResponse(subjects=page, next_page_token=token)


async def references(
    store: Store, models: ModelShelf, request: gateway_pb2.ListReferencesRequest
) -> gateway_pb2.ListReferencesResponse:
    """What is kept about a subject, but for the shares; raises InvalidArgument, and NotFound where nothing is."""
    requests.check_model("model", request.model)
    requests.check_subject("subject", request.subject)
    at = _moment(request.at_unix_ms)
    place = await _place(store, models, request)
    rows = [row for row in await store.references(place, request.subject) if row.live(at)]
    if not rows:
        raise NotFound(f"subject {request.subject!r} is not enrolled")
    return gateway_pb2.ListReferencesResponse(references=[_reference_info(row) for row in rows])


async def _place(
    store: Store,
    models: ModelShelf,
    request: gateway_pb2.ListSubjectsRequest | gateway_pb2.ListReferencesRequest,
) -> Place:
    """What a list is of; raises InvalidArgument, and NotFound for a gallery where the caller may not enrol, or no such model."""
    requests.check_gallery("gallery", request.gallery)
    requests.check_caller("caller", request.caller)
    gallery = request.gallery or DEFAULT_GALLERY
    await galleries.require(store, gallery, request.caller, May.ENROL)
    await models.get(request.model)
    place = Place(request.model, gallery)
    return place.waiting if request.waiting else place


async def listed_galleries(
    store: Store, request: gateway_pb2.ListGalleriesRequest
) -> gateway_pb2.ListGalleriesResponse:
    """The galleries of which the caller is told; raises InvalidArgument, NotFound for one that it is not told of."""
    requests.check_gallery("gallery", request.gallery)
    requests.check_caller("caller", request.caller)
    told = []
    for name, rules in await galleries.listed(store, request.gallery, request.caller):
        shown = [common_pb2.GalleryRule(may=rule.may, callers=rule.grantee) for rule in rules]
        enrols = is_admin(request.caller) or any(rule.may == May.ENROL for rule in rules)
        references = await store.count_in(name) if enrols else 0
        told.append(gateway_pb2.Gallery(name=name, rules=shown, references=references))
    if request.gallery and not told:
        raise NotFound(f"gallery {request.gallery!r} is none, or none where {request.caller} may do anything")
    return gateway_pb2.ListGalleriesResponse(galleries=told)


async def rights(store: Store, request: gateway_pb2.ListRightsRequest) -> gateway_pb2.ListRightsResponse:
    """A page of rights, in order of id; raises InvalidArgument."""
    limit = _page(request.page_size)
    if request.page_token:
        requests.check_row_id("page_token", request.page_token)
    found = await store.rights(limit + 1, request.page_token)
    page = [
        gateway_pb2.Right(model=r.model, subject=r.subject, grantee=r.grantee, gallery=r.gallery)
        for r in found[:limit]
        if r.may == May.CHANGE  # the others are galleries' rules
    ]
    token = found[limit - 1].right_id if len(found) > limit else ""
    return gateway_pb2.ListRightsResponse(rights=page, next_page_token=token)


async def audit_log(store: Store, request: gateway_pb2.AuditLogRequest) -> gateway_pb2.AuditLogResponse:
    """A page of this party's log, with the entry before it, from which its hashes go on; raises InvalidArgument."""
    limit, after = _page(request.page_size), request.after
    if not after and request.since_unix_ms:
        after = await store.audit_since(request.since_unix_ms)
    previous, found = await store.audit_page(after, limit)
    return gateway_pb2.AuditLogResponse(
        entries=_fitting([message(entry, link) for entry, link in found]),
        previous_sequence=previous.sequence,
        previous_hash=previous.hash,
        previous_unix_ms=previous.time_unix_ms,
        now_unix_ms=int(time.time() * 1000),
    )


def _fitting(entries: list[gateway_pb2.AuditEntry]) -> list[gateway_pb2.AuditEntry]:
    """The first of them, as many as fit into a message, whatever callers have written; the next page goes on there."""
    ends = accumulate(entry.ByteSize() for entry in entries)
    return [entry for entry, end in zip(entries, ends, strict=True) if end <= _PAGE_BYTES]


def _page(size: int) -> int:
    """How many rows a page has; raises InvalidArgument."""
    if not 0 <= size <= MAX_ROWS:
        raise InvalidArgument.of("page_size", f"1 to {MAX_ROWS}; 0 for {MAX_ROWS}")
    return size or MAX_ROWS


def _moment(asked_unix_ms: int) -> int:
    """The time for which a list is asked, the same at all three parties; raises InvalidArgument for one that is not now."""
    now = int(time.time() * 1000)
    if not asked_unix_ms:
        return now
    if not now - MAX_EXPIRY_MS <= asked_unix_ms <= now + MAX_AHEAD_MS:
        raise InvalidArgument.of("at_unix_ms", "the time now, at most ten minutes ago: check the clocks")
    return asked_unix_ms


def _reference_info(row: Reference) -> gateway_pb2.ReferenceInfo:
    return gateway_pb2.ReferenceInfo(
        reference_id=row.reference_id,
        version=row.version,
        created_unix_ms=row.created_unix_ms,
        updated_unix_ms=row.updated_unix_ms,
        expires_unix_ms=row.expires_unix_ms,
        metadata=row.metadata,
        enrolled_by=row.enrolled_by,
    )
