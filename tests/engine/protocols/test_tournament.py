"""The tournament and the question whether somebody is known, from kits for blocks: as plain integers decide, for any number of
rows, and each enrolment leaves the kits what they were."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from visard_engine import nearest, searching
from visard_engine.bits import words_for
from visard_engine.errors import KitError
from visard_engine.field import M31, M61, Field
from visard_engine.kits import Kit
from visard_engine.protocols import minimum, tournament
from visard_engine.protocols.blocks import BLOCKS, blocks_of, fuzz
from visard_engine.protocols.conjunction import levels
from visard_engine.protocols.disjunction import PARITIES
from visard_engine.protocols.normalise import unit_bits
from visard_engine.protocols.opening import AGREED
from visard_engine.protocols.verification import COIN
from visard_engine.session import Run
from visard_engine.views import VIEW_BYTES

from tests.engine.asking import halves, matched
from tests.engine.harness import play

FIELDS = pytest.mark.parametrize("field", [M31, M61], ids=["q31", "q61"])
ROWS = pytest.mark.parametrize("rows", [1, 2, 65, 4095, 4096, 4097, 8193])
SIZE = 8
OPENED = {31: 15, 61: 33}  # bits of an exact comparison's gates


def gallery(rows: int, seed: int = 0) -> tuple[Any, Any]:
    """A probe, and directions of which none is near."""
    rng = np.random.default_rng([seed, rows])
    references = rng.normal(size=(rows, SIZE))
    probe = rng.normal(size=SIZE)
    alike = references @ probe > 0
    references[alike] *= -1
    return probe, references


def verification_bytes(field: Field) -> int:
    return (COIN + 2 * 2 * SIZE + 2) * field.itemsize


def near(probe: Any) -> Any:
    """Another direction, at a cosine of some 0.99."""
    return probe + np.random.default_rng(1).normal(size=SIZE) * np.linalg.norm(probe) / 20


@FIELDS
@ROWS
async def nearest__should_be_found_wherever_it_is(field: Field, rows: int) -> None:
    probe, references = gallery(rows)
    limit = 4 ** unit_bits(field.q) // 4
    for place in sorted({0, rows // 2, rows - 1}):
        one = references.copy()
        one[place] = near(probe)
        asked = matched(field.q, "identify", limit, probe, one)
        outcome = await play(asked.plan, asked.part)
        match, *position = asked.answer_of(outcome)
        assert match
        assert sum(bit << k for k, bit in enumerate(position)) == place
        assert len(position) == (rows - 1).bit_length()
        if field is M61:
            break


@pytest.mark.parametrize("field", [M31], ids=["q31"])
@ROWS
async def tournament__should_cost_what_is_said(field: Field, rows: int) -> None:
    """Of the rows that there are: those that fill a block cost the dealer alone."""
    asked = matched(field.q, "identify", None, *gallery(rows))
    outcome = await play(asked.plan, asked.part)
    pairs = minimum.levels(rows)
    assert outcome.rounds == 4 * len(pairs) + 3 + 1 + 3 + 2

    def compared(n: int, words: int) -> int:
        return 2 * n * field.itemsize + 8 * (OPENED[field.q] * words_for(n) + words)

    opened = sum(compared(n, (1 + level) * words_for(n)) for level, n in enumerate(pairs)) + compared(1, 0)
    shown = 8 * (1 + len(tournament.above(rows)))
    views = VIEW_BYTES * (outcome.rounds - 1)
    expected = opened + shown + verification_bytes(field) + views + 2 * len(AGREED)
    assert outcome.sent_bytes == [expected] * 3


async def equal_rows__should_give_the_last_of_them() -> None:
    probe, _ = gallery(1)
    asked = matched(31, "identify", None, probe, np.repeat(probe[None], 4097, axis=0))
    _, *position = asked.answer_of(await play(asked.plan, asked.part))
    assert sum(bit << k for k, bit in enumerate(position)) == 4096


@settings(deadline=None)
@given(st.integers(1, 20 * BLOCKS[0]))
def kits__should_serve_every_level(rows: int) -> None:
    served = [tournament.of_block(size) for size in blocks_of(rows)] + [tournament.above(rows)]
    for level, pairs in enumerate(minimum.levels(rows)):
        assert sum(one[level] for one in served if level < len(one)) >= pairs
    assert len(minimum.levels(rows)) <= len(tournament.above(rows))


@FIELDS
@ROWS
async def somebody__should_be_known_wherever_they_are(field: Field, rows: int) -> None:
    probe, references = gallery(rows)
    limit = 4 ** unit_bits(field.q) // 4
    for place in (None, *sorted({0, rows // 2, rows - 1})):
        one = references.copy()
        if place is not None:
            one[place] = near(probe)
        asked = matched(field.q, "is_known", limit, probe, one)
        outcome = await play(asked.plan, asked.part)
        assert asked.answer_of(outcome) == {place is not None}
        assert outcome.rounds == 10
        comparisons = 2 * rows * field.itemsize + 8 * 6 * words_for(rows)
        conjunctions = sum(8 * 4 * words_for(n) for n in levels(PARITIES))
        views = VIEW_BYTES * (outcome.rounds - 1)
        expected = comparisons + conjunctions + 8 + verification_bytes(field) + views + 2 * len(AGREED)
        assert outcome.sent_bytes == [expected] * 3


@FIELDS
async def somebody__should_be_known_up_to_the_fuzz(field: Field) -> None:
    probe, references = gallery(70)
    least = int(halves(field.q, probe, references).min())
    for limit, expected in ((least, True), (least - 1 - fuzz(field.q), False)):
        asked = matched(field.q, "is_known", limit, probe, references)
        assert asked.answer_of(await play(asked.plan, asked.part)) == {expected}


async def random_galleries__should_be_decided_as_by_integers() -> None:
    for seed in range(12):
        rng = np.random.default_rng(seed)
        rows = int(rng.integers(1, 200))
        references, probe = rng.normal(size=(rows, SIZE)), rng.normal(size=SIZE)
        distances = halves(31, probe, references)
        limit = int(np.quantile(distances, 0.02)) - int(rng.integers(2)) * 4 ** unit_bits(31) // 8
        known = matched(31, "is_known", limit, probe, references)
        if abs(distances - limit).min() > fuzz(31):
            assert known.answer_of(await play(known.plan, known.part)) == {bool((distances <= limit).any())}
        nearest = matched(31, "identify", limit, probe, references)
        match, *position = nearest.answer_of(await play(nearest.plan, nearest.part))
        assert match == (distances.min() <= limit)
        assert distances[sum(bit << k for k, bit in enumerate(position))] == distances.min() or not match


async def nobody__should_be_known_among_no_rows() -> None:
    assert searching.known_plans(31, 0, SIZE) == ()
    asked = matched(31, "is_known", 5, np.ones(SIZE), np.zeros((0, SIZE)))
    outcome = await play(asked.plan, asked.part)
    assert (asked.answer_of(outcome), outcome.rounds) == ({False}, 0)


async def kits_of_another_number_of_rows__should_be_refused() -> None:
    for question in ("identify", "is_known"):
        plans = matched(31, question, 5, *gallery(1)).plan
        asked = matched(31, question, 5, *gallery(5000))

        async def part(run: Run, kits: list[Kit], asked: Any = asked) -> Any:
            with pytest.raises(KitError):
                await asked.part(run, kits)
            for kit in kits:  # what is left is nobody's
                kit._used = len(kit._corrections[0])

        await play(plans, part)


def enrolments__should_throw_no_kit_away() -> None:
    size = 128
    for plans in (nearest.identify_plans, searching.known_plans):
        for rows in (1, 5000, 70_000):
            assert plans(31, rows, size) == plans(31, rows + 1, size)
        before, after = plans(31, 100_000, size), plans(31, 150_000, size)
        assert set(before[:-1]) == set(after[:-1])
    one, other = (searching.known_plans(31, rows, size)[-1] for rows in (1, 1_000_000))
    assert one == other, "whatever N is"
    shape = searching.Tables(1, 5, 4)
    search = searching.search_plans(31, 70_000, size, shape)
    assert searching.known_plans(31, 70_000, size)[:-1] == search[:-1], "those of a search"
