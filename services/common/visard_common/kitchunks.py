"""Kits on the wire: protobuf, but corrections are not copied through protobuf.

Megabytes would be copied into a protobuf object, out of it into bytes, and the same again at the other end. Here a piece is
joined with its header once, and cut from it without a copy: what goes over the wire is dealer.proto's KitChunk to the last
byte, so that either end may as well use the generated code.
"""

from collections.abc import AsyncIterator
from typing import Any, Protocol

import grpc
from google.protobuf.message import DecodeError
from visard_wire.v1 import dealer_pb2

_SERVICE = "visard.v1.Dealer"
_DATA = 0x12  # of KitChunk the field "data": its tag in dealer.proto
_VARINT_BYTES = 5  # at most, of a size below 2^35

Chunk = dealer_pb2.KitChunk | bytes  # as it is sent: a chunk, or the bytes of one
Arrived = dealer_pb2.KitChunk | memoryview | None  # as it has come: a chunk, the corrections in one, or what is none


class Delivers(Protocol):
    """What serves dealer.proto."""

    def Fetch(self, request: dealer_pb2.FetchRequest, context: Any) -> AsyncIterator[Chunk]:  # noqa: N802
        """The calling party's part of consecutive kits."""

    async def Reveal(self, request: dealer_pb2.RevealRequest, context: Any) -> dealer_pb2.RevealResponse:  # noqa: N802
        """All seeds of a kit."""


def chunk(corrections: memoryview) -> bytes:
    """The bytes of a KitChunk with these corrections, which may be changed afterwards."""
    size, left = bytearray((_DATA,)), len(corrections)
    while left > 0x7F:
        size.append(left & 0x7F | 0x80)
        left >>= 7
    size.append(left)
    return b"".join((size, corrections))


def encode(message: Chunk) -> bytes:
    """The bytes of a chunk, for gRPC."""
    return message if isinstance(message, bytes) else message.SerializeToString()


def decode(data: bytes) -> Arrived:
    """A chunk; one that is laid out as ``chunk`` does is cut, others are parsed. None for bytes that are none.

    Where a deserializer raises, gRPC gives None as well, after a traceback in the log.
    """
    if data[:1] == bytes((_DATA,)):
        size = 0
        for k, byte in enumerate(data[1 : 1 + _VARINT_BYTES]):
            size |= (byte & 0x7F) << 7 * k
            if byte < 0x80:
                if k + 2 + size == len(data):
                    return memoryview(data)[k + 2 :]
                break
    try:
        parsed = dealer_pb2.KitChunk.FromString(data)
    except DecodeError:
        return None
    return parsed if parsed.HasField("header") else memoryview(parsed.data)


def add_dealer(servicer: Delivers, server: grpc.aio.Server) -> None:
    """Serve dealer.proto."""
    handlers: dict[str, Any] = {
        "Fetch": grpc.unary_stream_rpc_method_handler(
            servicer.Fetch, request_deserializer=dealer_pb2.FetchRequest.FromString, response_serializer=encode
        ),
        "Reveal": grpc.unary_unary_rpc_method_handler(
            servicer.Reveal,
            request_deserializer=dealer_pb2.RevealRequest.FromString,
            response_serializer=dealer_pb2.RevealResponse.SerializeToString,
        ),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, handlers),))


def fetching(channel: grpc.aio.Channel) -> "grpc.aio.UnaryStreamMultiCallable[dealer_pb2.FetchRequest, Arrived]":
    """Dealer.Fetch at a dealer."""
    return channel.unary_stream(
        f"/{_SERVICE}/Fetch",
        request_serializer=dealer_pb2.FetchRequest.SerializeToString,
        response_deserializer=decode,
    )
