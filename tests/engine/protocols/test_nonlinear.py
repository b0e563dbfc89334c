"""Truncation, ReLU, exact ReLU and maxima are correct on edge and random values, cost what they say, and show uniform words."""

from typing import Any

import numpy as np
import pytest
from visard_engine.field import M31, M61, Field, field_of
from visard_engine.kits import KitPlan, Section
from visard_engine.protocols import maximum, relu, truncation
from visard_engine.session import Session
from visard_engine.shamir import is_degree_1, reconstruct

from tests.engine.harness import Outcome, run, shares_of, wide_shares_of
from tests.engine.statistics import looks_balanced, looks_uniform

FIELDS = pytest.mark.parametrize("field", [M31, M61], ids=["q31", "q61"])
TREE_ROUNDS = {31: 3, 61: 4}
GATES = {31: 11, 61: 26}


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


async def apply(field: Field, kind: str, drop: int, shares: tuple[np.ndarray, ...]) -> Outcome:
    async def body(s: Session, party: int) -> Any:
        z = shares[party]
        if kind == "truncate":
            return await truncation.truncate(s, z, drop)
        return await (relu.relu(s, z, drop) if kind == "relu" else maximum.exact_relu(s, z))

    return await run(KitPlan(field.q, (Section(kind, shares[0].size, drop),)), body)


@FIELDS
@pytest.mark.parametrize("drop", [1, 12])
@pytest.mark.parametrize("sharing", [shares_of, wide_shares_of], ids=["narrow", "wide"])
async def truncation__should_round_to_a_neighbour(field: Field, drop: int, sharing: Any) -> None:
    z = operands(field, 1000)
    outcome = await apply(field, "truncate", drop, sharing(field, z))
    off = opened(field, outcome) - (z >> drop)
    assert set(off.tolist()) <= {0, 1}
    assert (outcome.rounds, outcome.sent_bytes) == (1, [2 * 1000 * field.itemsize] * 3)


async def truncation__should_be_exact_on_average() -> None:
    z = np.full(40_000, 5 * 4096 + 1024)  # 5.25 units
    result = opened(M31, await apply(M31, "truncate", 12, wide_shares_of(M31, z)))
    assert abs(result.mean() - 5.25) < 0.02  # 9 standard deviations


@FIELDS
@pytest.mark.parametrize("drop", [1, 12])
@pytest.mark.parametrize("sharing", [shares_of, wide_shares_of], ids=["narrow", "wide"])
async def relu__should_be_zero_or_the_truncation(field: Field, drop: int, sharing: Any) -> None:
    z = operands(field, 1000)
    outcome = await apply(field, "relu", drop, sharing(field, z))
    off = opened(field, outcome) - np.maximum(z >> drop, 0)
    assert set(off[z >= 0].tolist()) <= {0, 1}
    assert not off[z < 0].any()
    bits = (GATES[field.q] + 1) * packed(1000)
    assert outcome.rounds == 2 + TREE_ROUNDS[field.q]
    assert outcome.sent_bytes == [2 * 1000 * field.itemsize + bits] * 3


@FIELDS
@pytest.mark.parametrize("n", [1, 64, 1000])
async def exact_relu__should_be_exact(field: Field, n: int) -> None:
    z = operands(field, max(n, 9))[:n]
    outcome = await apply(field, "max", 0, wide_shares_of(field, z))
    assert opened(field, outcome).tolist() == np.maximum(z, 0).tolist()
    assert outcome.rounds == 2 + TREE_ROUNDS[field.q]
    assert outcome.sent_bytes == [2 * n * field.itemsize + (GATES[field.q] + 1) * packed(n)] * 3


@pytest.mark.parametrize("kind", ["relu", "max"])
@pytest.mark.parametrize("secret", [-3, 0, 1 << 27])
async def view__should_be_uniform_whatever_the_secret(kind: str, secret: int) -> None:
    n = 20_000
    outcome = await apply(M31, kind, 12 if kind == "relu" else 0, shares_of(M31, np.full(n, secret)))
    for channel in outcome.channels:
        words = [np.frombuffer(m, np.uint32) for _, m in channel.received if len(m) == 4 * n]
        bits = [np.unpackbits(np.frombuffer(m, np.uint8)) for _, m in channel.received if len(m) != 4 * n]
        assert len(words) == 2
        assert all(looks_uniform(w, 31) for w in words)
        assert len(bits) == TREE_ROUNDS[31] + 1
        # the last words of a packed row are padding, which is masked like everything else
        assert all(looks_balanced(b.astype(np.bool_)) for b in bits)
    # what all parties know together with each other's openings: c is uniform as well
    m0, m1, m2 = (dict(outcome.channels[(i + 1) % 3].received[:2])[i] for i in range(3))
    c = reconstruct(M31, [np.frombuffer(m, np.uint32) for m in (m0, m1, m2)])
    assert looks_uniform(c, 31)


@pytest.mark.parametrize("secret", [-1, 1])
async def opened_bit__should_be_independent_of_the_sign(secret: int) -> None:
    n = 20_000
    outcome = await apply(M31, "relu", 12, shares_of(M31, np.full(n, secret << 20)))
    last = [np.frombuffer(channel.received[-1][1], np.uint8) for channel in outcome.channels]
    v = np.unpackbits(last[0] ^ last[1] ^ last[2], bitorder="little")[:n]
    assert looks_balanced(v.astype(np.bool_))


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
    plan = KitPlan(31, tuple(Section("max", n) for n in stages) or (Section("compare", 1),))

    async def body(s: Session, party: int) -> Any:
        pooled = await maximum.max_pool(s, shares[party], kernel, stride)
        if not stages:  # nothing to compare: empty the placeholder kit
            s.kit.random(1), s.kit.bits(112, 1)
        return pooled

    outcome = await run(plan, body)
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel, axis=(2, 3))[:, :, :: stride[0], :: stride[1]]
    assert field.decode(reconstruct(field, outcome.results)).tolist() == windows.max(axis=(4, 5)).tolist()
    assert outcome.rounds == 5 * len(stages)
