"""A sealed share opens for its party and its request alone, and an answer comes from that party alone."""

import os

import pytest
from cryptography.hazmat.bindings._rust import openssl
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from visard.errors import SealError
from visard_wire.sealing import (
    SUITE,
    Context,
    commitment,
    envelope_size,
    new_reply_key,
    open_result,
    open_share,
    seal_result,
    seal_share,
)
from visard_wire.v1 import common_pb2

REQUEST = common_pb2.Request(
    request_id=b"0123456789abcdef",
    operation=common_pb2.Operation.OPERATION_VERIFY,
    subject="ada",
    model="face",
    images=1,
    operating_point="strict",
    expires_unix_ms=1_790_000_000_000,
    program_digest=b"p" * 32,
)
OTHERS: dict[str, object] = {
    "request_id": b"fedcba9876543210",
    "operation": common_pb2.Operation.OPERATION_COMPARE,
    "subject": "bob",
    "model": "face2",
    "images": 2,
    "operating_point": "",
    "expires_unix_ms": 1_790_000_000_001,
    "program_digest": b"q" * 32,
    "new_subject": "eve",
    "replace": True,
    "unique": True,
    "ttl_seconds": 60,
    "metadata": b"note",
    "party": 2,
    "sent_unix_ms": 1_790_000_000_000,
    "grantee": "enroller/kiosk-7",
    "allow_large_gallery": True,
    "nearest": True,
    "gallery": "staff",
    "review": True,
    "accept": True,
    "new_model": "face3",
    "keep": True,
    "deployment": "berlin",
}
CONTEXT = Context.from_request(REQUEST)
KEY = X25519PrivateKey.generate()
PUBLIC = KEY.public_key().public_bytes_raw()


def sealed_share__should_open_for_its_party_and_request() -> None:
    reply, share = new_reply_key(), os.urandom(1000)
    sealed = seal_share(PUBLIC, CONTEXT, 1, reply, share)
    opened_reply, opened = open_share(KEY, CONTEXT, 1, sealed)
    assert (opened_reply, opened.reveal()) == (reply, share)
    assert share not in sealed


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16383, 16384, 270_000, 3_000_000])
def envelope_size__should_be_exact(size: int) -> None:
    assert len(seal_share(PUBLIC, CONTEXT, 0, new_reply_key(), bytes(size))) == envelope_size(size)


def every_field__should_be_bound() -> None:
    # but for the hashes of what is sealed, and the caller, who signs them and the others
    assert {f.name for f in REQUEST.DESCRIPTOR.fields} == {
        *OTHERS,
        "reference_ids",
        "instead_of",
        "points",
        "rules",
        "share_digests",
        "caller",
    }
    sealed = seal_share(PUBLIC, CONTEXT, 1, new_reply_key(), b"share")
    for name, other in OTHERS.items():
        changed = common_pb2.Request()
        changed.CopyFrom(REQUEST)
        setattr(changed, name, other)
        assert Context.from_request(changed) != CONTEXT
        with pytest.raises(SealError):
            open_share(KEY, Context.from_request(changed), 1, sealed)


def reference_ids__should_be_bound_one_by_one() -> None:
    requests = [common_pb2.Request(reference_ids=ids) for ids in ([], ["ab"], ["a", "b"], ["b", "a"], ["ab", ""])]
    assert len({Context.from_request(request).digest for request in requests}) == len(requests)


def rules__should_be_bound_one_by_one_and_not_taken_for_other_late_fields() -> None:
    def rule(may: str, callers: str) -> common_pb2.GalleryRule:
        return common_pb2.GalleryRule(may=may, callers=callers)

    several: tuple[list[common_pb2.GalleryRule], ...] = (
        [],
        [rule("enrol", "*")],
        [rule("verify", "*")],
        [rule("enrol", "*"), rule("verify", "*")],
        [rule("verify", "*"), rule("enrol", "*")],
        [rule("enrolv", "erify*")],
    )
    requests = [
        common_pb2.Request(rules=rules, gallery=gallery, nearest=nearest)
        for rules in several
        for gallery in ("", "staff", "nearest")
        for nearest in (False, True)
    ]
    assert len({Context.from_request(request).digest for request in requests}) == len(requests)


def earlier_requests__should_be_bound_one_by_one() -> None:
    requests = [common_pb2.Request(instead_of=ids) for ids in ([], [b"ab"], [b"a", b"b"], [b"b", b"a"], [b"ab", b""])]
    assert len({Context.from_request(request).digest for request in requests}) == len(requests)


def operating_points__should_be_bound_one_by_one_with_all_that_they_say() -> None:
    point = common_pb2.OperatingPoint
    lists = [
        [],
        [point(name="ab", distance=1, false_match_rate=0.5)],
        [point(name="ab", distance=1)],
        [point(name="ab", distance=1.0000000000000002)],
        [point(name="ba", distance=1)],
        [point(name="ab", distance=1), point(name="ab", distance=1)],
        [point(name="ab"), point(name="b", distance=1)],
        [point(name="b", distance=1), point(name="ab")],
    ]
    requests = [common_pb2.Request(points=points) for points in lists]
    assert len({Context.from_request(request).digest for request in requests}) == len(requests)


def hashes_of_the_shares__should_be_bound_where_the_shares_are_not() -> None:
    """The share is sealed before its hash is known; what is signed, agreed on and answered covers both."""
    sealed = seal_share(PUBLIC, CONTEXT, 1, new_reply_key(), b"share")
    named = [[b"a"], [b"b"], [b"a", b"b"], [b"b", b"a"], [b"ab"]]
    contexts = [Context.from_request(common_pb2.Request(share_digests=digests)) for digests in named]
    assert len({context.digest for context in contexts}) == len(named)
    assert len({context.fields for context in contexts}) == 1
    with_hash = common_pb2.Request()
    with_hash.CopyFrom(REQUEST)
    with_hash.share_digests.append(commitment(sealed))
    context = Context.from_request(with_hash)
    assert open_share(KEY, context, 1, sealed)[1].reveal() == b"share"
    reply = new_reply_key()
    answer = seal_result(reply, CONTEXT, 1, common_pb2.Outcome())
    with pytest.raises(SealError):
        open_result(reply, context, 1, answer)


def neighbouring_fields__should_not_run_together() -> None:
    a = common_pb2.Request(subject="ab", model="c")
    b = common_pb2.Request(subject="a", model="bc")
    assert Context.from_request(a) != Context.from_request(b)


def another_party_or_key__should_not_open() -> None:
    sealed = seal_share(PUBLIC, CONTEXT, 1, new_reply_key(), b"share")
    for key, party in ((KEY, 0), (KEY, 2), (X25519PrivateKey.generate(), 1)):
        with pytest.raises(SealError, match="does not open"):
            open_share(key, CONTEXT, party, sealed)


@pytest.mark.parametrize("position", [0, 31, 32, 50, -1])
def changed_byte__should_not_open(position: int) -> None:
    sealed = bytearray(seal_share(PUBLIC, CONTEXT, 1, new_reply_key(), b"share"))
    sealed[position] ^= 1
    with pytest.raises(SealError):
        open_share(KEY, CONTEXT, 1, bytes(sealed))


@pytest.mark.parametrize("cut", [0, 31, 48, 60])
def truncated_share__should_not_open(cut: int) -> None:
    with pytest.raises(SealError):
        open_share(KEY, CONTEXT, 1, seal_share(PUBLIC, CONTEXT, 1, new_reply_key(), b"share")[:cut])


def well_sealed_nonsense__should_not_open() -> None:
    for plaintext in (b"\xff\xff", common_pb2.ShareEnvelope(reply_key=b"short", share=b"x").SerializeToString()):
        sealed = SUITE.encrypt(plaintext, KEY.public_key(), info=CONTEXT.info(1))
        with pytest.raises(SealError):
            open_share(KEY, CONTEXT, 1, sealed)


def result__should_open_under_its_key_party_and_request_alone() -> None:
    reply = new_reply_key()
    outcome = common_pb2.Outcome(bits=1, piece_own=b"\1", piece_previous=b"\0")
    sealed = seal_result(reply, CONTEXT, 2, outcome)
    assert open_result(reply, CONTEXT, 2, sealed) == outcome
    other = Context.from_request(common_pb2.Request(request_id=b"x" * 16))
    for key, context, party in ((new_reply_key(), CONTEXT, 2), (reply, other, 2), (reply, CONTEXT, 1)):
        with pytest.raises(SealError):
            open_result(key, context, party, sealed)


def suite__should_open_the_vector_of_rfc_9180() -> None:
    # RFC 9180, A.2.1 (base mode) and A.2.1.1, sequence number 0. Its associated data is not empty, which the public
    # one-shot interface always makes it: hence the private function
    key = X25519PrivateKey.from_private_bytes(
        bytes.fromhex("8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb")
    )
    encapsulated = bytes.fromhex("1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a")
    ciphertext = bytes.fromhex(
        "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28"
    )
    opened = openssl.hpke._decrypt_with_aad(
        SUITE, encapsulated + ciphertext, key, info=b"Ode on a Grecian Urn", aad=b"Count-0"
    )
    assert opened == b"Beauty is truth, truth beauty"
