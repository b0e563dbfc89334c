"""What a page of a gallery is that goes to another deployment: for whom, and which references."""

import time

from google.protobuf.message import DecodeError
from visard_common.errors import InvalidArgument, PermissionDenied
from visard_common.limits import CROSSING_BYTES
from visard_wire.errors import UntrustedKey
from visard_wire.limits import MAX_CROSSING, PARTIES, SERIES_BYTES
from visard_wire.partykeys import verify_party_key
from visard_wire.secret import Secret
from visard_wire.v1 import crossing_pb2
from visard_wire.vouching import Trust

from visard_party.store.base import Store
from visard_party.store.contents import Place, Reference

_READ = MAX_CROSSING + 1  # references at a time: a page, and whether anything comes behind it


def terms_of(share: Secret) -> crossing_pb2.ExportTerms:
    """For whom, and from where on; raises InvalidArgument."""
    try:
        terms = crossing_pb2.ExportTerms.FromString(share.reveal())
    except DecodeError as error:
        raise InvalidArgument.of("share", "an ExportTerms") from error
    if len(terms.recipients) != PARTIES:
        raise InvalidArgument.of("share.recipients", "the keys of three parties")
    if len(terms.series) != SERIES_BYTES:
        raise InvalidArgument.of("share.series", f"{SERIES_BYTES} bytes")
    return terms


def keys_of(trust: Trust, terms: crossing_pb2.ExportTerms) -> list[bytes]:
    """The sealing keys of the destination's parties, whom ``trust`` vouches for; raises PermissionDenied."""
    now = time.time_ns() // 1_000_000
    try:
        for party, key in enumerate(terms.recipients):
            verify_party_key(trust, party, key, now)
    except UntrustedKey as error:
        raise PermissionDenied(str(error), field="share.recipients") from error
    keys = [key.public_key for key in terms.recipients]
    if len({*keys}) < PARTIES:
        raise PermissionDenied("the sealing keys of three parties are three", field="share.recipients")
    return keys


async def page_of(
    store: Store, place: Place, after: str, at_unix_ms: int, row_bytes: int
) -> tuple[list[Reference], bool]:
    """References of a place behind an id, in order of id, as many as a page takes; and whether they are the last.

    Those whose time is over then are left out. Raises StoreError.
    """
    found: list[Reference] = []
    size, seen = 0, after
    while read := await store.place_page(place, seen, _READ):
        for row in read:
            if not row.live(at_unix_ms):
                continue
            size += max(row_bytes, len(row.metadata))
            if len(found) == MAX_CROSSING or (found and size > CROSSING_BYTES):
                return found, False
            found.append(row)
        seen = read[-1].reference_id
    return found, True


def told(row: Reference) -> crossing_pb2.CrossingReference:
    """What goes with a reference's share."""
    return crossing_pb2.CrossingReference(
        reference_id=row.reference_id,
        subject=row.subject,
        created_unix_ms=row.created_unix_ms,
        expires_unix_ms=row.expires_unix_ms,
        metadata=row.metadata,
    )
