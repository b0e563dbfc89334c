"""Native arithmetic mod 2^31 - 1 and 2^61 - 1 agrees with Python integers, edge values included."""

import operator
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from visard_engine.field import M31, M61, Field, field_of
from visard_engine.kernels import arithmetic

FIELDS = pytest.mark.parametrize("field", [M31, M61], ids=["q31", "q61"])


def sample(field: Field, n: int, seed: int) -> np.ndarray:
    words = np.random.default_rng(seed).integers(0, field.p, n, dtype=np.uint64)
    words[:6] = [0, 1, 2, field.p - 1, field.p // 2, field.p // 2 + 1]
    return words.astype(field.dtype)


@FIELDS
@pytest.mark.parametrize(
    ("kernel", "plain"),
    [(arithmetic.add, operator.add), (arithmetic.subtract, operator.sub), (arithmetic.multiply, operator.mul)],
    ids=["add", "subtract", "multiply"],
)
def arithmetic__should_agree_with_integers(
    field: Field, kernel: Callable[..., np.ndarray], plain: Callable[[int, int], int]
) -> None:
    a, b = np.meshgrid(sample(field, 60, 1), sample(field, 60, 2))
    expected = [plain(int(x), int(y)) % field.p for x, y in zip(a.ravel(), b.ravel(), strict=True)]
    assert kernel(a, b).ravel().tolist() == expected


@FIELDS
def scaling__should_take_negative_factors(field: Field) -> None:
    a = sample(field, 50, 3)
    assert field.scale(a, -3).tolist() == [-3 * int(x) % field.p for x in a]


@given(st.lists(st.integers(-(2**29), 2**29), min_size=1), st.sampled_from([31, 61]))
def encoding__should_be_undone_by_decoding(integers: list[int], q: int) -> None:
    field = field_of(q)
    elements = field.encode(integers)
    assert field.is_reduced(elements)
    assert field.decode(elements).tolist() == integers


@FIELDS
def row_products__should_agree_with_integers(field: Field) -> None:
    probe, references = sample(field, 9, 4), sample(field, 45, 5).reshape(5, 9)
    expected = [sum((int(x) - int(y)) ** 2 for x, y in zip(probe, row, strict=True)) % field.p for row in references]
    differences = field.subtract(references, np.broadcast_to(probe, references.shape))
    assert arithmetic.row_products(differences, differences).tolist() == expected


def another_exponent__should_be_refused() -> None:
    with pytest.raises(ValueError, match="31 or 61"):
        field_of(13)


@FIELDS
@pytest.mark.parametrize("n", [1, 5, 70_001])
def sums_of_products__should_not_overflow(field: Field, n: int) -> None:
    """Reduced in part, once at the end: with the largest factors, and in any number."""
    most, one = np.full((2, n), field.p - 1, field.dtype), sample(field, max(n, 6), 7)[:n]
    assert arithmetic.products(most, most[0]).tolist() == [n % field.p] * 2  # (-1)^2, n times
    assert arithmetic.products(one[None], most[0]).tolist() == [-sum(map(int, one)) % field.p]
    assert arithmetic.row_products(most, most).tolist() == [n % field.p] * 2
    assert arithmetic.row_products(most, most).tolist() == [n % field.p] * 2
