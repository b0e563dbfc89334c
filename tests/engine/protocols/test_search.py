"""The search: the right rows in the tables, up to the fuzz; five rounds whatever N is; nothing seen but uniform words."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from visard_engine import searching
from visard_engine.bits import words_for
from visard_engine.errors import PlanError
from visard_engine.field import M31, M61, Field
from visard_engine.kernels.fold import fold
from visard_engine.kits import KitPlan
from visard_engine.protocols.blocks import BLOCKS, MOST_LIMITS, blocks_of, fuzz
from visard_engine.protocols.normalise import unit_bits
from visard_engine.protocols.opening import AGREED
from visard_engine.protocols.verification import COIN
from visard_engine.searching import Tables
from visard_engine.sections import Section
from visard_engine.views import VIEW_BYTES
from visard_wire import cells
from visard_wire.cells import CELLS, HASHES, Label, hash_keys, peeled, words_of

from tests.engine.asking import halves, labels_of, mean_of, on_sphere, searched
from tests.engine.harness import play
from tests.engine.statistics import looks_balanced, looks_uniform

FIELDS = pytest.mark.parametrize("field", [M31, M61], ids=["q31", "q61"])
ROUNDS = 5


def gallery_at(q: int, probe: Any, size: int, places: Any) -> Any:
    """Directions at these half squared distances of the probe, of 1."""
    rng = np.random.default_rng(1)
    unit = probe / np.linalg.norm(probe)
    other = rng.normal(size=(len(places), size))
    other -= np.outer(other @ unit, unit)
    other /= np.linalg.norm(other, axis=1, keepdims=True)
    cosine = 1 - np.asarray(places)
    return cosine[:, None] * unit + np.sqrt(1 - cosine**2)[:, None] * other


@FIELDS
@pytest.mark.parametrize("rows", [1, 70, 5000])
@pytest.mark.parametrize("limits", [1, 3])
async def search__should_find_the_rows_within_each_limit(field: Field, rows: int, limits: int) -> None:
    q, rng = field.q, np.random.default_rng(rows)
    probe = rng.normal(size=16)
    places = rng.uniform(0.6, 1.2, rows)
    near = rng.choice(rows, min(rows, 5), replace=False)
    places[near] = [0.05, 0.15, 0.25, 0.32, 0.4][: len(near)]
    gallery = gallery_at(q, probe, 16, places)
    at = [int(share * 4 ** unit_bits(q)) for share in (0.35, 0.2, 0.1)[:limits]]
    asked = searched(q, at, probe, gallery)
    outcome = await play(asked.plan, asked.part)
    distances = halves(q, probe, gallery)
    expected = [sorted(np.flatnonzero(distances <= limit)) for limit in at]
    assert asked.answer_of(outcome) == expected
    assert expected[0]
    assert outcome.rounds == ROUNDS
    table = Tables(limits, words_of(24), HASHES).bits
    comparisons = 2 * rows * field.itemsize + 8 * 6 * limits * sum(
        words_for(min(n, rows - start)) for n, start in spans(rows)
    )
    verified = (COIN + 2 * 2 * 16 + 2) * field.itemsize + 2 * table // 8
    assert outcome.sent_bytes == [comparisons + verified + 4 * VIEW_BYTES + 2 * len(AGREED)] * 3


def spans(rows: int) -> list[tuple[int, int]]:
    sizes = blocks_of(rows)
    return list(zip(sizes, np.cumsum([0, *sizes[:-1]]).tolist(), strict=True))


@FIELDS
async def limit__should_hold_up_to_the_fuzz(field: Field) -> None:
    """A row at the limit matches, one just beyond the fuzz never does."""
    q = field.q
    probe = np.random.default_rng(0).normal(size=16)
    gallery = np.repeat(probe[None], 8, axis=0)
    (distance,) = set(halves(q, probe, gallery).tolist())
    for limit, expected in ((distance, list(range(8))), (distance - 1 - fuzz(q), [])):
        asked = searched(q, [limit], probe, gallery)
        assert asked.answer_of(await play(asked.plan, asked.part)) == [expected]
    assert fuzz(q) == 4 ** unit_bits(q) >> 13


@FIELDS
async def mean__should_empty_the_tables_for_no_round_more(field: Field) -> None:
    q = field.q
    probe = np.random.default_rng(0).normal(size=16)
    gallery = gallery_at(q, probe, 16, [0.1, 0.9])
    limit = [int(0.3 * 4 ** unit_bits(q))]
    test = mean_of(q, np.ones(16), 0.5)
    likeness = int(on_sphere(q, probe) @ np.array(test.vector))
    for most, found in ((likeness, [0]), (likeness - (1 << unit_bits(q) + 14 >> 12), [])):
        asked = searched(q, limit, probe, gallery, replace(test, limit=most))
        outcome = await play(asked.plan, asked.part)
        assert asked.answer_of(outcome) == [found]
        assert outcome.rounds == ROUNDS


async def tables__should_show_nothing_but_what_they_hold() -> None:
    """The pieces that a caller gets are balanced though no row matches; and what each party hears says nothing."""
    rows = 3000
    probe = np.ones(16)
    for sign in (1, -1):
        asked = searched(31, [5], probe, np.full((rows, 16), sign))
        outcome = await play(asked.plan, asked.part)
        assert outcome.kinds == [
            *("masked product", "digits and coin", "tables and triples", "differences", "agreement"),
        ]
        for result in outcome.results:
            assert looks_balanced(np.unpackbits(result.shared.view(np.uint8)).astype(np.bool_))
        for party in range(3):
            assert looks_uniform(np.concatenate(outcome.words(party, M31, "masked product")), 31)
            for kind, lines in (("digits and coin", COIN), ("tables and triples", 2 * 2 * 16)):
                (message,) = [message for of, _, message in outcome.received(party) if of == kind]
                bits = np.frombuffer(message[lines * 4 :], np.uint8)
                assert looks_balanced(np.unpackbits(bits).astype(np.bool_))


def kits__should_be_the_same_for_every_gallery() -> None:
    large, small = BLOCKS
    assert blocks_of(1) == [small]
    assert blocks_of(large + small + 1) == [large, small, small]
    shape = Tables(3, words_of(24), HASHES)
    one, other = (set(searching.search_plans(31, rows, 128, shape, 1)) for rows in (100_000, 1_000_000))
    assert one == other
    assert {plan.sections[0].n for plan in one} == {large, small, 1}
    block = next(plan for plan in one if plan.sections[0].n == large)
    assert block.correction_bytes / large == pytest.approx((61 + 3 * 15) / 8 * 2 / 3, rel=0.01)


@pytest.mark.parametrize("room", cells.ROOMS)
def kernel__should_fold_as_the_wire_says(room: int) -> None:
    """One row alone: in its cells, behind its check; what the caller's half computes in plain Python."""
    label = Label("0123456789abcdef" * 2, "somebody@example.org"[:room])
    packed = label.packed(room)
    keys = hash_keys(b"digest", room)
    words = np.frombuffer(packed, np.uint64)[None]
    (table,) = fold(np.ones((1, 1), np.uint64), words, np.array(keys, np.uint64), HASHES)
    one, two = cells.hashed(packed, keys)
    assert table.shape == (CELLS, words_of(room) + 2)
    assert np.flatnonzero(table.any(axis=1)).tolist() == sorted(cells.places(one))
    for place in cells.places(one):
        assert table[place].tolist() == [*words[0].tolist(), one, two]
    assert peeled([row.tobytes() for row in table], keys) == [label]


def planes__should_be_folded_apart() -> None:
    rng = np.random.default_rng(0)
    labels, keys = labels_of(300)
    bits = rng.integers(0, 1 << 63, (6, 5), dtype=np.uint64)
    together = fold(bits, labels, np.array(keys, np.uint64), HASHES)
    for plane, table in zip(bits, together, strict=True):
        (alone,) = fold(plane[None], labels, np.array(keys, np.uint64), HASHES)
        assert (alone == table).all()


@pytest.mark.parametrize("limit", [0, MOST_LIMITS + 1])
def plan__should_know_its_limits(limit: int) -> None:
    with pytest.raises(PlanError, match="section extent: of search, limits"):
        KitPlan(31, (Section("search", 64, limit),))
