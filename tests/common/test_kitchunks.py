"""What goes over the wire is dealer.proto's KitChunk to the last byte, whichever end writes or reads it."""

import random

import pytest
from google.protobuf.message import DecodeError
from visard_common.kitchunks import chunk, decode, encode
from visard_wire.v1 import dealer_pb2

SIZES = (0, 1, 127, 128, 16_383, 16_384, 1 << 20)


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


def headers__should_pass_through_protobuf() -> None:
    header = dealer_pb2.KitChunk(header=dealer_pb2.KitHeader(id=7, tag=bytes(32)))
    assert decode(encode(header)) == header
    assert decode(b"") == b""


@pytest.mark.parametrize("spoilt", [b"\x12", b"\x12\x05abc", b"\x12\xff\xff\xff\xff\xff\xff", b"\x12\x80"])
def piece_that_is_none__should_be_refused(spoilt: bytes) -> None:
    with pytest.raises(DecodeError):
        decode(spoilt)
