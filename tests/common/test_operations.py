"""Each operation is declared once, and whatever is declared is done by a party."""

import pytest
from visard_common.operations import DECLARED, FIELDS, Charged, Declared, Gallery, Subject, setting
from visard_party.operations import OPERATIONS
from visard_wire.v1 import common_pb2

NUMBERS = [number for number in common_pb2.Operation.values() if number]
# what every request may set, or the place that is checked by another field of the declaration
GENERAL = {
    *("request_id", "operation", "subject", "model", "gallery", "images", "operating_point"),
    *("expires_unix_ms", "sent_unix_ms", "caller", "share_digests"),
}


def every_operation__should_be_declared_and_done() -> None:
    assert set(DECLARED) == set(OPERATIONS) == set(NUMBERS)


def every_field_of_a_request__should_be_for_all_or_for_some() -> None:
    assert {field.name for field in common_pb2.Request.DESCRIPTOR.fields} == GENERAL | FIELDS
    assert not GENERAL & FIELDS


@pytest.mark.parametrize("declared", DECLARED.values(), ids=[common_pb2.Operation.Name(n) for n in DECLARED])  # type: ignore[arg-type]
def declaration__should_make_sense(declared: Declared) -> None:
    assert bool(declared.images.stop - 1) <= declared.has_share, "images are shared"
    assert declared.has_share == (declared.has_program or declared.images.start > 0 or declared.message_bytes > 0)
    assert not (declared.message_bytes and (declared.has_program or declared.images.stop > 1)), "one kind of share"
    assert not (declared.writes and declared.restores)
    assert ("instead_of" in declared.fields) == (declared.writes and declared.signed)
    assert declared.claims <= declared.writes
    assert (declared.also is Gallery.NONE) or declared.gallery not in (Gallery.NONE, Gallery.ANY, declared.also)
    assert (declared.subject is Subject.NONE) or declared.gallery is not Gallery.NONE, "subjects are in a gallery"
    assert (declared.charged in (Charged.SUBJECT, Charged.SEARCH, Charged.ENROLMENT, Charged.MIGRATION)) <= (
        declared.gallery in (Gallery.ENROL, Gallery.VERIFY, Gallery.SEARCH)
    ), "who looks at references needs their gallery's rules"
    assert (declared.charged is not Charged.NOTHING) == (declared.images.start > 0), "who shows a face is counted"


def fields__should_be_named_with_the_operations_that_have_them() -> None:
    assert setting("points") == "for calibrate only"
    assert setting("replace") == "for enrol only"
    assert setting("grantee") == "for grant and revoke only"
    assert setting("instead_of") == "for writes only"
