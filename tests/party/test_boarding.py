"""Party 0 lets ride together what fits and waits, in order, and nobody waits for company; nonsense from it is refused."""

from dataclasses import dataclass

import pytest
from visard_engine.errors import ProtocolError
from visard_party.batching.boarding import MAX_RIDERS, Call, Platform, decode_riders, encode_riders


@dataclass(eq=False)
class Someone:
    network: str = "face"
    size: int = 1


def platform(waiting: list[Someone], room: int = 4, rides: int = 1) -> Platform[Someone]:
    return Platform(room, rides, waiting)


def one_alone__should_ride_at_once() -> None:
    only = Someone()
    assert platform([only]).depart() == [only]


def those_who_wait__should_ride_together_up_to_the_room() -> None:
    waiting = [Someone() for _ in range(6)]
    queue = platform(list(waiting))
    assert queue.depart() == waiting[:4]
    assert queue.depart() == []
    queue.under_way -= 1
    assert queue.depart() == waiting[4:]


def other_networks_and_what_does_not_fit__should_wait_for_the_next_ride() -> None:
    first, other, two, three, one = Someone(), Someone("fine"), Someone(size=2), Someone(size=3), Someone()
    queue = platform([first, other, two, three, one], rides=3)
    assert queue.depart() == [first, two, one]
    assert queue.depart() == [other]
    assert queue.depart() == [three]


def more_images_than_there_is_room__should_ride_alone() -> None:
    large, small = Someone(size=16), Someone()
    assert platform([large, small]).depart() == [large]


def call__should_survive_its_encoding() -> None:
    call = Call(b"r" * 16, (b"a" * 16, b"b" * 16))
    assert Call.decode(call.encode()) == call


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"null",
        b'["", []]',
        b'["00", ["00"]]',
        Call(b"r" * 16, ()).encode(),
        Call(b"r" * 16, (b"a" * 16, b"a" * 16)).encode(),
        Call(b"r" * 16, (b"a" * 15,)).encode(),
        Call(b"r" * 16, tuple(bytes([k]) * 16 for k in range(MAX_RIDERS + 1))).encode(),
        b"[" * 100_000,
    ],
)
def nonsense__should_be_refused(bad: bytes) -> None:
    with pytest.raises(ProtocolError, match="call to ride"):
        Call.decode(bad)


def list_of_riders__should_survive_its_encoding_and_be_checked() -> None:
    assert decode_riders(encode_riders([True, False, True]), 3) == [True, False, True]
    for bad in (b"", b"\x01\x00", b"\x01\x02\x00"):
        with pytest.raises(ProtocolError, match="list of riders"):
            decode_riders(bad, 3)
