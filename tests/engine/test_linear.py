"""Products in floating-point limbs are exact mod p: against Python integers, with extreme operands and long inner products."""

import numpy as np
import pytest
from visard_engine.field import M31, M61, Field
from visard_engine.linear import Matrix, affine, convolve

FIELDS = pytest.mark.parametrize("field", [M31, M61], ids=["q31", "q61"])


def uniform(field: Field, *shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).integers(0, field.p, shape, dtype=np.uint64).astype(field.dtype)


def plain_product(field: Field, a: np.ndarray, b: np.ndarray) -> list[list[int]]:
    product: list[list[int]] = ((a.astype(object) @ b.astype(object)) % field.p).tolist()
    return product


@FIELDS
@pytest.mark.parametrize("inner", [1, 2304, 2305, 8193])
def product__should_be_exact(field: Field, inner: int) -> None:
    left, right = uniform(field, 4, inner), uniform(field, inner, 3)
    # the largest limbs of either sign in every place
    left[0], left[1], right[:, 0], right[:, 1] = field.p // 2, field.p // 2 + 1, field.p // 2, field.p // 2 + 1
    start = uniform(field, 4, 3)
    expected = ((left.astype(object) @ right.astype(object) + start.astype(object)) % field.p).tolist()
    assert Matrix(field, left).times(right, start.copy()).tolist() == expected


@FIELDS
@pytest.mark.parametrize(("stride", "padding"), [((1, 1), (1, 1)), ((2, 2), (0, 0)), ((2, 1), (0, 1))])
def convolution__should_agree_with_integers(field: Field, stride: tuple[int, int], padding: tuple[int, int]) -> None:
    x, weights, bias = uniform(field, 2, 3, 7, 6), uniform(field, 4, 3, 3, 2), uniform(field, 4)
    result = convolve(Matrix(field, weights.reshape(4, -1)), bias, x, (3, 2), stride, padding)
    padded = np.pad(x, ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2)).astype(object)
    for b, o, i, j in np.ndindex(result.shape):
        window = padded[b, :, i * stride[0] : i * stride[0] + 3, j * stride[1] : j * stride[1] + 2]
        assert int(result[b, o, i, j]) == (int((window * weights[o].astype(object)).sum()) + int(bias[o])) % field.p
    assert result.shape[2:] == tuple(
        (size + 2 * pad - k) // step + 1 for size, pad, k, step in zip((7, 6), padding, (3, 2), stride, strict=True)
    )


@FIELDS
def affine_map__should_agree_with_integers(field: Field) -> None:
    x, weights, bias = uniform(field, 2, 9), uniform(field, 5, 9), uniform(field, 5)
    expected = ((x.astype(object) @ weights.T.astype(object) + bias.astype(object)) % field.p).tolist()
    assert affine(field, weights, bias, x).tolist() == expected
    assert affine(field, weights, None, x).tolist() == plain_product(field, x, weights.T)


def weights__should_not_be_printed() -> None:
    assert repr(Matrix(M31, uniform(M31, 2, 3))) == "<Matrix: 2 x 3 secret elements>"
