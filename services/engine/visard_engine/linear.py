"""Exact matrix products and convolutions of shares mod p, on floating-point hardware.

Both operands are uniform words, so their products do not fit a float64. They are split into balanced limbs small enough
that whole inner products of limbs stay below 2^53, where float64 arithmetic is exact; limbs are multiplied by BLAS, and
the products are recombined mod p with constant factors. q = 31 splits the left operand alone (two products of 15- or
16-bit limbs with unsplit 31-bit words, 256 at a time: three of 11 bits took a third longer); q = 61 splits both in three
(20, 20, 21 bits) and takes six products by Karatsuba: (a_i + a_j)(b_i + b_j) - a_i b_i - a_j b_j gives the two cross terms
at once.
Products of two degree-1 sharings are sharings of degree 2: local, no message.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from visard_engine.field import Elements, Field
from visard_engine.kernels import arithmetic, channels, limbs, windows

Floats = npt.NDArray[np.float64]
Pair = tuple[int, int]


@dataclass(frozen=True)
class _Scheme:
    """How a field's products are split: limb widths, which limbs each term sums, and each term's factor mod p."""

    left: tuple[int, ...]
    right: tuple[int, ...]
    terms: tuple[tuple[int, ...], ...]  # of the left operand, and of the right one when it is split too
    factors: npt.NDArray[Any]
    max_inner: int  # longest inner product that stays exact


@cache
def _scheme(field: Field) -> _Scheme:
    if field.q == 31:
        factors = np.array([1, 1 << 16], field.dtype)
        # |limb| <= 2^15 and |word| <= 2^30: 2^8 products stay within 2^53
        return _Scheme((16, 15), (31,), ((0,), (1,)), factors, 1 << 8)
    s = 1 << 20  # one limb up; the coefficients of s^0 .. s^4 in the six products
    diagonal = [1 - s - s**2, -s + s**2 - s**3, -(s**2) - s**3 + s**4]
    crossed = [s, s**2, s**3]
    factors = np.array([f % field.p for f in diagonal + crossed], field.dtype)
    # |a_1 + a_2| <= 1.5 * 2^20 on both sides: 2304 products of 2.25 * 2^40 stay within 2^53
    return _Scheme((20, 20, 21), (20, 20, 21), ((0,), (1,), (2,), (0, 1), (0, 2), (1, 2)), factors, 2304)


def _sums(parts: Floats, terms: tuple[tuple[int, ...], ...]) -> Floats:
    """Each term's sum of limbs, stacked."""
    return np.stack([parts[list(term)].sum(axis=0) if len(term) > 1 else parts[term[0]] for term in terms])


class Matrix:
    """A left operand (rows, inner) of shares, its limbs computed once."""

    def __init__(self, field: Field, elements: Elements) -> None:
        self.field = field
        self.elements = elements
        self.rows, self.inner = elements.shape
        self._scheme = _scheme(field)
        self._chunks = [
            _sums(
                limbs.split(elements[:, start : start + self._scheme.max_inner], field.p, self._scheme.left),
                self._scheme.terms,
            )
            for start in range(0, self.inner, self._scheme.max_inner)
        ]

    def __repr__(self) -> str:
        return f"<Matrix: {self.rows} x {self.inner} secret elements>"

    def times(self, right: Elements, start: Elements) -> Elements:
        """start + self @ right mod p: right (inner, cols), start (rows, cols), which is overwritten."""
        for index, left in enumerate(self._chunks):
            first = index * self._scheme.max_inner
            part = right[first : first + self._scheme.max_inner]
            limbs.recombine(self._products(left, part), self._scheme.factors, start)
        return start

    def _products(self, left: Floats, right: Elements) -> Floats:
        parts = limbs.split(right, self.field.p, self._scheme.right)
        if len(parts) == 1:  # one tall product
            tall: Floats = left.reshape(-1, left.shape[2]) @ parts[0]
            return tall.reshape(len(left), self.rows, -1)
        products: Floats = np.matmul(left, _sums(parts, self._scheme.terms))
        return products


def convolve(
    weights: Matrix,
    bias: Elements | None,
    x: Elements,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int] = (1, 1),
) -> Elements:
    """Cross-correlation as in torch: x (B, C, H, W), weights (O, C kh kw), bias (O,) or None, to (B, O, H', W')."""
    batch = x.shape[0]
    height = windows.output_size(x.shape[2], kernel[0], stride[0], padding[0], dilation[0])
    if kernel == stride == (1, 1) and padding == (0, 0):
        columns = np.ascontiguousarray(x.swapaxes(0, 1)).reshape(x.shape[1], -1)
    else:
        columns = windows.columns(x, kernel, stride, padding, dilation)
    out = weights.times(columns, _start(weights.rows, columns.shape[1], bias, x.dtype))
    by_channel = out.reshape(weights.rows, batch, height, -1)
    return np.ascontiguousarray(by_channel.transpose(1, 0, 2, 3))


def affine(field: Field, weights: Elements, bias: Elements | None, x: Elements) -> Elements:
    """x (B, D) times the transposed weights (O, D), plus bias, as (B, O); element by element, for few rows of x."""
    found = np.stack([arithmetic.products(weights, row) for row in x])
    return found if bias is None else field.add(found, np.repeat(bias[None], len(x), axis=0))


def correlate(x: Elements, places: Elements, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> Elements:
    """Windows of x (B, C, H, W), each times its factor of ``places`` (B, H', W'), added up: (C kh kw,)."""
    if kernel == stride == (1, 1) and padding == (0, 0):
        return channels.contract(x, places, over_images=True).reshape(-1)
    return windows.correlate(x, places, kernel, stride, padding, dilation)


def correlate_dense(
    field: Field, x: Elements, factors: Elements, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Elements:
    """For each filter and weight of it, windows of x (B, C, H, W) times factors (B, O, H', W') added up: (O C/groups kh kw,)."""
    columns = windows.columns(x, kernel, stride, padding, dilation)
    each = np.ascontiguousarray(factors.swapaxes(0, 1)).reshape(groups, factors.shape[1] // groups, -1)
    right = columns.reshape(groups, -1, columns.shape[1]).swapaxes(1, 2)
    parts = [
        Matrix(field, left).times(np.ascontiguousarray(part), np.zeros((len(left), part.shape[1]), x.dtype))
        for left, part in zip(each, right, strict=True)
    ]
    return np.concatenate(parts).reshape(-1)


def transposed(
    field: Field, taps: Elements, factors: Elements, shape: tuple[int, ...], kernel: Pair, stride: Pair, padding: Pair
) -> Elements:
    """What factors (B, O, H', W') of a convolution's result are of its input (B, *shape); taps (O, C kh kw)."""
    right = np.ascontiguousarray(factors.swapaxes(0, 1)).reshape(len(taps), -1)
    left = Matrix(field, np.ascontiguousarray(taps.T))
    columns = left.times(right, np.zeros((left.rows, right.shape[1]), taps.dtype))
    return windows.scatter(columns, (len(factors), *shape), kernel, stride, padding)


def _start(rows: int, cols: int, bias: Elements | None, dtype: np.dtype[Any]) -> Elements:
    if bias is None:
        return np.zeros((rows, cols), dtype)
    return np.repeat(bias, cols).reshape(rows, cols)
