"""Shares that are no line and vectors that are too long are found out, honest ones always pass, and say nothing else."""

from math import isqrt
from typing import Any

import numpy as np
import pytest
from visard_engine.bits import words_for
from visard_engine.field import M31, M61, Field
from visard_engine.kits import KitPlan
from visard_engine.protocols import degree, norm
from visard_engine.protocols.disjunction import PARITIES, any_set
from visard_engine.protocols.verification import verify
from visard_engine.sections import Section
from visard_engine.session import Session
from visard_engine.views import VIEW_BYTES

from tests.engine.harness import Outcome, replicated, run, shares_of
from tests.engine.statistics import looks_balanced, looks_uniform

FIELDS = pytest.mark.parametrize("field", [M31, M61], ids=["q31", "q61"])
EMPTY = KitPlan(31, (Section("degree", 1),))  # it holds nothing that must be used up


async def tested_degree(field: Field, shares: Any, rows: int) -> Outcome:
    async def body(s: Session, party: int) -> Any:
        return await degree.is_degree_1(s, shares[party])

    return await run(KitPlan(field.q, (Section("degree", rows),)), body)


@FIELDS
async def line__should_pass_for_two_words_a_row(field: Field) -> None:
    outcome = await tested_degree(field, shares_of(field, np.arange(3000).reshape(3, 1000)), 3)
    assert all(result.all() for result in outcome.results)
    assert (outcome.rounds, outcome.sent_bytes) == (1, [2 * 3 * field.itemsize + VIEW_BYTES] * 3)
    assert KitPlan(field.q, (Section("degree", 3),)).correction_bytes == 0


@FIELDS
@pytest.mark.parametrize("party", [0, 1, 2])
async def single_share_off_the_line__should_be_found_in_its_row(field: Field, party: int) -> None:
    shares = shares_of(field, np.arange(3000).reshape(3, 1000))
    shares[party][1, 999] = (int(shares[party][1, 999]) + 1) % field.p
    outcome = await tested_degree(field, shares, 3)
    assert all(result.tolist() == [True, False, True] for result in outcome.results)


async def degree_test__should_open_uniform_lines() -> None:
    """The rows are equal and public; the two shares that a party receives of each are uniform, their slope too."""
    shares = shares_of(M31, np.zeros((20_000, 1)))
    outcome = await tested_degree(M31, shares, 20_000)
    one, two = outcome.words(0, M31, "degree")
    assert all(looks_uniform(words, 31) for words in (one, two, M31.subtract(two, one)))


async def combination__should_be_another_one_with_every_kit() -> None:
    """Deviations that cancel under one kit's factors do not under another's."""
    seen = set()
    for _ in range(3):
        outcome = await run(EMPTY, lambda s, _: _value(s.kit.public_elements(4)))
        (factors,) = {tuple(result.tolist()) for result in outcome.results}  # the same at all three
        seen.add(factors)
    assert len(seen) == 3


async def _value(x: Any) -> Any:
    return x


@pytest.mark.parametrize("length", [1, 63, 64, 277])
async def any_set__should_find_a_single_bit(length: int) -> None:
    bits = np.zeros((3, length), np.bool_)
    bits[1, length // 2] = True
    shares = replicated(bits.reshape(-1), 3)
    outcome = await run(EMPTY, lambda s, i: any_set(s, shares[i], 3, length))
    assert all(result.tolist() == [False, True, False] for result in outcome.results)
    assert (outcome.rounds, outcome.sent_bytes) == (1, [8 * -(-3 * PARITIES // 64) + VIEW_BYTES] * 3)


async def silent_alarms__should_show_balanced_pieces() -> None:
    # rows long enough that no subset is empty: the parity of none is zero, in the pieces as well
    shares = replicated(np.zeros(700 * 64, np.bool_), 9)
    outcome = await run(EMPTY, lambda s, i: any_set(s, shares[i], 700, 64))
    assert all(looks_balanced(outcome.bits(party, "alarms")[0]) for party in range(3))


async def bounded(field: Field, vectors: np.ndarray) -> Outcome:
    """The norm test with its claims verified before anything of it is opened, as in describe.py."""
    shares, (count, size) = shares_of(field, vectors), vectors.shape
    squares = Section("squares", count * norm.rows(size), norm.FAN_IN)
    plan = KitPlan(field.q, (Section("norm", count, size), Section("coin", 1), Section("inner", 1), squares))

    async def body(s: Session, party: int) -> Any:
        negative, _ = await norm.out_of_bounds(s, shares[party])
        await verify(s, 1)
        return await norm.is_bounded(s, negative, size, count)

    return await run(plan, body)


@FIELDS
@pytest.mark.parametrize("size", [1, 2, 7, 8, 49, 50, 64, 128])
async def norm_bound__should_be_exact(field: Field, size: int) -> None:
    limit = norm.bound(field.q)
    most = isqrt(limit)
    even = isqrt(limit // size)
    alone, over = np.zeros(size, np.int64), np.zeros(size, np.int64)
    alone[-1], over[0] = -most, most + 1
    vectors = [np.zeros(size, np.int64), alone, over, np.full(size, even), np.full(size, -even - 1 - even // 1000)]
    vectors += [np.full(size, field.p // 2), np.full(size, -(field.p // 2))]
    outcome = await bounded(field, np.stack(vectors))
    assert all(result.tolist() == [True, True, False, True, False, False, False] for result in outcome.results)
    assert outcome.kinds == [
        *("masked product", "digits, level 1", "digits, level 2"),
        *("coin", "triples", "differences", "alarms"),
    ]
    n, bits = len(vectors) * norm.comparisons(size), {31: 15, 61: 33}[field.q]
    compared = 2 * n * field.itemsize + 8 * bits * words_for(n)
    verified = (8 + 2 * 2 + len(vectors) * norm.rows(size) * norm.FAN_IN + 2) * field.itemsize
    alarms = 8 * words_for(len(vectors) * PARITIES)
    assert outcome.sent_bytes == [compared + verified + alarms + 7 * VIEW_BYTES] * 3


@FIELDS
async def vector_whose_squares_wrap_round__should_be_found(field: Field) -> None:
    """Chosen so that the sum of squares mod p is 0 or small, for any element far outside the bound."""
    rng = np.random.default_rng(0)
    vectors = rng.integers(-(field.p // 2), field.p // 2, (40, 8))
    root = next(x for x in range(2, 1 << 20) if pow(x, (field.p - 1) // 2, field.p) == 1)
    vectors[0] = 0
    vectors[0, 0] = pow(root, (field.p + 1) // 4, field.p)  # its square is small: root
    vectors[0, 0] = min(vectors[0, 0], field.p - vectors[0, 0])
    assert vectors[0, 0] > 1 << field.q // 2
    outcome = await bounded(field, vectors)
    assert not any(result.any() for result in outcome.results)


def comparisons__should_be_two_an_element_and_one_a_node() -> None:
    assert [norm.comparisons(size) for size in (1, 2, 7, 8, 128)] == [3, 5, 15, 19, 279]
    assert [norm.rows(size) for size in (1, 2, 7, 8, 128)] == [1, 1, 1, 2, 19]


async def norm_test__should_show_uniform_openings() -> None:
    outcome = await bounded(M31, np.zeros((100, 128), np.int64))
    n = 100 * norm.comparisons(128)
    for party in range(3):
        masked = outcome.words(party, M31, "masked product")
        assert all(words.size == n and looks_uniform(words, 31) for words in masked)
        (triples,) = outcome.words(party, M31, "triples")
        assert triples.size == 4 + 100 * norm.rows(128) * norm.FAN_IN
        assert looks_uniform(triples, 31)
        assert all(looks_balanced(bits) for bits in outcome.bits(party, "digits, level 1", "digits, level 2"))
