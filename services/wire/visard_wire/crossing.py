"""A page of a gallery on its way from one deployment to another: what is sealed to whom, and what each source party signs. Pure.

A piece is one source party's share, shared anew, for one party of the destination: HPKE in base mode as in visard_wire.sealing,
its ``info`` the page and who it is from and for. That it is from that party its signature says, over the page and the hashes of
all three pieces: so parts of different pages, or of different exports of one page, do not fit together.
"""

import hashlib
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from visard_wire import digests
from visard_wire.errors import SealError, UntrustedKey
from visard_wire.limits import DIGEST_BYTES, PARTIES
from visard_wire.sealing import SUITE, key_id
from visard_wire.secret import Secret
from visard_wire.statements import Holder, signers
from visard_wire.v1 import common_pb2, crossing_pb2
from visard_wire.vouching import Trust


def page_digest(page: bytes) -> bytes:
    """SHA-256 that stands for a page, given as its bytes."""
    return digests.of_parts(b"visard crossing page v1", [page])


def recipients_digest(keys: Sequence[bytes]) -> bytes:
    """SHA-256 over the sealing keys of the destination's parties, in order."""
    return digests.of_parts(b"visard crossing recipients v1", keys)


def seal(public_key: bytes, page: bytes, source: int, recipient: int, piece: Secret) -> common_pb2.SealedEnvelope:
    """A source party's piece for a party of the destination, sealed to its X25519 key (32 raw bytes)."""
    info = _info(page, source, recipient)
    sealed = SUITE.encrypt(piece.reveal(), X25519PublicKey.from_public_bytes(public_key), info=info)
    return common_pb2.SealedEnvelope(key_id=key_id(public_key), ciphertext=sealed)


def opened(private_key: X25519PrivateKey, page: bytes, source: int, recipient: int, sealed: bytes) -> Secret:
    """The piece; raises SealError, which never says why."""
    try:
        return Secret(SUITE.decrypt(sealed, private_key, info=_info(page, source, recipient)))
    except (InvalidTag, ValueError) as error:
        raise SealError from error


def _info(page: bytes, source: int, recipient: int) -> bytes:
    return b"visard crossing piece v1" + bytes([source, recipient]) + page_digest(page)


def statement(page: bytes, party: int, piece_digests: Sequence[bytes]) -> bytes:
    """What a source party signs about its part: the page, its number, and the hashes of what it has sealed to each."""
    return digests.of_parts(b"visard crossing part v1" + bytes([party]) + page_digest(page), piece_digests)


def signed(
    holder: Holder, page: bytes, party: int, pieces: Sequence[common_pb2.SealedEnvelope]
) -> crossing_pb2.CrossingPart:
    """A source party's part of a page, signed with the key of its certificate."""
    said = statement(page, party, [digest(piece) for piece in pieces])
    return crossing_pb2.CrossingPart(
        party=party, page=page, pieces=pieces, signature=holder.signature(said), chain=holder.chain
    )


def digest(piece: common_pb2.SealedEnvelope) -> bytes:
    """SHA-256 of a sealed piece."""
    return hashlib.sha256(piece.ciphertext).digest()


def verify(trust: Trust, page: bytes, party: int, part: crossing_pb2.CrossingPiece, recipient: int) -> None:
    """Check that a party of the source has made this part of this page, with this piece for the recipient in it.

    ``trust`` holds the roots of the source's parties. Raises UntrustedKey, which says what is wrong.
    """
    whose = f"the part of the source's party {party}"
    if [len(one) for one in part.piece_digests] != [DIGEST_BYTES] * PARTIES:
        raise UntrustedKey(f"{whose} does not name {PARTIES} pieces")
    if digest(part.piece) != part.piece_digests[recipient]:
        raise UntrustedKey(f"{whose} comes with another piece than was signed")
    try:
        said = statement(page, party, part.piece_digests)
        names = signers(trust, part.chain, said, part.signature, "page")
    except UntrustedKey as error:
        raise UntrustedKey(f"{whose} is not signed as it must be: wanted is {error}") from error
    if names != [f"visard://party/{party}"]:
        raise UntrustedKey(f"{whose} is signed by another holder of a certificate")


def record(parts: Sequence[crossing_pb2.CrossingPart]) -> crossing_pb2.CrossingRecord:
    """The three parts of a page, in order of party, as they lie in a file; raises ValueError for such as do not fit together."""
    if [part.party for part in parts] != list(range(PARTIES)) or any(part.page != parts[0].page for part in parts):
        raise ValueError("the parties of the source gave parts of different pages")
    if any(len(part.pieces) != PARTIES for part in parts):
        raise ValueError(f"a party of the source gave no {PARTIES} pieces")
    found = crossing_pb2.CrossingRecord(page=parts[0].page, parts=parts)
    for part in found.parts:
        part.ClearField("page")
    return found


def share_for(recipient: int, record: crossing_pb2.CrossingRecord) -> crossing_pb2.CrossingShare:
    """What a party of the destination gets of a page."""
    parts = [
        crossing_pb2.CrossingPiece(
            piece=part.pieces[recipient],
            piece_digests=[digest(piece) for piece in part.pieces],
            signature=part.signature,
            chain=part.chain,
        )
        for part in record.parts
    ]
    return crossing_pb2.CrossingShare(page=record.page, parts=parts)
