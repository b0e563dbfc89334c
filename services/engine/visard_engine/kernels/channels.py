"""Kernels that treat channels apart: convolution in groups, a factor and a summand for each channel.

Groups are small products, for which splitting into limbs does not pay: these multiply mod p directly, about 1 ns each.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from visard_engine.kernels.arithmetic import add_mod, add_product, mul_mod, reduced, sub_mod
from visard_engine.kernels.limbs import output_size

Array = npt.NDArray[Any]
Pair = tuple[int, int]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _plane(x: Array, w: Any, u: int, v: int, sh: int, sw: int, out: Array) -> None:
    """Add w times the input shifted by (u, v), in steps of the stride, to one output plane."""
    height, width = x.shape
    for i in range(out.shape[0]):
        y = i * sh + u
        if 0 <= y < height:
            for j in range(out.shape[1]):
                z = j * sw + v
                if 0 <= z < width:
                    out[i, j] = add_mod(out[i, j], mul_mod(w, x[y, z]))


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _grouped(x: Array, w: Array, sh: int, sw: int, ph: int, pw: int, dh: int, dw: int, groups: int, out: Array) -> None:
    filters = out.shape[1] // groups
    for b in range(x.shape[0]):
        for o in range(out.shape[1]):
            first = o // filters * w.shape[1]
            for c in range(w.shape[1]):
                for u in range(w.shape[2]):
                    for v in range(w.shape[3]):
                        _plane(x[b, first + c], w[o, c, u, v], u * dh - ph, v * dw - pw, sh, sw, out[b, o])


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _affine(x: Array, factor: Array, summand: Array, out: Array) -> None:
    for b in range(x.shape[0]):
        for c in range(x.shape[1]):
            for i in range(x.shape[2]):
                out[b, c, i] = add_mod(mul_mod(x[b, c, i], factor[b, c]), summand[c])


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _lean(x: Array, positive: Array, slope: Array, unit: Any, out: Array) -> None:
    for b in range(x.shape[0]):
        for c in range(x.shape[1]):
            for i in range(x.shape[2]):
                negative = sub_mod(x[b, c, i], positive[b, c, i])
                out[b, c, i] = add_mod(mul_mod(positive[b, c, i], unit), mul_mod(negative, slope[c]))


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _fold_rows(factors: Array, rows: Array, groups: int, out: Array) -> None:
    each, width = rows.shape[0] // groups, rows.shape[1]
    for g in range(groups):
        for o in range(each):
            factor = factors[g * each + o]
            for k in range(width):
                term = mul_mod(factor, rows[g * each + o, k])
                out[g * width + k] = add_mod(out[g * width + k], term)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _contract(x: Array, places: Array, over_images: bool, out: Array) -> None:
    for b in range(x.shape[0]):
        row = 0 if over_images else b
        for c in range(x.shape[1]):
            total = np.uint64(0)
            for i in range(x.shape[2]):
                total = add_product(total, x[b, c, i], places[b, i])
            out[row, c] = add_mod(out[row, c], reduced(total, out[row, c]))


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _contract_dense(x: Array, factors: Array, over_images: bool, out: Array) -> None:
    for b in range(x.shape[0]):
        row = 0 if over_images else b
        for c in range(x.shape[1]):
            total = np.uint64(0)
            for i in range(x.shape[2]):
                total = add_product(total, x[b, c, i], factors[b, c, i])
            out[row, c] = add_mod(out[row, c], reduced(total, out[row, c]))


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _summed(x: Array, out: Array) -> None:
    for i in range(x.size):
        out[0] = add_mod(out[0], x[i])


def convolve_groups(
    x: Array, weights: Array, bias: Array | None, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Array:
    """Cross-correlation as in torch: x (B, C, H, W), weights (O, C / groups, kh, kw), bias (O,), to (B, O, H', W')."""
    size = (output_size(*axis) for axis in zip(x.shape[2:], weights.shape[2:], stride, padding, dilation, strict=True))
    out = np.zeros((x.shape[0], len(weights), *size), x.dtype)
    if bias is not None:
        out += bias[:, None, None]
    _grouped(np.ascontiguousarray(x), weights, *stride, *padding, *dilation, groups, out)
    return out


def affine(x: Array, factor: Array, summand: Array | None = None) -> Array:
    """x (B, C, ...) times factor (C,) or (B, C), plus summand (C,), elementwise."""
    factors = np.ascontiguousarray(np.broadcast_to(factor, x.shape[:2]))
    out = np.empty(x.shape, x.dtype)
    zeros = np.zeros(x.shape[1], x.dtype) if summand is None else summand
    _affine(_planes(x), factors, zeros, out.reshape(*x.shape[:2], -1))
    return out


def lean(x: Array, positive: Array, slope: Array, unit: Any) -> Array:
    """unit * positive + slope * (x - positive) for x and positive (B, C, ...), slope (C,): a PReLU from its ReLU."""
    out = np.empty(x.shape, x.dtype)
    _lean(_planes(x), _planes(positive), slope, unit, out.reshape(*x.shape[:2], -1))
    return out


def _planes(x: Array) -> Array:
    return np.ascontiguousarray(x).reshape(*x.shape[:2], -1)


def fold_rows(factors: Array, rows: Array, groups: int) -> Array:
    """Factors (O,) times rows (O, K), added up over each of the groups: (groups K,)."""
    out = np.zeros(groups * rows.shape[1], rows.dtype)
    _fold_rows(factors, np.ascontiguousarray(rows), groups, out)
    return out


def contract(x: Array, places: Array, *, over_images: bool) -> Array:
    """Sums over places of x (B, C, ...) times ``places`` (B, ...): (B, C), or (1, C) over images as well."""
    out = np.zeros((1 if over_images else len(x), x.shape[1]), x.dtype)
    _contract(_planes(x), np.ascontiguousarray(places).reshape(len(x), -1), over_images, out)
    return out


def contract_dense(x: Array, factors: Array, *, over_images: bool) -> Array:
    """Likewise with a factor for each element of x."""
    out = np.zeros((1 if over_images else len(x), x.shape[1]), x.dtype)
    _contract_dense(_planes(x), _planes(factors), over_images, out)
    return out


def summed(x: Array) -> Array:
    """The sum of all elements mod p, (1,)."""
    out = np.zeros(1, x.dtype)
    _summed(np.ascontiguousarray(x).reshape(-1), out)
    return out
