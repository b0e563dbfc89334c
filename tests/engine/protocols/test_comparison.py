"""Comparisons are right with any number of digits, but where the digits that are left out decide; they cost what they say."""

from typing import Any

import numpy as np
import pytest
from visard_engine.field import M31, M61, Field, field_of
from visard_engine.kernels import bitslice
from visard_engine.kits import KitPlan
from visard_engine.protocols import comparison, kinds
from visard_engine.protocols.comparison import Digits
from visard_engine.sections import Section
from visard_engine.session import Session
from visard_engine.views import VIEW_BYTES

from tests.engine.harness import NOWHERE, Outcome, open_bits, run, shares_of, wide_shares_of

FIELDS = pytest.mark.parametrize("field", [M31, M61], ids=["q31", "q61"])
COUNTS = [*((31, count) for count in range(1, 9)), *((61, count) for count in (1, 2, 4, 5, 9, 12, 13, 15, 16))]


def values(field: Field, missed: int) -> np.ndarray:
    """Random and extreme values, |z| < 2^(q-1), and both sides of where digits are missed."""
    most = (1 << field.q - 1) - 1
    edges = [0, 1, -1, 2, -2, most, -most, most - 1, missed, -missed, missed + 1, -missed - 1, missed - 1, 1 - missed]
    edges += [most - missed, (1 << field.q - 3) - 1, 1 - (1 << field.q - 3)]
    return np.array([*edges, *np.random.default_rng(1).integers(-most, most + 1, 500 - len(edges))])


async def compared(patch: pytest.MonkeyPatch, digits: Digits, z: np.ndarray, *, wide: bool) -> Outcome:
    field = field_of(digits.q)
    shares = (wide_shares_of if wide else shares_of)(field, z)
    kind = kinds.Kind(
        lambda d, n, _: (comparison.deal(d, n, digits), None)[1], lambda f, n, _: comparison.arrays(f, n, digits)
    )
    patch.setitem(kinds.KINDS, "digits", kind)

    async def body(s: Session, party: int) -> Any:
        mask = comparison.read(s.kit, z.size, digits)
        return await comparison.is_negative(s, shares[party], mask, NOWHERE if wide else None)

    return await run(KitPlan(digits.q, (Section("digits", z.size),)), body)


@pytest.mark.parametrize(("q", "count"), COUNTS)
async def sign__should_be_right_with_any_number_of_digits(q: int, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    digits, field = Digits(q, count), field_of(q)
    missed = comparison.missed(digits)
    assert missed == (0 if 4 * count >= q else 1 << q - 4 * count - 1)
    z = values(field, missed)
    outcome = await compared(monkeypatch, digits, z, wide=False)
    negative = open_bits([bits for _, bits in outcome.results], z.size)
    most = 1 << q - 1
    # within missed of -p / 2 and p / 2 the two ends meet; what drops digits stays below 2^(q-3)
    surely = ((z >= 0) & (z < most - missed)) | (z <= -missed)
    assert (negative[surely] == (z < 0)[surely]).all()
    assert surely.mean() > (0.8 if count > 1 else 0.4)
    assert outcome.kinds == ["masked line", *(f"digits, level {k + 1}" for k in range(len(digits.levels)))]
    assert len({c.tobytes() for c, _ in outcome.results}) == 1


@FIELDS
@pytest.mark.parametrize("wide", [False, True])
async def exact_comparison__should_cost_what_it_says(field: Field, wide: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    q, n = field.q, 640
    digits = comparison.exact(q)
    outcome = await compared(monkeypatch, digits, np.zeros(n, np.int64), wide=wide)
    bits = {31: 15, 61: 33}[q]
    assert outcome.rounds == 3
    assert outcome.sent_bytes == [n * field.itemsize * (1 + wide) + bits * n // 8 + 3 * VIEW_BYTES] * 3
    assert sum(digits.opened) == bits
    assert [count for count in range(1, digits.count + 1) if len(Digits(q, count).levels) <= 1] == [1, 2, 3, 4]
    assert sum(Digits(q, 4).opened) == 6


@pytest.mark.parametrize(("q", "drop", "count"), [(31, 12, 4), (31, 13, 4), (31, 1, 7), (61, 12, 12), (61, 57, 1)])
def digits__should_be_as_few_as_do(q: int, drop: int, count: int) -> None:
    digits = comparison.above(q, drop)
    assert digits.count == count
    assert comparison.missed(digits) <= 1 << drop + comparison.SLACK - 1


@pytest.mark.parametrize(("q", "count"), COUNTS)
def monomials__should_be_products_of_a_digits_bits(q: int, count: int) -> None:
    field = field_of(q)
    x = np.random.default_rng(q).integers(0, field.p, 70, dtype=np.uint64).astype(field.dtype)
    rows = bitslice.monomials(x, q, count)
    lows, widths = bitslice.digits(q, count)
    assert (int(lows[-1] + widths[-1]), len(rows)) == (q, bitslice.monomial_rows(q, count))
    assert [int(low) for low in lows[1:]] == [q - 4 * k for k in range(count - 1, 0, -1)]
    row = 0
    for low, width in zip(lows, widths, strict=True):
        for m in range(1, 1 << int(width)):
            expected = [int(word) >> int(low) & m == m for word in x]
            assert [bool(int(rows[row, j // 64]) >> j % 64 & 1) for j in range(70)] == expected
            row += 1
