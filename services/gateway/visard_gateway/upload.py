"""An upload as the gateway sees it: a header, then chunks of three sealed shares in any interleaving. Pure.

The gateway checks only what it needs to pass things on; the parties check everything.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from visard_common.errors import InvalidArgument
from visard_common.limits import MAX_ENVELOPE_BYTES, MAX_PROGRAM_BYTES, MAX_SHARE_BYTES
from visard_common.uploads import check_size
from visard_wire.limits import KEY_ID_BYTES, PARTIES, REQUEST_ID_BYTES
from visard_wire.v1 import common_pb2


@dataclass
class Upload:
    """How far an upload has come: of each party's share the bytes and chunks so far, and whether it is whole."""

    header: common_pb2.UploadHeader
    sizes: list[int]
    received: list[int] = field(default_factory=lambda: [0] * PARTIES)
    indices: list[int] = field(default_factory=lambda: [0] * PARTIES)
    whole: list[bool] = field(default_factory=lambda: [False] * PARTIES)

    @classmethod
    def begin(cls, first: common_pb2.Upload | None, operation: "common_pb2.Operation.ValueType") -> "Upload":
        """Check the first message; raises InvalidArgument."""
        if first is None or not first.HasField("header"):
            raise InvalidArgument.of("header", "the first message of an upload")
        header = first.header
        check_operation(header.request, operation)
        if len(header.request.request_id) != REQUEST_ID_BYTES:
            raise InvalidArgument.of("request.request_id", f"{REQUEST_ID_BYTES} bytes")
        if [share.party for share in header.shares] != list(range(PARTIES)):
            raise InvalidArgument.of("header.shares", "one for each of parties 0, 1, 2, in order")
        if any(not 0 < share.size <= MAX_SHARE_BYTES for share in header.shares):
            raise InvalidArgument.of("header.shares.size", f"1 to {MAX_SHARE_BYTES} bytes")
        if len(header.program) > MAX_PROGRAM_BYTES:
            raise InvalidArgument.of("header.program", f"at most {MAX_PROGRAM_BYTES} bytes")
        return cls(header, [share.size for share in header.shares])

    def header_for(self, party: int) -> common_pb2.Upload:
        """The header for one party: of the shares only its own."""
        header = common_pb2.UploadHeader(
            request=self.header.request, shares=[self.header.shares[party]], program=self.header.program
        )
        return common_pb2.Upload(header=header)

    def accept(self, message: common_pb2.Upload) -> int:
        """Check the next message, a chunk; the party it goes to. Raises InvalidArgument."""
        if not message.HasField("chunk"):
            raise InvalidArgument.of("header", "only once, at the beginning")
        chunk = message.chunk
        if chunk.party >= PARTIES:
            raise InvalidArgument.of("chunk.party", "0, 1 or 2")
        party = chunk.party
        if self.whole[party]:
            raise InvalidArgument.of("chunk", "nothing after the last chunk")
        if chunk.index != self.indices[party]:
            raise InvalidArgument.of("chunk.index", f"{self.indices[party]} comes next for party {party}")
        check_size(chunk.data, last=chunk.last)
        self.received[party] += len(chunk.data)
        self.indices[party] += 1
        self.whole[party] = chunk.last
        if self.received[party] > self.sizes[party] or (chunk.last and self.received[party] != self.sizes[party]):
            raise InvalidArgument.of("chunk.data", f"{self.sizes[party]} bytes over all chunks, as announced")
        return party

    def finish(self) -> None:
        """Check that everything came; raises InvalidArgument."""
        for party in range(PARTIES):
            if not self.whole[party]:
                raise InvalidArgument.of("chunk.last", f"true on party {party}'s last chunk: the upload was cut off")


def check_operation(request: common_pb2.Request, operation: "common_pb2.Operation.ValueType") -> None:
    """Raises InvalidArgument for a request of another operation than its method's."""
    if request.operation != operation:
        raise InvalidArgument.of("request.operation", f"{common_pb2.Operation.Name(operation)} for this method")


def check_envelopes(envelopes: Sequence[common_pb2.SealedEnvelope], wanted: int) -> None:
    """Raises InvalidArgument unless there are so many envelopes, each of a size that a party would look at."""
    if len(envelopes) != wanted:
        raise InvalidArgument.of("envelopes", "one for each of parties 0, 1, 2, in order")
    if any(len(one.key_id) != KEY_ID_BYTES for one in envelopes):
        raise InvalidArgument.of("envelopes.key_id", f"{KEY_ID_BYTES} bytes")
    if any(not 0 < len(one.ciphertext) <= MAX_ENVELOPE_BYTES for one in envelopes):
        raise InvalidArgument.of("envelopes.ciphertext", f"1 to {MAX_ENVELOPE_BYTES} bytes")
