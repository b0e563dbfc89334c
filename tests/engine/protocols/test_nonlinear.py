"""Truncation, ReLU, exact ReLU and maxima are correct on edge and random values, cost what they say, and show uniform words."""

from typing import Any

import numpy as np
import pytest
from visard_engine.field import M31, M61, Field, field_of
from visard_engine.kits import KitPlan
from visard_engine.protocols import comparison, maximum, relu, truncation
from visard_engine.sections import Section
from visard_engine.session import Session
from visard_engine.shamir import is_degree_1, reconstruct
from visard_engine.views import VIEW_BYTES

from tests.engine.harness import NOWHERE, Outcome, run, shares_of, wide_shares_of
from tests.engine.statistics import looks_balanced, looks_uniform

FIELDS = pytest.mark.parametrize("field", [M31, M61], ids=["q31", "q61"])
# levels of gates and bits that an element opens in them, of all digits and of those that are left for a drop
EXACT = {31: (2, 15), 61: (2, 33)}
RELU = {(31, 1): (2, 13), (31, 12): (1, 6), (61, 1): (2, 31), (61, 12): (2, 24)}
SHARING = pytest.mark.parametrize("sharing", [shares_of, wide_shares_of], ids=["narrow", "wide"])


def operands(field: Field, n: int) -> np.ndarray:
    """Random and extreme values within the range rule |z| < 2^(q-3)."""
    bound = 1 << field.q - 3
    z = np.random.default_rng(n).integers(-bound + 1, bound, n)
    z[:9] = [0, 1, -1, bound - 1, 1 - bound, 2, -2, bound // 2, -bound // 2]
    return z


def opened(field: Field, outcome: Outcome) -> np.ndarray:
    assert is_degree_1(field, outcome.results)
    return field.decode(reconstruct(field, outcome.results))


def packed(n: int) -> int:
    return 8 * -(-n // 64)


def sent(field: Field, n: int, wide: bool, levels: int = 0, bits: int = 0) -> list[int]:
    """Bytes of one masked opening, of gates' bits, and of a hash a round."""
    words = n * field.itemsize * (2 if wide else 1)
    return [words + bits * packed(n) + VIEW_BYTES * (1 + levels)] * 3


async def apply(field: Field, kind: str, drop: int, shares: tuple[np.ndarray, ...]) -> Outcome:
    source = None if is_degree_1(field, shares) else NOWHERE

    async def body(s: Session, party: int) -> Any:
        z = shares[party]
        if kind == "truncate":
            result = await truncation.truncate(s, z, drop, source)
        else:
            result = await (relu.relu(s, z, drop, source) if kind == "relu" else maximum.exact_relu(s, z, source))
        assert len(s.claims._claims) == (source is not None)
        return result

    return await run(KitPlan(field.q, (Section(kind, shares[0].size, drop),)), body)


@FIELDS
@pytest.mark.parametrize("drop", [1, 12])
@SHARING
async def truncation__should_round_to_a_neighbour(field: Field, drop: int, sharing: Any) -> None:
    z = operands(field, 1000)
    outcome = await apply(field, "truncate", drop, sharing(field, z))
    off = opened(field, outcome) - (z >> drop)
    assert set(off.tolist()) <= {0, 1}
    assert (outcome.rounds, outcome.sent_bytes) == (1, sent(field, 1000, sharing is wide_shares_of))


async def truncation__should_be_exact_on_average() -> None:
    z = np.full(40_000, 5 * 4096 + 1024)  # 5.25 units
    result = opened(M31, await apply(M31, "truncate", 12, wide_shares_of(M31, z)))
    assert abs(result.mean() - 5.25) < 0.02  # 9 standard deviations


@FIELDS
@pytest.mark.parametrize("drop", [1, 12])
@SHARING
async def relu__should_be_zero_or_the_truncation(field: Field, drop: int, sharing: Any) -> None:
    z = operands(field, 1000)
    outcome = await apply(field, "relu", drop, sharing(field, z))
    off = opened(field, outcome) - np.maximum(z >> drop, 0)
    surely = z <= -comparison.missed(comparison.above(field.q, drop))
    assert set(off[z >= 0].tolist()) <= {0, 1}
    assert not off[surely].any()
    assert surely.sum() > 400
    levels, bits = RELU[field.q, drop]
    assert outcome.rounds == 2 + levels
    assert outcome.sent_bytes == sent(field, 1000, sharing is wide_shares_of, levels + 1, bits + 1)


@FIELDS
@pytest.mark.parametrize("drop", [1, 12, 20])
@pytest.mark.parametrize("fraction", [1, 2, 64, "last", "least"])
async def relu__should_be_wrong_only_below_what_it_misses(field: Field, drop: int, fraction: Any) -> None:
    """Negative values at and inside the boundary: there what passes is the truncated value, within ``missed``."""
    missed = comparison.missed(comparison.above(field.q, drop))
    assert missed <= 1 << drop + comparison.SLACK - 1  # a few last places of what truncation keeps
    if missed <= 1:  # every negative value lies outside
        assert field.q - 4 * comparison.above(field.q, drop).count <= 1
        return
    n = 4000
    z = {"last": 1 - missed, "least": -1}[fraction] if isinstance(fraction, str) else -(missed // fraction)
    found = opened(field, await apply(field, "relu", drop, wide_shares_of(field, np.full(n, z))))
    if fraction == 1:
        assert not found.any()
        return
    assert set(found.tolist()) <= {0, z >> drop, (z >> drop) + 1}
    assert abs(found).max() << drop <= max(missed, 1 << drop)
    if fraction == 2 and missed > 1 << drop:  # half of the time c and r agree above
        assert n * 0.45 < (found != 0).sum() < n * 0.55


@pytest.mark.parametrize("drop", [1, 12])
async def relu_and_truncated__should_round_alike(drop: int) -> None:
    z = operands(M31, 2000)
    shares = wide_shares_of(M31, z)

    async def body(s: Session, party: int) -> Any:
        return await relu.relu_and_truncated(s, shares[party], drop, NOWHERE)

    outcome = await run(KitPlan(31, (Section("relu", 2000, drop),)), body)
    positive, kept = (M31.decode(reconstruct(M31, [pair[k] for pair in outcome.results])) for k in range(2))
    assert set((kept - (z >> drop)).tolist()) <= {0, 1}
    surely = z <= -comparison.missed(comparison.above(31, drop))
    assert (positive[z >= 0] == kept[z >= 0]).all()
    assert not positive[surely].any()
    levels, bits = RELU[31, drop]
    assert outcome.sent_bytes == sent(M31, 2000, True, levels + 1, bits + 1)


@FIELDS
@pytest.mark.parametrize("n", [1, 64, 1000])
@SHARING
async def exact_relu__should_be_exact(field: Field, n: int, sharing: Any) -> None:
    bound = 1 << field.q - 2  # twice what a truncation may take, and more: |z| < 2^(q-1)
    z = np.concatenate([operands(field, max(n, 9)), [2 * bound - 1, 1 - 2 * bound, bound, -bound]])[-n:]
    outcome = await apply(field, "max", 0, sharing(field, z))
    assert opened(field, outcome).tolist() == np.maximum(z, 0).tolist()
    levels, bits = EXACT[field.q]
    assert outcome.rounds == 2 + levels
    assert outcome.sent_bytes == sent(field, n, sharing is wide_shares_of, levels + 1, bits + 1)


@FIELDS
@pytest.mark.parametrize("spare", [8, 12, 20])
async def relu_with_spare_bits__should_be_wrong_only_below_what_it_misses(field: Field, spare: int) -> None:
    digits = maximum.digits(field.q, spare)
    missed, half = comparison.missed(digits), comparison.missed(digits) // 2
    assert 1 < missed <= 1 << spare + comparison.SLACK - 1
    n = 4000
    z = np.concatenate([operands(field, n), [-missed] * n, [1 - missed] * n, [-half] * n, [-1] * n])
    shares = wide_shares_of(field, z)

    async def body(s: Session, party: int) -> Any:
        return await maximum.exact_relu(s, shares[party], NOWHERE, spare)

    outcome = await run(KitPlan(field.q, (Section("max", z.size, spare),)), body)
    found = opened(field, outcome)
    surely = (z >= 0) | (z <= -missed)
    assert (found[surely] == np.maximum(z, 0)[surely]).all()
    assert ((found == 0) | (found == z))[~surely].all()
    assert n * 0.45 < (found[3 * n : 4 * n] == 0).sum() < n * 0.55  # half of the time c and r agree above
    assert outcome.rounds == 2 + len(digits.levels)


@FIELDS
def dealt_bits__should_be_as_many_as_designed(field: Field) -> None:
    """Of a ReLU of four digits 76 bits and five elements; exact ones of 31 bits take 38 products of masks."""
    four, every = comparison.above(31, 12), comparison.exact(31)
    assert [sum(len(gate.dealt) for gate in digits.gates) for digits in (four, every)] == [15, 38]
    assert (four.count, four.rows, every.count, every.rows) == (4, 61, 8, 7 * 15 + 7)
    n, third = 192 * 8, 64 * 8
    relus = KitPlan(31, (Section("relu", n, 12),))
    assert relus.pair_bytes == 76 * third // 8 + 5 * third * 4
    exact = KitPlan(31, (Section("max", n),))
    assert exact.pair_bytes == (every.rows + 38) * third // 8 + 2 * third * 4
    assert KitPlan(field.q, (Section("truncate", n, 12),)).pair_bytes == 2 * third * field.itemsize


@pytest.mark.parametrize("kind", ["relu", "max", "truncate"])
@pytest.mark.parametrize("secret", [-3, 0, 1 << 27])
@SHARING
async def view__should_be_uniform_whatever_the_secret(kind: str, secret: int, sharing: Any) -> None:
    n, wide = 20_000, sharing is wide_shares_of
    outcome = await apply(M31, kind, 0 if kind == "max" else 12, sharing(M31, np.full(n, secret)))
    levels = {"relu": 1, "max": 2, "truncate": -1}[kind]
    for party in range(3):
        words = outcome.words(party, M31, "masked product", "masked line")
        bits = outcome.bits(party, "digits, level 1", "digits, level 2", "sign")
        assert len(words) == (2 if wide else 1)
        assert all(w.size == n and looks_uniform(w, 31) for w in words)
        assert len(bits) == levels + 1
        assert all(looks_balanced(b) for b in bits)
    if wide:  # what all parties know together with each other's openings: c is uniform as well
        heard = {(j, i): np.frombuffer(m, np.uint32) for i in range(3) for _, j, m in outcome.received(i)[:2]}
        assert all((heard[j, (j + 1) % 3] == heard[j, (j + 2) % 3]).all() for j in range(3))
        c = reconstruct(M31, [heard[j, (j + 1) % 3] for j in range(3)])
        assert looks_uniform(c, 31)


@pytest.mark.parametrize("secret", [-1, 1])
async def opened_bit__should_be_independent_of_the_sign(secret: int) -> None:
    n = 20_000
    outcome = await apply(M31, "relu", 12, shares_of(M31, np.full(n, secret << 20)))
    pieces = [outcome.bits(party, "sign")[0] for party in range(3)]
    assert looks_balanced((pieces[0] ^ pieces[1] ^ pieces[2])[:n])


@pytest.mark.parametrize(
    ("shape", "kernel", "stride"),
    [
        ((2, 3, 9, 8), (3, 3), (2, 2)),
        ((1, 2, 5, 5), (2, 2), (2, 2)),
        ((1, 1, 6, 7), (4, 1), (1, 2)),
        ((1, 1, 2, 2), (1, 1), (1, 1)),
    ],
)
async def max_pool__should_agree_with_plain_windows(
    shape: tuple[int, ...], kernel: tuple[int, int], stride: tuple[int, int]
) -> None:
    field = field_of(31)
    x = np.random.default_rng(3).integers(-(1 << 26), 1 << 26, shape)
    shares = wide_shares_of(field, x)
    stages = maximum.pool_comparisons(shape, kernel, stride)
    plan = KitPlan(31, tuple(Section("max", n) for n in stages) or (Section("degree", 1),))

    async def body(s: Session, party: int) -> Any:
        return await maximum.max_pool(s, shares[party], kernel, stride, 0, lambda plus, minus, offset: NOWHERE)

    outcome = await run(plan, body)
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel, axis=(2, 3))[:, :, :: stride[0], :: stride[1]]
    largest = field.decode(reconstruct(field, [pooled.share for pooled in outcome.results]))
    assert largest.tolist() == windows.max(axis=(4, 5)).tolist()
    # each is the element at one place of its window plus an offset of degree 1
    offsets = [pooled.offset for pooled in outcome.results]
    rows, columns = outcome.results[0].place
    assert (rows, columns) == maximum.last_place(shape[1:], kernel, stride)
    assert is_degree_1(field, offsets)
    assert largest.tolist() == (x[:, :, rows, columns] + field.decode(reconstruct(field, offsets))).tolist()
    assert outcome.rounds == 4 * len(stages)
