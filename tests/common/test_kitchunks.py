"""What goes over the wire is dealer.proto's KitChunk to the last byte, whichever end writes or reads it."""

import random
from collections.abc import Iterator
from typing import Any
from unittest.mock import MagicMock

import pytest
from google.protobuf.message import DecodeError
from visard_common.kitchunks import Arrived, add_dealer, chunk, decode, encode
from visard_wire.v1 import dealer_pb2

SIZES = (0, 1, 127, 128, 16_383, 16_384, 1 << 20)
HEADER = dealer_pb2.KitChunk(header=dealer_pb2.KitHeader(id=7, seed_own=bytes(16), tag=bytes(range(32))))


@pytest.mark.parametrize("size", SIZES)
def corrections__should_be_the_bytes_that_protobuf_writes(size: int) -> None:
    data = random.Random(size).randbytes(size)
    assert encode(chunk(memoryview(data))) == dealer_pb2.KitChunk(data=data).SerializeToString()


@pytest.mark.parametrize("size", SIZES)
def corrections__should_be_read_whoever_wrote_them(size: int) -> None:
    data = random.Random(size).randbytes(size)
    generated = dealer_pb2.KitChunk(data=data).SerializeToString()
    for sent in (chunk(memoryview(data)), generated, b"\x10\x01" + generated, generated + b"\x10\x01"):
        assert decode(sent) == data


def chunk_that_is_sent__should_not_change_with_the_buffer_it_was_cut_from() -> None:
    buffer = bytearray(b"abc")
    sent = chunk(memoryview(buffer))
    buffer[:] = b"xyz"
    assert decode(sent) == b"abc"


def headers__should_pass_through_protobuf() -> None:
    assert decode(encode(HEADER)) == HEADER
    assert decode(b"") == b""


@pytest.mark.parametrize(
    "spoilt", [b"\x12", b"\x12\x05abc", b"\x12\xff\xff\xff\xff\xff\xff", b"\x12\x80", b"\x0a\x01\x0f"]
)
def piece_that_is_none__should_be_none(spoilt: bytes) -> None:
    assert decode(spoilt) is None


def by_protobuf(data: bytes) -> Arrived:
    try:
        parsed = dealer_pb2.KitChunk.FromString(data)
    except DecodeError:
        return None
    return parsed if parsed.HasField("header") else memoryview(parsed.data)


def concocted(rng: random.Random) -> Iterator[bytes]:
    """Fields in any order and number, known or not, sizes written with needless bytes, cut off, or with bytes changed."""
    fields = [
        encode(HEADER),
        b"\x0a\x00",
        b"\x12\x00",
        b"\x12\x81\x80\x00x",
        b"\x12\x80\x80\x80\x80\x00",
        b"\x12\x80\x80\x80\x80\x80\x00",
        b"\x12\x83\x80\x80\x80\x10abc",
        b"\x92\x00\x01x",
        b"\x1a\x01x",
        b"\x10\x07",
        *(chunk(memoryview(rng.randbytes(n))) for n in (1, 5, 127, 128, 200)),
    ]
    for _ in range(4000):
        made = bytearray(b"".join(rng.choices(fields, k=rng.randrange(4))))
        if made and rng.random() < 0.5:
            made[rng.randrange(min(6, len(made)))] = rng.randrange(256)
        yield bytes(made[: rng.randrange(len(made) + 1)] if rng.random() < 0.25 else made)


def whatever_comes__should_be_read_as_protobuf_reads_it() -> None:
    found = [(decode(data), by_protobuf(data)) for data in concocted(random.Random(18))]
    assert all(type(ours) is type(right) and ours == right for ours, right in found)
    kinds = [type(ours) for ours, _ in found]
    assert min(map(kinds.count, (memoryview, dealer_pb2.KitChunk, type(None)))) > 100, "or it shows little"


def dealer__should_serve_every_call_of_its_proto() -> None:
    server: Any = MagicMock()
    add_dealer(MagicMock(), server)
    ((handler,),) = server.add_generic_rpc_handlers.call_args.args
    service = dealer_pb2.DESCRIPTOR.services_by_name["Dealer"]
    for method in service.methods:
        found = handler.service(MagicMock(method=f"/{service.full_name}/{method.name}"))
        assert found is not None, method.name
        assert (found.request_streaming, found.response_streaming) == (method.client_streaming, method.server_streaming)
