"""The references that an enrolment makes, named alike at all three parties. Pure."""

import hashlib
from collections.abc import Sequence

from visard_engine.field import Elements
from visard_wire.secret import Secret
from visard_wire.v1 import common_pb2

from visard_party.intake.asked import Asked
from visard_party.operations.prepared import Prepared
from visard_party.store.contents import Place, Reference


def references(prepared: Prepared, found: Sequence[Elements]) -> tuple[Reference, ...]:
    """What is stored of an enrolment's photos, in order: this party's shares of their descriptors, under the caller's name."""
    ids = reference_ids(prepared.asked.digest, len(found))
    return tuple(_reference(prepared.asked, *named) for named in zip(ids, found, strict=True))


def _reference(asked: Asked, name: str, descriptor: Elements) -> Reference:
    request = asked.request
    born = request.sent_unix_ms
    expires = born + 1000 * request.ttl_seconds if request.ttl_seconds else 0
    share, place = Secret(descriptor.tobytes()), Place.of(request)
    place = place.waiting if request.review else place
    times, who = (born, born, expires), asked.caller
    return Reference(name, request.subject, place.model, 1, *times, request.metadata, share, who, place.gallery)


def reference_ids(digest: bytes, count: int) -> list[str]:
    """The same ids at every party: 16 bytes of SHA-256 over the request and the image's number, in hex."""
    return [hashlib.sha256(b"visard reference v1" + digest + bytes([k])).hexdigest()[:32] for k in range(count)]


def ids_outcome(asked: Asked) -> common_pb2.Outcome:
    """What the caller is told: the ids of the references that were, or are, enrolled by this request."""
    return common_pb2.Outcome(reference_ids=reference_ids(asked.digest, asked.request.images))
