"""A page that another deployment has exported, as one party here reads it: whose it is, what it says, and this party's pieces."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from google.protobuf.message import DecodeError
from visard_common.errors import FailedPrecondition, InvalidArgument, PermissionDenied
from visard_common.limits import MAX_EXPIRY_MS, MAX_METADATA_BYTES
from visard_engine.field import Elements, Field
from visard_wire import crossing as wire
from visard_wire.digests import of_parts
from visard_wire.errors import SealError, UntrustedKey
from visard_wire.limits import CROSSING_AGE_MS, MAX_CROSSING, PARTIES
from visard_wire.secret import Secret
from visard_wire.v1 import crossing_pb2
from visard_wire.vouching import Trust

from visard_party.intake.requests import check_row_id, check_subject
from visard_party.intake.sealingkeys import SealingKeys
from visard_party.models import Published
from visard_party.operations.crossing import FINGERPRINT, network_digest

_LATEST = 1 << 53  # milliseconds; what is later is no time


@dataclass(frozen=True)
class Arrived:
    """A page that all three parties of a deployment have signed, and their pieces for this party (N,), in order.

    ``digest`` stands for the page and for all that was sealed with it, for whomever.
    """

    page: crossing_pb2.CrossingPage
    pieces: Sequence[Elements] = field(repr=False)
    digest: bytes


def arrived(share: Secret, party: int, trust: Trust, keys: SealingKeys, model: Published) -> Arrived:
    """What an Import has brought for this party.

    Raises InvalidArgument for what is no such page, PermissionDenied where ``trust``, the roots of the source's parties, does not
    vouch for it, FailedPrecondition for another network than the model's, and for pieces that this party cannot open.
    """
    brought = _brought(share)
    _check_signed(brought, party, trust)
    page = _checked(brought.page)
    _check_network(page, model)
    of_field = model.model.field
    length = FINGERPRINT + len(page.references) * page.descriptor_size
    pieces = [
        _opened(brought.page, source, party, part, keys, of_field, length) for source, part in enumerate(brought.parts)
    ]
    said = (wire.statement(brought.page, source, part.piece_digests) for source, part in enumerate(brought.parts))
    return Arrived(page, pieces, of_parts(b"visard crossing arrived v1", said))


def check_age(page: crossing_pb2.CrossingPage, at_unix_ms: int) -> None:
    """Raises FailedPrecondition for a page of so long ago that it may bring back who was erased here, or of the future."""
    if at_unix_ms - page.sent_unix_ms > CROSSING_AGE_MS:
        hours = CROSSING_AGE_MS // 3_600_000
        raise FailedPrecondition(f"the page was made more than {hours} hours before it was brought: export again")
    if page.sent_unix_ms - at_unix_ms > MAX_EXPIRY_MS:
        raise FailedPrecondition("the page comes from the future: compare the clocks of both deployments")


def _brought(share: Secret) -> crossing_pb2.CrossingShare:
    try:
        brought = crossing_pb2.CrossingShare.FromString(share.reveal())
    except DecodeError as error:
        raise InvalidArgument.of("share", "a CrossingShare") from error
    if len(brought.parts) != PARTIES:
        raise InvalidArgument.of("share.parts", "of the three parties of the source, in order")
    return brought


def _check_signed(brought: crossing_pb2.CrossingShare, party: int, trust: Trust) -> None:
    try:
        for source, part in enumerate(brought.parts):
            wire.verify(trust, brought.page, source, part, party)
    except UntrustedKey as error:
        raise PermissionDenied(str(error), field="share.parts") from error


def _checked(data: bytes) -> crossing_pb2.CrossingPage:
    """The page, each of its references such as could have been enrolled here; raises InvalidArgument."""
    try:
        page = crossing_pb2.CrossingPage.FromString(data)
    except DecodeError as error:
        raise InvalidArgument.of("share.page", "a CrossingPage") from error
    ids = [row.reference_id for row in page.references]
    if len(ids) > MAX_CROSSING or ids != sorted({*ids}):
        raise InvalidArgument.of("share.page.references", f"at most {MAX_CROSSING}, in order of id, each once")
    for row in page.references:
        check_row_id("share.page.references.reference_id", row.reference_id)
        check_subject("share.page.references.subject", row.subject)
        if len(row.metadata) > MAX_METADATA_BYTES:
            raise InvalidArgument.of("share.page.references.metadata", f"at most {MAX_METADATA_BYTES} bytes")
        if max(row.created_unix_ms, row.expires_unix_ms) >= _LATEST:
            raise InvalidArgument.of("share.page.references.expires_unix_ms", "milliseconds since 1970")
    return page


def _check_network(page: crossing_pb2.CrossingPage, model: Published) -> None:
    here = (network_digest(model.program), model.program.q, model.program.output.size)
    if (page.network_digest, page.field_bits, page.descriptor_size) != here:
        text = (
            f"model {model.name!r} here is another network than {page.model!r} there: publish the same one, and name it"
        )
        raise FailedPrecondition(text)


def _opened(
    page: bytes,
    source: int,
    party: int,
    part: crossing_pb2.CrossingPiece,
    keys: SealingKeys,
    of_field: Field,
    length: int,
) -> Elements:
    key = keys.held(part.piece.key_id)
    if key is None:
        raise FailedPrecondition(f"sealed to a key that party {party} has erased, or never had: export again")
    try:
        piece = wire.opened(key.private, page, source, party, part.piece.ciphertext).reveal()
    except SealError as error:
        raise FailedPrecondition(f"the source's party {source} has sealed something else for party {party}") from error
    elements = np.frombuffer(bytearray(piece), of_field.dtype) if len(piece) == length * of_field.itemsize else None
    if elements is None or not of_field.is_reduced(elements):
        raise FailedPrecondition(f"the source's party {source} has sealed no shares of this page for party {party}")
    return elements
