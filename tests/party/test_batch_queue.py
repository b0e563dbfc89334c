"""Party 0 puts into a batch what fits and waits, in order; only beside a batch under way is company waited for, and not for long.

Nonsense from it is refused.
"""

from dataclasses import dataclass

import pytest
from visard_engine.errors import ProtocolError
from visard_party.batching.queue import MAX_MEMBERS, BatchQueue, Call, decode_members, encode_members


@dataclass(eq=False)
class Someone:
    network: str = "face"
    size: int = 1
    since: float = 0.0


def queue_of(waiting: list[Someone], batches: int = 1, patience: float = 0.0) -> BatchQueue[Someone]:
    return BatchQueue(4, batches, patience, waiting)


def one_alone__should_go_at_once() -> None:
    only = Someone()
    assert queue_of([only]).form(0.0) == [only]


def those_who_wait__should_make_a_batch_up_to_the_room() -> None:
    waiting = [Someone() for _ in range(6)]
    queue = queue_of(list(waiting))
    assert queue.form(0.0) == waiting[:4]
    assert queue.form(0.0) == []
    queue.under_way -= 1
    assert queue.form(0.0) == waiting[4:]


def other_networks_and_what_does_not_fit__should_wait_for_the_next_batch() -> None:
    first, other, two, three, one = Someone(), Someone("fine"), Someone(size=2), Someone(size=3), Someone()
    queue = queue_of([first, other, two, three, one], batches=3)
    assert queue.form(0.0) == [first, two, one]
    assert queue.form(0.0) == [other]
    assert queue.form(0.0) == [three]


def request_beside_a_batch__should_wait_for_company_and_not_for_ever() -> None:
    first, second, third = (Someone(since=when) for when in (10.0, 10.5, 11.0))
    queue = queue_of([first], batches=2, patience=1.0)
    assert queue.form(10.0) == [first]
    queue.waiting += [second, third]
    assert queue.form(11.0) == []
    assert queue.waiting == [second, third]
    assert queue.looks_again(11.0) == 0.5
    assert queue.looks_again(11.5) == 0.0
    assert queue.form(11.5) == [second, third]


def full_batch__should_wait_for_nothing() -> None:
    waiting = [Someone() for _ in range(6)]
    queue = queue_of([Someone(), *waiting], batches=3, patience=1e9)
    queue.under_way = 1
    assert len(queue.form(0.0)) == 4
    assert queue.form(0.0) == []
    queue.waiting.insert(0, large := Someone(size=9))
    assert queue.form(0.0) == [large]


def batch__should_begin_when_none_is_under_way_any_more() -> None:
    queue = queue_of([Someone()], batches=2, patience=1e9)
    queue.form(0.0)
    queue.waiting.append(later := Someone())
    assert queue.form(0.0) == []
    queue.under_way -= 1
    assert queue.looks_again(0.0) == 0.0, "nothing is to be waited for"
    assert queue.form(0.0) == [later]
    queue = queue_of([later], batches=1, patience=1e9)
    queue.under_way = 1
    assert queue.looks_again(0.0) == 0.0, "the end of the batch under way says when"


def more_images_than_there_is_room__should_be_a_batch_alone() -> None:
    large, small = Someone(size=16), Someone()
    assert queue_of([large, small]).form(0.0) == [large]


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
        Call(b"r" * 16, tuple(bytes([k]) * 16 for k in range(MAX_MEMBERS + 1))).encode(),
        b"[" * 100_000,
    ],
)
def nonsense__should_be_refused(bad: bytes) -> None:
    with pytest.raises(ProtocolError, match="call to a batch"):
        Call.decode(bad)


def list_of_members__should_survive_its_encoding_and_be_checked() -> None:
    assert decode_members(encode_members([True, False, True]), 3) == [True, False, True]
    for bad in (b"", b"\x01\x00", b"\x01\x02\x00"):
        with pytest.raises(ProtocolError, match="list of members"):
            decode_members(bad, 3)
