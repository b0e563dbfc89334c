"""The table of a search's answer: up to eight references come out of it, whatever the request's seed is."""

import os
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from visard_wire import cells
from visard_wire.cells import CELLS, HASHES, MOST, PART, Label, hash_keys, hashed, peeled, places, room_for, seed_of

from tests.cells import label, table

SEED = bytes(16)
NAMES = st.from_regex(r"[A-Za-z0-9._@-]{1,128}", fullmatch=True)


@given(st.lists(st.tuples(st.binary(min_size=16, max_size=16), NAMES), max_size=MOST, unique=True))
def references__should_come_out(found: list[tuple[bytes, str]]) -> None:
    labels = [Label(reference.hex(), name) for reference, name in found]
    room = room_for(max((len(name) for _, name in found), default=0))
    seed = next(seed for seed in (bytes([k]) * 16 for k in range(9)) if all_come_out(labels, seed, room))
    assert set(peeled(table(labels, seed, room), hash_keys(seed, room)) or ()) == set(labels)


def all_come_out(labels: list[Label], seed: bytes, room: int) -> bool:
    return peeled(table(labels, seed, room), hash_keys(seed, room)) is not None


def eight_references__should_nearly_always_come_out() -> None:
    """Simulated 20 million times, 27 in a million tables of 8 cannot be told; here a few thousand, of which 3 are too many."""
    failed = 0
    for trial in range(3000):
        seed = trial.to_bytes(16, "big")
        failed += not all_come_out([label(trial * MOST + k) for k in range(MOST)], seed, 24)
    assert failed < 3


def many_references__should_be_more_than_can_be_told() -> None:
    for count in (110, 300, 1000):
        assert peeled(table([label(k) for k in range(count)], SEED, 24), hash_keys(SEED, 24)) is None


def cells__should_be_one_of_each_part_and_evenly_spread() -> None:
    keys = hash_keys(SEED, 24)
    counts = Counter[int]()
    for k in range(4000):
        found = places(hashed(label(k).packed(24), keys)[0])
        assert [place // PART for place in found] == list(range(HASHES))
        counts.update(found)
    assert len(counts) == CELLS
    assert all(80 < count < 180 for count in counts.values())  # 125 each: 5 standard deviations


def seed__should_decide() -> None:
    """Two names that share all cells in one request do not in another: who names references does not know its seed."""
    one, other = (seed_of(request) for request in (b"one", b"other"))
    assert one != other
    assert len(one) == cells.SEED_BYTES
    differing = sum(
        places(hashed(label(k).packed(24), hash_keys(one, 24))[0])
        != places(hashed(label(k).packed(24), hash_keys(other, 24))[0])
        for k in range(50)
    )
    assert differing == 50


@pytest.mark.parametrize(("longest", "room"), [(0, 24), (24, 24), (25, 56), (57, 128), (128, 128)])
def room__should_be_the_smallest_that_does(longest: int, room: int) -> None:
    assert room_for(longest) == room


def table_of_anything__should_never_hang() -> None:
    """What a liar has made of a table: nothing comes out, or an error."""
    honest = table([label(k) for k in range(3)], SEED, 24)
    for place in range(0, CELLS, 7):
        spoilt = [*honest]
        spoilt[place] = os.urandom(len(honest[0]))
        assert peeled(spoilt, hash_keys(SEED, 24)) is None
    (packed,) = {cell for cell in table([label(1)], SEED, 24) if any(cell)}
    with pytest.raises(ValueError, match="more references"):
        peeled(
            [
                packed if k == places(hashed(label(1).packed(24), hash_keys(SEED, 24))[0])[0] else bytes(len(packed))
                for k in range(CELLS)
            ],
            hash_keys(SEED, 24),
        )


def name_with_a_gap__should_be_none() -> None:
    with pytest.raises(ValueError, match="no subject"):
        Label.unpacked(bytes(16) + b"ann\0bob".ljust(24, b"\0"))
