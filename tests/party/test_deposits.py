"""Shares on their way in are checked field by field, within limits, before anything is kept. Pure."""

import os

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from visard_common import limits
from visard_common.errors import AlreadyExists, InvalidArgument, ResourceExhausted
from visard_engine.field import M31, M61
from visard_party.intake import requests
from visard_party.intake.deposits import Deposit, DepositBox, expect, unseal, unseal_envelope
from visard_wire.limits import CHUNK_BYTES
from visard_wire.sealing import Context, commitment, envelope_size, key_id, new_reply_key, seal_share
from visard_wire.secret import Secret
from visard_wire.v1 import common_pb2

NOW = 1_790_000_000_000
KEY = X25519PrivateKey.generate()
PUBLIC = KEY.public_key().public_bytes_raw()
SHARE = np.arange(100_000, dtype="<u4").tobytes()
VERIFY = common_pb2.Operation.OPERATION_VERIFY
DELETE = common_pb2.Operation.OPERATION_DELETE


def request(**changes: object) -> common_pb2.Request:
    fields: dict[str, object] = {
        "request_id": b"r" * 16,
        "operation": VERIFY,
        "subject": "ada",
        "model": "face",
        "images": 1,
        "sent_unix_ms": NOW,
        "expires_unix_ms": NOW + 1000,
        "share_digests": [bytes(32)] * 3,
    }
    return common_pb2.Request(**(fields | changes))  # type: ignore[arg-type]


def header_and_sealed(party: int = 1) -> tuple[common_pb2.UploadHeader, bytes]:
    asked = request()
    sealed = seal_share(PUBLIC, Context.from_request(asked), party, new_reply_key(), SHARE)
    asked.share_digests[party] = commitment(sealed)
    info = common_pb2.SealedShareInfo(party=party, key_id=key_id(PUBLIC), size=len(sealed))
    return common_pb2.UploadHeader(request=asked, shares=[info]), sealed


def chunks(sealed: bytes, party: int = 1) -> list[common_pb2.Chunk]:
    starts = range(0, len(sealed), CHUNK_BYTES)
    return [
        common_pb2.Chunk(party=party, index=k, data=sealed[s : s + CHUNK_BYTES], last=s + CHUNK_BYTES >= len(sealed))
        for k, s in enumerate(starts)
    ]


def whole_share__should_be_assembled_and_opened() -> None:
    header, sealed = header_and_sealed()
    assembly = expect(header, 1, PUBLIC, len(SHARE))
    for chunk in chunks(sealed):
        assembly.add(chunk)
    deposit = unseal(header.request, 1, KEY, assembly.finish())
    assert deposit.elements(M31).tolist() == list(range(100_000))
    assert "secret" in repr(deposit).lower()


def other_share_than_the_caller_has_named__should_not_be_opened() -> None:
    """Anybody can seal to a party's key, and the context is no secret: the hash in what was signed decides."""
    header, _ = header_and_sealed()
    another = seal_share(PUBLIC, Context.from_request(header.request), 1, new_reply_key(), SHARE)
    with pytest.raises(InvalidArgument, match="the caller has signed"):
        unseal(header.request, 1, KEY, another)


def envelope_without_a_share__should_bring_a_key_and_no_more() -> None:
    asked, reply = request(operation=DELETE, images=0), new_reply_key()
    context = Context.from_request(asked)
    small, large = (seal_share(PUBLIC, context, 1, reply, share) for share in (b"", SHARE))
    for sealed in (small, large):
        asked.share_digests[1] = commitment(sealed)
        envelope = common_pb2.SealedEnvelope(key_id=key_id(PUBLIC), ciphertext=sealed)
        if sealed is large:
            with pytest.raises(InvalidArgument, match=r"envelope\.ciphertext"):
                unseal_envelope(asked, 1, KEY, envelope, "enroller/a")
        else:
            deposit = unseal_envelope(asked, 1, KEY, envelope, "enroller/a")
            assert (deposit.reply_key, len(deposit.share), deposit.caller) == (reply, 0, "enroller/a")


@pytest.mark.parametrize(
    ("spoil", "field"),
    [
        (lambda c: c[::-1], "chunk.index"),
        (lambda c: [c[0], c[0]], "chunk.index"),
        (lambda c: c[1:], "chunk.index"),
        (lambda c: [*c, c[-1]], "chunk"),
        (lambda c: [common_pb2.Chunk(party=2, data=b"x")], "chunk.party"),
        (lambda c: [common_pb2.Chunk(party=1, data=b"")], "chunk.data"),
        (lambda c: [common_pb2.Chunk(party=1, data=bytes(CHUNK_BYTES + 1))], "chunk.data"),
        (lambda c: [common_pb2.Chunk(party=1, data=b"x", last=True)], "chunk.data"),
        (lambda c: [common_pb2.Chunk(party=1, data=b"x")], "chunk.data"),
        (lambda c: c[:-1], "chunk.last"),
    ],
)
def spoilt_chunks__should_be_refused_by_field(spoil: object, field: str) -> None:
    header, sealed = header_and_sealed()
    assembly = expect(header, 1, PUBLIC, len(SHARE))
    with pytest.raises(InvalidArgument) as caught:
        for chunk in spoil(chunks(sealed)):  # type: ignore[operator]
            assembly.add(chunk)
        assembly.finish()
    assert caught.value.field == field


def endless_chunks__should_be_stopped_at_the_announced_size() -> None:
    header, _ = header_and_sealed()
    assembly = expect(header, 1, PUBLIC, len(SHARE))
    with pytest.raises(InvalidArgument):
        for k in range(1000):
            assembly.add(common_pb2.Chunk(party=1, index=k, data=bytes(CHUNK_BYTES)))
    assert len(assembly.data) <= assembly.info.size + CHUNK_BYTES


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"party": 2}, "header.shares"),
        ({"key_id": bytes(8)}, "header.shares.key_id"),
        ({"size": envelope_size(len(SHARE)) - 4}, "header.shares.size"),
        ({"size": 1 << 40}, "header.shares.size"),
    ],
)
def unexpected_header__should_be_refused_before_any_chunk(change: dict[str, object], field: str) -> None:
    header, _ = header_and_sealed()
    for name, value in change.items():
        setattr(header.shares[0], name, value)
    with pytest.raises(InvalidArgument) as caught:
        expect(header, 1, PUBLIC, len(SHARE))
    assert caught.value.field == field
    del header.shares[:]
    with pytest.raises(InvalidArgument):
        expect(header, 1, PUBLIC, len(SHARE))


@pytest.mark.parametrize(("field", "word"), [(M31, M31.p), (M31, (1 << 32) - 1), (M61, M61.p)])
def word_that_is_no_element__should_be_refused(field: object, word: int) -> None:
    words = np.zeros(10, field.dtype)  # type: ignore[attr-defined]
    words[3] = word
    deposit = Deposit(request(), Context(b"", b""), Secret(b""), Secret(words.tobytes()), b"")
    with pytest.raises(InvalidArgument, match="below"):
        deposit.elements(field)  # type: ignore[arg-type]


def deposit(name: bytes, size: int = 100, expires: int = NOW + 1000) -> Deposit:
    asked = request(request_id=name * 16, expires_unix_ms=expires)
    return Deposit(asked, Context.from_request(asked), Secret(b"k" * 32), Secret(os.urandom(size)), b"")


def box__should_give_each_deposit_once() -> None:
    box = DepositBox(1000)
    box.put(deposit(b"a"))
    with pytest.raises(AlreadyExists):
        box.put(deposit(b"a"))
    assert box.take(b"a" * 16) is not None
    assert box.take(b"a" * 16) is None


def box__should_keep_its_limits() -> None:
    box = DepositBox(1000, max_count=3)
    box.reserve(600)
    with pytest.raises(ResourceExhausted) as caught:
        box.reserve(500)
    assert caught.value.retry_after
    box.release(600)
    for name in (b"a", b"b", b"c"):
        box.put(deposit(name))
    with pytest.raises(ResourceExhausted):
        box.reserve(1)
    assert [deposit.request.request_id[:1] for deposit in box.purge(NOW + 2000)] == [b"a", b"b", b"c"]
    box.reserve(1000)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"request_id": b""}, "request.request_id"),
        ({"operation": 0}, "request.operation"),
        ({"operation": 99}, "request.operation"),
        ({"subject": ""}, "request.subject"),
        ({"subject": "a b"}, "request.subject"),
        ({"subject": "a" * 129}, "request.subject"),
        ({"subject": "x\n"}, "request.subject"),
        ({"model": "Face"}, "request.model"),
        ({"model": ""}, "request.model"),
        ({"operating_point": "a-b"}, "request.operating_point"),
        ({"images": 0}, "request.images"),
        ({"images": 2}, "request.images"),
        ({"operation": 1, "images": 17}, "request.images"),
        ({"operation": 4, "images": 2}, "request.subject"),
        ({"expires_unix_ms": NOW}, "request.expires_unix_ms"),
        ({"sent_unix_ms": NOW + limits.MAX_AHEAD_MS + 1}, "request.sent_unix_ms"),
        ({"sent_unix_ms": NOW - limits.MAX_EXPIRY_MS - 1}, "request.sent_unix_ms"),
        ({"replace": True, "operation": VERIFY}, "request.replace"),
        ({"ttl_seconds": 1, "operation": VERIFY}, "request.ttl_seconds"),
        ({"ttl_seconds": limits.MAX_TTL_SECONDS + 1}, "request.ttl_seconds"),
        ({"metadata": bytes(limits.MAX_METADATA_BYTES + 1)}, "request.metadata"),
        ({"reference_ids": ["a" * 32]}, "request.reference_ids"),
        ({"party": 1}, "request.party"),
        ({"new_subject": "eve"}, "request.new_subject"),
        ({"expires_unix_ms": NOW + limits.MAX_EXPIRY_MS + 1}, "request.expires_unix_ms"),
        ({"program_digest": b"d" * 32}, "request.program_digest"),
        ({"operation": 6, "subject": "", "images": 0}, "request.program_digest"),
        ({"share_digests": []}, "request.share_digests"),
        ({"share_digests": [bytes(32)] * 2}, "request.share_digests"),
        ({"share_digests": [bytes(32), bytes(32), bytes(31)]}, "request.share_digests"),
        ({"operation": 10, "subject": "", "images": 0}, "request.share_digests"),
    ],
)
def bad_request__should_name_its_field(change: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        requests.check(request(**change), NOW)
    assert caught.value.field == field
    assert caught.value.allowed


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"operation": 1, "images": 16},
        {"operation": 3, "subject": ""},
        {"operation": 4, "subject": "", "images": 2},
        {"operation": 5, "images": 0},
        {"operation": 6, "subject": "", "images": 0, "program_digest": b"d" * 32},
    ],
)
def good_request__should_pass(change: dict[str, object]) -> None:
    requests.check(request(**change), NOW)


@pytest.mark.parametrize(("size", "fits"), [(0, False), (1, True), (500, True), (1000, True), (1001, False)])
def message__should_be_taken_up_to_its_limit(size: int, fits: bool) -> None:
    """What an Export or Import brings is no image: one of any size, below a limit."""
    header, _ = header_and_sealed()
    header.shares[0].size = envelope_size(size)
    if fits:
        assert expect(header, 1, PUBLIC, 1000, at_most=True).info.size == envelope_size(size)
        return
    with pytest.raises(InvalidArgument, match=r"header\.shares\.size: at most"):
        expect(header, 1, PUBLIC, 1000, at_most=True)
