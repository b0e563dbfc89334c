"""Vectors come out at length one, as accurate as is said, bit for bit as the twin has them; openings say nothing."""

from typing import Any

import numpy as np
import pytest
from visard_engine.correlated import pair_bytes
from visard_engine.field import M31, M61, Field
from visard_engine.kits import KitPlan, deal_kit
from visard_engine.nn.dealt import dealt_rounding
from visard_engine.nn.twin import floor_rounding, normalised, random_rounding
from visard_engine.protocols import lookup, norm, normalise
from visard_engine.protocols.verification import verify
from visard_engine.sections import Section
from visard_engine.session import Session
from visard_engine.shamir import is_degree_1, reconstruct

from tests.engine.harness import MASTER, Outcome, run, shares_of
from tests.engine.statistics import looks_uniform

FIELDS = pytest.mark.parametrize("field", [M31, M61], ids=["q31", "q61"])


def plan_of(field: Field, size: int) -> KitPlan:
    """For one vector."""
    verified = Section("coin", 1), Section("inner", 1), Section("squares", norm.rows(size), norm.FAN_IN)
    return KitPlan(field.q, (Section("norm", 1, size), Section("truncate", size, normalise.drop(field.q)), *verified))


async def brought_to_one_length(field: Field, vectors: Any) -> Outcome:
    """One kit a vector; the claims are verified."""
    shares, (count, size) = shares_of(field, vectors), vectors.shape

    async def body(s: Session, party: int) -> Any:
        negative, squares = await norm.out_of_bounds(s, shares[party])
        found = await normalise.normalise(s, shares[party], squares)
        await verify(s, 1)
        assert (await norm.is_bounded(s, negative, size, count)).all()
        return found

    return await run(plan_of(field, size), body, 1, kits=count)


def of_lengths(field: Field, size: int, squared: Any, seed: int = 0) -> Any:
    """Vectors of random directions whose squared lengths are just below these."""
    directions = np.random.default_rng(seed).normal(size=(len(squared), size))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    found = np.trunc(directions * np.sqrt(np.array(squared, np.float64))[:, None]).astype(np.int64)
    assert ((found.astype(object) ** 2).sum(axis=1) <= norm.bound(field.q)).all()
    return found


def step(q: int) -> int:
    """Between squared lengths that are told apart."""
    return 1 << lookup.drop(q)


@FIELDS
@pytest.mark.parametrize("size", [1, 7, 128])
async def vectors__should_have_length_one_as_the_twin_has_them(field: Field, size: int) -> None:
    q, least, bound = field.q, normalise.least(field.q), norm.bound(field.q)
    vectors = of_lengths(field, size, [bound, bound // 2, bound // 8, bound // 100, 2 * least, 0, 9, least // 2])
    outcome = await brought_to_one_length(field, vectors)
    assert is_degree_1(field, outcome.results)
    found = field.decode(reconstruct(field, outcome.results))
    each = [dealt_rounding(plan_of(field, size), MASTER, 1 + k) for k in range(len(vectors))]
    expected = [normalised(q, vector[None], one)[0] for vector, one in zip(vectors, each, strict=True)]
    assert found.tolist() == np.stack(expected).tolist()
    assert not found[5:].any()
    assert accurate(q, vectors[:5], found[:5])


def accurate(q: int, vectors: Any, found: Any) -> bool:
    """Whether vectors are as long as they are to be, along themselves: within what the docstring says, and elements' rounding."""
    squares = (vectors.astype(np.float64) ** 2).sum(axis=1)
    unit = 2.0 ** normalise.unit_bits(q)
    along = (found * vectors).sum(axis=1) / np.sqrt(squares) / unit
    steps = squares / step(q)
    allowed = 1 / np.sqrt(1 - 1 / steps) - 1 + 6 * 0.5 / unit + 2.0**-14
    return bool((np.abs(along - 1) <= allowed).all())


@FIELDS
def lengths__should_err_without_bias_and_by_what_is_said(field: Field) -> None:
    q = field.q
    squared = np.full(4000, 2.0 ** (q - 7)) + np.random.default_rng(1).uniform(0, 4 * step(q), 4000)
    vectors = of_lengths(field, 8, squared)
    longer = np.linalg.norm(normalised(q, vectors, random_rounding(3)), axis=1) / 2.0 ** normalise.unit_bits(q) - 1
    one = step(q) / squared.mean() / 2
    rounding = 0.41 / 2 ** normalise.unit_bits(q)
    assert np.abs(longer).max() < 1.1 * one + 6 * rounding
    assert abs(longer.mean()) < 0.1 * one + rounding
    assert np.sqrt((longer**2).mean()) == pytest.approx(np.hypot(0.41 * one, rounding), rel=0.2)


@FIELDS
def short_and_long_vectors__should_become_nothing_in_the_twin(field: Field) -> None:
    q = field.q
    most = 1 << q // 2
    vectors = np.array([[0, 0], [1, 0], [most, 0], [-(field.p // 2), field.p // 2]])
    assert most * most > norm.bound(q)
    assert not normalised(q, vectors, floor_rounding).any()


@FIELDS
def factors__should_keep_products_in_the_range_of_truncation(field: Field) -> None:
    q, table = field.q, normalise.factors(field.q)
    most = 1 << lookup.BITS - 3
    known = np.flatnonzero(table)
    assert (known[0], known[-1]) == (0, most - normalise.least(q) // step(q))
    squared = ((most - known) + 1) * float(step(q))  # the longest vectors that may be taken for such
    assert (np.sqrt(squared) * table[known] < 2.0 ** (q - 3)).all()


@FIELDS
async def lookup__should_be_right_for_every_mask_and_value(field: Field) -> None:
    """Extreme ones too: a public opened value, and a one where its mask says; the index is the truncation's, mod 2^BITS."""
    q, g = field.q, field.q - lookup.BITS
    rng = np.random.default_rng(0)
    edges = [0, 1, (1 << g) - 1, 1 << g, field.p - 1, field.p - (1 << g), 1 << q - 1, (1 << q - 2) - 1, 3 << q - 2]
    r = np.array([*edges, *rng.integers(0, field.p, 11)], dtype=field.dtype)
    z = np.array([[0, 1, norm.bound(q), norm.bound(q) - 1, norm.bound(q) // 3][k % 5] for k in range(len(r))], object)
    table = rng.integers(0, 1 << q - 4, 1 << lookup.BITS)
    c = ((2 * z + r.astype(object)) % field.p).astype(field.dtype)
    ones = np.zeros((len(r), 1 << lookup.BITS), field.dtype)
    ones[np.arange(len(r)), (r >> field.dtype.type(g)).astype(np.int64)] = 1
    found = field.decode(lookup.Lookup(field, c, ones).of(table))
    low = [(int(one) & (1 << g) - 1) for one in r]
    near = [{(2 * int(value) + u + wrapped) >> g for wrapped in (0, 1)} for value, u in zip(z, low, strict=True)]
    assert all(int(f) in {int(table[i]) for i in some} for f, some in zip(found, near, strict=True))


@FIELDS
async def normalisation__should_cost_what_it_says(field: Field) -> None:
    size = 128
    outcome = await brought_to_one_length(field, of_lengths(field, size, [norm.bound(field.q) / 2]))
    assert outcome.kinds == [
        *("masked product", "digits, level 1", "digits, level 2", "masked product"),
        *("coin", "triples", "differences", "alarms"),
    ]
    opened = [len(message) for sender, message in outcome.channels[0].received if sender == 2]
    assert (
        opened[1] == size * field.itemsize
    )  # of the rounds in which party 2 speaks to party 0: no hash comes with these
    dealt = lookup.arrays(field, 1)
    assert dealt == [(1 << 16, field.itemsize)]
    assert 2 * pair_bytes(*dealt[0]) == {31: 174_768, 61: 349_536}[field.q]


async def what_is_opened__should_be_uniform() -> None:
    """Of vectors that are all the same: long, short or out of bounds."""
    size, count = 64, 40
    plan = plan_of(M31, size)
    for value in (900, 3, 1 << 20):
        shares = shares_of(M31, np.full((count, size), value))

        async def body(s: Session, party: int, shares: Any = shares) -> Any:
            _, squares = await norm.out_of_bounds(s, shares[party])
            await normalise.normalise(s, shares[party], squares)
            await verify(s, 1)

        outcome = await run(plan, body, kits=count)
        for party in range(3):
            one, two = outcome.words(party, M31, "masked product")[-2:]
            assert one.size == count * size
            for words in (one, two, M31.add(one, two), M31.subtract(one, two)):
                assert looks_uniform(words, 31)


@FIELDS
def section__should_be_dealt_as_it_is_counted(field: Field) -> None:
    plan = plan_of(field, 9)
    dealt = deal_kit(plan, MASTER, 1)  # it checks that the plan's space is filled
    assert dealt.size == 3 * plan.pair_bytes
