"""Sealing: what travels through the gateway is readable at its end alone, and means one request alone.

Shares are sealed with HPKE (RFC 9180) in base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305; ``info``
binds the request and the party. HPKE in this mode does not say who sealed: anybody can seal to a party. So the request names
SHA-256 of each sealed share, the caller signs that (visard_wire.callers), and a party opens what the caller has named and nothing
else. For answers the caller puts a fresh 32-byte reply key inside each share: a party's answer is sealed with
ChaCha20-Poly1305 (RFC 8439) under it, so that it is secret and can come from that party alone.
"""

import hashlib
import os
import struct
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from google.protobuf.message import DecodeError

from visard_wire import digests
from visard_wire.errors import SealError
from visard_wire.limits import KEY_ID_BYTES
from visard_wire.secret import Secret
from visard_wire.v1 import common_pb2

SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
OVERHEAD = 32 + 16  # encapsulated key and tag
REPLY_KEY_BYTES = 32
_NONCE_BYTES = 12


@dataclass(frozen=True)
class Context:
    """What sealed messages are bound to.

    ``fields`` is the digest of all fields of a request but its caller and the hashes of its shares, which cannot be known
    before they are sealed: shares are bound to it. ``digest`` covers ``fields`` and these hashes: signatures, what the parties
    agree on, and answers are bound to it. Each is 32 bytes.
    """

    fields: bytes
    digest: bytes

    @classmethod
    def from_request(cls, request: common_pb2.Request) -> "Context":
        """The context of a request; equal fields give equal digests, in every language."""
        fields = (
            request.request_id,
            request.operation.to_bytes(4, "big"),
            request.subject.encode(),
            request.model.encode(),
            request.images.to_bytes(4, "big"),
            request.operating_point.encode(),
            request.expires_unix_ms.to_bytes(8, "big"),
            request.program_digest,
            b"".join(digests.sized(name.encode()) for name in request.reference_ids),
            request.new_subject.encode(),
            bytes([request.replace, request.unique]),
            request.ttl_seconds.to_bytes(4, "big"),
            request.metadata,
            request.party.to_bytes(4, "big"),
            request.sent_unix_ms.to_bytes(8, "big"),
            request.grantee.encode(),
            b"".join(map(digests.sized, request.instead_of)),
            *_later(request),
        )
        bound = digests.of_parts(b"visard/v1/request", fields)
        return cls(bound, digests.of_parts(b"visard/v1/handed in" + bound, request.share_digests))

    def info(self, party: int) -> bytes:
        """What HPKE binds the share for a party to (``info``): the request and the party."""
        return b"visard/v1/share" + bytes([party]) + self.fields

    def answer(self, party: int) -> bytes:
        """What a party's answer is bound to (associated data): the request with all that was handed in, and the party."""
        return b"visard/v1/answer" + bytes([party]) + self.digest


def _later(request: common_pb2.Request) -> tuple[bytes, ...]:
    """Fields that came later: where none is set a request has the digest that it always had."""
    reviewed = request.review or request.accept
    sent = request.deployment
    moved = request.new_model or request.keep or sent
    newest = request.gallery or request.rules or reviewed or moved
    if not (request.points or request.allow_large_gallery or request.nearest or newest):
        return ()
    later: tuple[bytes, ...] = (b"".join(map(_point, request.points)), bytes([request.allow_large_gallery]))
    if newest:
        nearest = b"nearest" if request.nearest else b""
        later = (*later, nearest, request.gallery.encode(), b"".join(map(_rule, request.rules)))
        if reviewed or moved:
            later = (*later, bytes([request.review, request.accept]))
        later = (*later, request.new_model.encode(), bytes([request.keep])) if moved else later
        return (*later, sent.encode()) if sent else later
    return (*later, b"nearest") if request.nearest else later


def _rule(rule: common_pb2.GalleryRule) -> bytes:
    """A gallery's rule as it is hashed."""
    return digests.sized(rule.may.encode()) + digests.sized(rule.callers.encode())


def _point(point: common_pb2.OperatingPoint) -> bytes:
    """An operating point as it is hashed: its name behind its length, and two IEEE doubles, big-endian."""
    return digests.sized(point.name.encode()) + struct.pack(">dd", point.distance, point.false_match_rate)


def key_id(public_key: bytes) -> bytes:
    """Short name of a sealing key."""
    return hashlib.sha256(public_key).digest()[:KEY_ID_BYTES]


def commitment(sealed: bytes) -> bytes:
    """What a request says of one sealed share: its SHA-256."""
    return hashlib.sha256(sealed).digest()


def new_reply_key() -> Secret:
    """A fresh key for one party's answer to one request: 32 random bytes."""
    return Secret(os.urandom(REPLY_KEY_BYTES))


def envelope_size(share_bytes: int) -> int:
    """Bytes of the sealed envelope of a share of this size."""
    empty = common_pb2.ShareEnvelope(reply_key=bytes(REPLY_KEY_BYTES)).ByteSize()
    varint = max(1, -(-share_bytes.bit_length() // 7))
    return OVERHEAD + empty + (1 + varint + share_bytes if share_bytes else 0)


def seal_share(public_key: bytes, context: Context, party: int, reply_key: Secret, share: bytes) -> bytes:
    """Seal a share and a reply key to a party's X25519 key (32 raw bytes)."""
    envelope = common_pb2.ShareEnvelope(reply_key=reply_key.reveal(), share=share)
    recipient = X25519PublicKey.from_public_bytes(public_key)
    return SUITE.encrypt(envelope.SerializeToString(), recipient, info=context.info(party))


def open_share(private_key: X25519PrivateKey, context: Context, party: int, sealed: bytes) -> tuple[Secret, Secret]:
    """Reply key and share; raises SealError, which never says why."""
    try:
        plaintext = SUITE.decrypt(sealed, private_key, info=context.info(party))
        envelope = common_pb2.ShareEnvelope.FromString(plaintext)
    except (InvalidTag, ValueError, DecodeError) as error:
        raise SealError from error
    if len(envelope.reply_key) != REPLY_KEY_BYTES:
        raise SealError
    return Secret(envelope.reply_key), Secret(envelope.share)


def seal_result(
    reply_key: Secret, context: Context, party: int, outcome: common_pb2.Outcome
) -> common_pb2.SealedResult:
    """Seal a party's answer to the caller, who gave it the reply key."""
    nonce = os.urandom(_NONCE_BYTES)
    cipher = ChaCha20Poly1305(reply_key.reveal())
    ciphertext = cipher.encrypt(nonce, outcome.SerializeToString(), context.answer(party))
    return common_pb2.SealedResult(party=party, nonce=nonce, ciphertext=ciphertext)


def open_result(reply_key: Secret, context: Context, party: int, sealed: common_pb2.SealedResult) -> common_pb2.Outcome:
    """A party's answer; raises SealError, which never says why."""
    try:
        cipher = ChaCha20Poly1305(reply_key.reveal())
        plaintext = cipher.decrypt(sealed.nonce, sealed.ciphertext, context.answer(party))
        return common_pb2.Outcome.FromString(plaintext)
    except (InvalidTag, ValueError, DecodeError) as error:
        raise SealError from error
