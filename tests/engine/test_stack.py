"""A matrix in pieces is the matrix, whatever its pieces are, and a change copies those that it changes."""

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from visard_common.memory import OWN_PAGES_BYTES
from visard_engine import stack
from visard_engine.field import M31, Elements
from visard_engine.protocols.blocks import BLOCKS
from visard_engine.stack import MOST, Stack, parts_of

from tests.engine.asking import Question, halves, matched, searched
from tests.engine.harness import play

SMALL = 4
PATCHED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
SIZES = st.lists(st.integers(0, 2 * SMALL + 1), min_size=1, max_size=6)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack, "MOST", SMALL)
    monkeypatch.setattr(stack, "_LEAST", 2)


def numbered(count: int, first: int = 0) -> Elements:
    return np.arange(3 * first, 3 * (first + count), dtype=np.uint32).reshape(count, 3)


def stacked(sizes: list[int]) -> Stack:
    """Rows numbered from 0 on, as pieces that come in these sizes."""
    begins = np.cumsum([0, *sizes]).tolist()
    return Stack.of(numbered(size, begin) for size, begin in zip(sizes, begins, strict=False))


def sizes_of(found: Stack) -> list[int]:
    return [len(piece) for piece in found.pieces]


@PATCHED
@given(SIZES, st.integers(0, 60), st.integers(0, 60))
def stack__should_be_the_matrix_of_its_rows(sizes: list[int], start: int, stop: int) -> None:
    found, rows = stacked(sizes), numbered(sum(sizes))
    assert np.array_equal(np.asarray(found), rows)
    assert (len(found), found.shape, found.size) == (len(rows), rows.shape, rows.size)
    for matrix in (found, rows):
        assert np.array_equal(np.concatenate(list(parts_of(matrix, slice(start, stop)))), rows[start:stop])
    assert str(rows.size) in repr(found)
    assert "[" not in repr(found)


@PATCHED
@given(SIZES)
def pieces__should_be_neither_large_nor_many(sizes: list[int]) -> None:
    found = sizes_of(stacked(sizes))
    assert max(found) <= SMALL
    assert all(sum(pair) > SMALL // 2 for pair in itertools.pairwise(found))


@PATCHED
@given(SIZES, st.dictionaries(st.integers(0, 60), st.tuples(st.booleans(), st.booleans())))
def edited_stack__should_be_the_matrix_with_other_rows(sizes: list[int], edits: dict[int, tuple[bool, bool]]) -> None:
    """Each edit takes a row out or not, and puts one in or not."""
    found, rows = stacked(sizes), numbered(sum(sizes))
    wanted, told, at = list[Any](), list[stack.Edit](), 0
    for place, (out, into) in sorted(edits.items()):
        start = min(place, len(rows))
        stop = start + (out and start < len(rows))
        if start < at:
            continue
        fresh = numbered(int(into), 1000 + place)
        told.append((start, stop, fresh))
        wanted += [*rows[at:start], *fresh]
        at = stop
    wanted += [*rows[at:]]
    changed = found.edited(told)
    assert np.array_equal(np.asarray(changed), np.array(wanted, np.uint32).reshape(-1, 3))
    assert np.array_equal(np.asarray(found), rows), "who has the old one keeps it"
    assert max(sizes_of(changed)) <= SMALL


def edit__should_copy_the_piece_that_it_changes() -> None:
    found = stacked([4, 4, 4, 4])
    changed = found.edited([(5, 5, numbered(1, 99))])
    same = [any(piece is old for old in found.pieces) for piece in changed.pieces]
    assert (same, sizes_of(changed)) == ([True, False, False, True, True], [4, 3, 2, 4, 4])
    assert all(piece.base is None for piece in changed.pieces[1:3]), "a piece that is not used any more is not held"
    gone = found.edited([(5, 6, numbered(0))])
    assert [any(piece is old for old in found.pieces) for piece in gone.pieces] == [True, False, True, True]


def rows_that_are_left_out__should_cost_a_copy_of_their_pieces() -> None:
    found = stacked([4, 4, 4])
    chosen = np.arange(12) != 6
    left = found.where(chosen)
    assert np.array_equal(np.asarray(left), numbered(12)[chosen])
    assert [any(piece is old for old in found.pieces) for piece in left.pieces] == [True, False, True]
    assert len(found.where(chosen & False)) == 0


def first_rows__should_come_to_an_empty_stack() -> None:
    empty = Stack.of([np.zeros((0, 0), np.uint32)])
    assert empty.edited([(0, 0, numbered(1, 5)), (0, 0, numbered(0)), (0, 0, numbered(1, 7))]).shape == (2, 3)


ROWS = BLOCKS[1] + 70


def near(q: int) -> tuple[Any, Any, int]:
    """A probe, a gallery in which a few rows are near, and the limit within which three of them are."""
    rng = np.random.default_rng(q)
    probe, gallery = rng.normal(size=8), rng.normal(size=(ROWS, 8))
    gallery[[5, 300, ROWS - 1]] = probe + rng.normal(size=(3, 8)) / 100
    distances = np.sort(halves(q, probe, gallery))
    return probe, gallery, int(distances[2] + distances[3]) // 2


def laid(party: int, shares: Elements) -> Stack:
    """Each party's pieces are others, as after writes that each of them has read at other times."""
    return Stack(tuple(np.array_split(shares, 3 + 4 * party)))


@pytest.mark.parametrize("q", [31, 61])
@pytest.mark.parametrize("question", ["verify", "is_known", "identify", "search"])
async def question__should_be_answered_of_pieces_as_of_the_matrix(question: str, q: int) -> None:
    probe, gallery, limit = near(q)

    def asked(**options: Any) -> Question:
        if question == "search":
            return searched(q, [limit], probe, gallery, **options)
        return matched(q, question, limit, probe, gallery, **options)

    whole, pieces = asked(), asked(laid=laid)
    outcome = await play(pieces.plan, pieces.part)
    assert pieces.answer_of(outcome) == whole.answer_of(await play(whole.plan, whole.part))
    if question == "search":
        assert pieces.answer_of(outcome) == [[5, 300, ROWS - 1]]


def piece__should_leave_the_process_when_it_is_freed() -> None:
    """Of descriptors of 128 numbers; half a piece, what one becomes that has grown too large, is still large enough."""
    assert MOST // 2 * 128 * M31.itemsize >= OWN_PAGES_BYTES
