"""What goes over the wire is peer.proto's Frame to the last byte, whichever end writes or reads it."""

import random

import pytest
from google.protobuf.message import DecodeError
from visard_common.limits import MAX_REQUEST, PIECE_BYTES
from visard_engine.errors import ProtocolError
from visard_party.peers.framing import Joiner, Message, decode, encode, message, pieces
from visard_wire.limits import MAX_MESSAGE
from visard_wire.v1 import peer_pb2

SESSION = b"0123456789abcdef"
SIZES = (1, 127, 128, 16_383, 16_384, 300_000)


def generated(session: bytes, counter: int, payload: bytes) -> bytes:
    return peer_pb2.Frame(
        message=peer_pb2.Message(session=session, counter=counter, payload=payload)
    ).SerializeToString()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("counter", [1, -5, 1 << 62])
def message__should_be_the_bytes_that_protobuf_writes(size: int, counter: int) -> None:
    payload = random.Random(size).randbytes(size)
    assert message(SESSION, counter, payload) == generated(SESSION, counter, payload)
    assert message(SESSION, counter, memoryview(payload)) == generated(SESSION, counter, payload)


@pytest.mark.parametrize("size", [0, *SIZES])
def message__should_be_read_whoever_wrote_it(size: int) -> None:
    payload = random.Random(size).randbytes(size)
    for counter in (0, 7):
        expected = Message(SESSION, counter, payload)
        assert decode(message(SESSION, counter, payload)) == expected
        assert decode(generated(SESSION, counter, payload)) == expected
    odd = peer_pb2.Frame(message=peer_pb2.Message(payload=payload, session=b"short")).SerializeToString()
    assert decode(odd) == Message(b"short", 0, payload)


def other_frames__should_pass_through_protobuf() -> None:
    hello = peer_pb2.Frame(hello=peer_pb2.Hello(party=1, version="9"))
    assert decode(encode(hello)) == hello
    assert encode(b"bytes stay as they are") == b"bytes stay as they are"


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES - 5])
def long_message__should_arrive_whole_in_pieces_that_servers_take(size: int) -> None:
    payload = random.Random(size).randbytes(size)
    sent = list(pieces(SESSION, 9, payload))
    assert len(sent) == max(1, -(-size // PIECE_BYTES))
    assert all(len(frame) < MAX_REQUEST for frame in sent)
    joiner = Joiner()
    for k, frame in enumerate(sent):
        parsed = peer_pb2.Frame.FromString(frame).message
        found = decode(frame)
        assert found == Message(parsed.session, parsed.counter, parsed.payload, parsed.more)
        assert decode(peer_pb2.Frame(message=parsed).SerializeToString()) == found
        assert isinstance(found, Message)
        whole = joiner.add(found)
        assert (whole is None) == (k + 1 < len(sent))
    assert whole == Message(SESSION, 9, payload)
    assert joiner.add(Message(SESSION, 10, b"next")) == Message(SESSION, 10, b"next")


def pieces_that_do_not_belong_together__should_be_refused() -> None:
    joiner = Joiner()
    assert joiner.add(Message(SESSION, 1, b"a", more=True)) is None
    with pytest.raises(ProtocolError, match="mixed"):
        joiner.add(Message(SESSION, 2, b"b"))
    joiner, piece = Joiner(), Message(SESSION, 1, bytes(PIECE_BYTES), more=True)
    for _ in range(MAX_MESSAGE // PIECE_BYTES):
        assert joiner.add(piece) is None
    with pytest.raises(ProtocolError, match="too long"):
        joiner.add(piece)


def nonsense__should_be_refused_or_read_as_protobuf_reads_it() -> None:
    good = message(SESSION, 3, b"x" * 200)
    rng = random.Random(4)
    changed = [good[:k] for k in range(len(good))]
    changed += [good[:k] + bytes([rng.randrange(256)]) + good[k + 1 :] for k in range(40) for _ in range(30)]
    for data in changed:
        try:
            parsed = peer_pb2.Frame.FromString(data)
        except DecodeError:
            with pytest.raises(DecodeError):
                decode(data)
            continue
        found = decode(data)
        if isinstance(found, Message):
            assert (found.session, found.counter, found.payload, found.more) == (
                parsed.message.session,
                parsed.message.counter,
                parsed.message.payload,
                parsed.message.more,
            )
        else:
            assert found == parsed
