"""Shares on their way in: assembled from chunks, opened, and kept in memory until their run."""

from dataclasses import dataclass, field

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from visard_common.errors import AlreadyExists, InvalidArgument, ResourceExhausted
from visard_common.uploads import check_size
from visard_engine.field import Elements, Field
from visard_wire.errors import SealError
from visard_wire.sealing import Context, commitment, envelope_size, key_id, open_share
from visard_wire.secret import Secret
from visard_wire.v1 import common_pb2

_RETRY_SECONDS = 2.0


@dataclass(frozen=True)
class Deposit:
    """A share that waits for its run. ``caller`` has signed the request."""

    request: common_pb2.Request
    context: Context
    reply_key: Secret
    share: Secret
    program: bytes
    caller: str = ""

    def elements(self, field: Field, part: slice = slice(None)) -> Elements:
        """The share, or this part of its bytes, as field elements; raises InvalidArgument unless every word is below p."""
        elements = np.frombuffer(bytearray(self.share.reveal()[part]), field.dtype)
        if not field.is_reduced(elements):
            raise InvalidArgument.of("share", "words below 2^q - 1")
        return elements


@dataclass
class Assembly:
    """One share as far as its chunks have come, in order."""

    info: common_pb2.SealedShareInfo
    data: bytearray = field(default_factory=bytearray)
    next_index: int = 0
    whole: bool = False

    def add(self, chunk: common_pb2.Chunk) -> None:
        """Append the next chunk; raises InvalidArgument."""
        if chunk.party != self.info.party:
            raise InvalidArgument.of("chunk.party", f"{self.info.party} on this stream")
        if self.whole:
            raise InvalidArgument.of("chunk", "nothing after the last chunk")
        if chunk.index != self.next_index:
            raise InvalidArgument.of("chunk.index", f"{self.next_index} comes next")
        check_size(chunk.data, last=chunk.last)
        self.data += chunk.data
        self.next_index += 1
        self.whole = chunk.last
        if len(self.data) > self.info.size or (self.whole and len(self.data) != self.info.size):
            raise InvalidArgument.of("chunk.data", f"{self.info.size} bytes over all chunks, as announced")

    def finish(self) -> bytes:
        """The sealed share; raises InvalidArgument when the upload ended early."""
        if not self.whole:
            raise InvalidArgument.of("chunk.last", "true on the last chunk: the upload was cut off")
        return bytes(self.data)


def expect(
    header: common_pb2.UploadHeader, party: int, public_key: bytes, share_bytes: int, *, at_most: bool = False
) -> Assembly:
    """Check a header against what this party expects; raises InvalidArgument before anything is allocated.

    A share has ``share_bytes``, or with ``at_most`` 1 to so many.
    """
    if len(header.shares) != 1 or header.shares[0].party != party:
        raise InvalidArgument.of("header.shares", f"exactly one, for party {party}")
    info = header.shares[0]
    check_key("header.shares.key_id", info.key_id, party, public_key)
    whole = envelope_size(share_bytes)
    if not (envelope_size(1) if at_most else whole) <= info.size <= whole:
        limit = "at most " if at_most else ""
        raise InvalidArgument.of("header.shares.size", f"{limit}{whole} bytes for this model and operation")
    return Assembly(info)


def check_key(field: str, named: bytes, party: int, public_key: bytes) -> None:
    """Raise InvalidArgument unless a share is sealed to this key."""
    if named != key_id(public_key):
        raise InvalidArgument.of(field, f"the key of party {party}: fetch the parties' keys again")


def unseal(
    request: common_pb2.Request,
    party: int,
    key: X25519PrivateKey,
    sealed: bytes,
    *,
    caller: str = "",
    program: bytes = b"",
) -> Deposit:
    """Open the sealed share that the caller has named, and no other.

    Raises InvalidArgument if it is another one, or was sealed for another request, party or key.
    """
    if commitment(sealed) != request.share_digests[party]:
        raise InvalidArgument.of("share", "the one whose SHA-256 the caller has signed")
    context = Context.from_request(request)
    try:
        reply_key, share = open_share(key, context, party, sealed)
    except SealError as error:
        raise InvalidArgument.of("share", "sealed to this party for exactly this request") from error
    return Deposit(request, context, reply_key, share, program, caller)


def unseal_envelope(
    request: common_pb2.Request, party: int, key: X25519PrivateKey, envelope: common_pb2.SealedEnvelope, caller: str
) -> Deposit:
    """What comes with a request that has no share: the key to answer under; raises InvalidArgument."""
    if len(envelope.ciphertext) != envelope_size(0):
        raise InvalidArgument.of("envelope.ciphertext", f"{envelope_size(0)} bytes, sealed to this party")
    return unseal(request, party, key, envelope.ciphertext, caller=caller)


class DepositBox:
    """Deposits by request id, within limits of number and bytes."""

    def __init__(self, max_bytes: int, max_count: int = 256) -> None:
        self._max_bytes = max_bytes
        self._max_count = max_count
        self._deposits: dict[bytes, Deposit] = {}
        self._reserved = 0

    def reserve(self, size: int) -> None:
        """Claim memory for an upload; raises ResourceExhausted. ``release`` gives it back."""
        held = sum(len(deposit.share) for deposit in self._deposits.values())
        if held + self._reserved + size > self._max_bytes or len(self._deposits) >= self._max_count:
            raise ResourceExhausted("too many shares wait for their run", retry_after=_RETRY_SECONDS)
        self._reserved += size

    def release(self, size: int) -> None:
        """Give claimed memory back."""
        self._reserved -= size

    def put(self, deposit: Deposit) -> None:
        """Keep a deposit; raises AlreadyExists."""
        if deposit.request.request_id in self._deposits:
            raise AlreadyExists("a share of this request is here already")
        self._deposits[deposit.request.request_id] = deposit

    def take(self, request_id: bytes) -> Deposit | None:
        """Take a deposit out, for its run; None where there is none."""
        return self._deposits.pop(request_id, None)

    def purge(self, now_unix_ms: int) -> list[Deposit]:
        """Forget what has expired; what that was."""
        over = [deposit for deposit in self._deposits.values() if deposit.request.expires_unix_ms < now_unix_ms]
        for deposit in over:
            del self._deposits[deposit.request.request_id]
        return over
