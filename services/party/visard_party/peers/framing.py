"""Frames on the wire between parties: protobuf, but a protocol message's payload is not copied through protobuf.

A message of megabytes would be copied into a protobuf object, out of it into bytes, and the same again at the other end.
Here it is joined with its header once, and cut from it: what goes over the wire is peer.proto's Frame to the last byte, so
that either end may as well use the generated code. What is longer than PIECE_BYTES goes in pieces, one after the other: a
server takes no large messages, from nobody.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from struct import Struct

import grpc
from visard_common.limits import PIECE_BYTES, SESSION_BYTES
from visard_engine.channel import Payload
from visard_engine.errors import ProtocolError
from visard_wire.limits import MAX_MESSAGE
from visard_wire.v1 import peer_pb2

_METHOD = "/visard.v1.Peer/Exchange"
# of Frame the field "message", then of Message "session" with its length, "counter", and "payload": tag bytes of peer.proto
_MESSAGE, _PAYLOAD = b"\x12", b"\x1a"
_MORE = b"\x20\x01"  # the field "more", true
_HEAD = Struct(f"<BB{SESSION_BYTES}sBq")
_SESSION_TAG, _COUNTER_TAG = 0x0A, 0x11


@dataclass(frozen=True)
class Message:
    """One protocol message: see peer.proto."""

    session: bytes
    counter: int
    payload: bytes = field(repr=False)
    more: bool = False


Outgoing = peer_pb2.Frame | bytes  # a frame, or the bytes of one
Incoming = peer_pb2.Frame | Message


def message(session: bytes, counter: int, payload: Payload, *, more: bool = False) -> bytes:
    """The bytes of a Frame with a protocol message; the payload may be changed afterwards."""
    head = _HEAD.pack(_SESSION_TAG, SESSION_BYTES, session, _COUNTER_TAG, counter)
    size, end = _varint(len(payload)), _MORE if more else b""
    length = _varint(len(head) + len(_PAYLOAD) + len(size) + len(payload) + len(end))
    return b"".join((_MESSAGE, length, head, _PAYLOAD, size, payload, end))


def pieces(session: bytes, counter: int, payload: Payload) -> Iterator[bytes]:
    """The Frames of a protocol message of any length, to be sent one after the other."""
    whole = memoryview(payload).cast("B")
    for start in range(0, max(1, len(whole)), PIECE_BYTES):
        stop = start + PIECE_BYTES
        yield message(session, counter, whole[start:stop], more=stop < len(whole))


class Joiner:
    """Puts the pieces that come over one link together again."""

    def __init__(self) -> None:
        self._pieces: list[Message] = []

    def add(self, piece: Message) -> Message | None:
        """The message that ends with this piece, if one does; raises ProtocolError for pieces that are none of one."""
        if not self._pieces and not piece.more:
            return piece
        self._pieces.append(piece)
        first = self._pieces[0]
        if (piece.session, piece.counter) != (first.session, first.counter):
            raise ProtocolError("pieces of two messages are mixed")
        if sum(len(one.payload) for one in self._pieces) > MAX_MESSAGE:
            raise ProtocolError("a message is too long")
        if piece.more:
            return None
        found, self._pieces = self._pieces, []
        return Message(first.session, first.counter, b"".join(one.payload for one in found))


def encode(frame: Outgoing) -> bytes:
    """The bytes of a frame, for gRPC; a protocol message is bytes already."""
    return frame if isinstance(frame, bytes) else frame.SerializeToString()


def decode(data: bytes) -> Incoming:
    """A frame; a protocol message as ``message`` writes it is cut out, others are parsed. Raises DecodeError."""
    if (cut := _cut(data)) is not None:
        return cut
    frame = peer_pb2.Frame.FromString(data)
    if frame.WhichOneof("kind") == "message":
        found = frame.message
        return Message(found.session, found.counter, found.payload, found.more)
    return frame


def _cut(data: bytes) -> Message | None:
    """The message, if the bytes are laid out as ``message`` does."""
    if not data.startswith(_MESSAGE):
        return None
    length, start = _read_varint(data, 1)
    after = start + _HEAD.size
    if start + length != len(data) or length <= _HEAD.size or data[after : after + 1] != _PAYLOAD:
        return None
    session_tag, session_size, session, counter_tag, counter = _HEAD.unpack_from(data, start)
    size, begin = _read_varint(data, after + 1)
    end = data[begin + size :]
    if (session_tag, session_size, counter_tag) != (_SESSION_TAG, SESSION_BYTES, _COUNTER_TAG) or end not in (
        b"",
        _MORE,
    ):
        return None
    if size < 0 or begin + size + len(end) != len(data):
        return None
    return Message(session, counter, data[begin : begin + size], bool(end))


def _varint(n: int) -> bytes:
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def _read_varint(data: bytes, start: int) -> tuple[int, int]:
    """A number and where it ends; -1 for one that is longer than five bytes or cut off."""
    n = 0
    for k, byte in enumerate(data[start : start + 5]):
        n |= (byte & 0x7F) << 7 * k
        if byte < 0x80:
            return n, start + k + 1
    return -1, start


def add_exchange(handler: Callable[..., object], server: grpc.aio.Server) -> None:
    """Serve Peer.Exchange with a method that takes and gives frames."""
    method = grpc.stream_stream_rpc_method_handler(handler, request_deserializer=decode, response_serializer=encode)
    service, _, name = _METHOD[1:].partition("/")
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {name: method}),))


def exchange(channel: grpc.aio.Channel) -> "grpc.aio.StreamStreamMultiCallable[Outgoing, Incoming]":
    """Peer.Exchange at a peer."""
    return channel.stream_stream(_METHOD, request_serializer=encode, response_deserializer=decode)
