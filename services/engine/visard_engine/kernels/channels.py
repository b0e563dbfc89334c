"""Kernels that treat channels apart: convolution in groups, a factor and a summand for each channel.

Groups are small products, for which splitting into limbs does not pay: these multiply mod p directly, about 1 ns each.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from visard_engine.kernels.arithmetic import add_four, add_inner, add_mod, add_product, mul_mod, reduced, sub_mod
from visard_engine.kernels.windows import output_size, phases, taps

Array = npt.NDArray[Any]
Pair = tuple[int, int]

_BLOCK = 2048  # windows whose sums stay in the first cache while all weights pass


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _taps(planes: Array, plane: Array, start: Array, w: Array, first: int, total: Array) -> None:
    """Add up what every weight of a filter takes for the windows ``first`` and on: weight t from plane[t] at start[t]."""
    size, taps = total.size, w.size
    whole = taps // 4 * 4
    for t in range(0, whole, 4):
        x0 = planes[plane[t], start[t] + first : start[t] + first + size]
        x1 = planes[plane[t + 1], start[t + 1] + first : start[t + 1] + first + size]
        x2 = planes[plane[t + 2], start[t + 2] + first : start[t + 2] + first + size]
        x3 = planes[plane[t + 3], start[t + 3] + first : start[t + 3] + first + size]
        w0, w1, w2, w3 = w[t], w[t + 1], w[t + 2], w[t + 3]
        for i in range(size):
            total[i] = add_four(total[i], w0, x0[i], w1, x1[i], w2, x2[i], w3, x3[i])
    for t in range(whole, taps):
        x = planes[plane[t], start[t] + first : start[t] + first + size]
        for i in range(size):
            total[i] = add_product(total[i], w[t], x[i])


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _grouped(
    x: Array,
    w: Array,
    sh: int,
    sw: int,
    ph: int,
    pw: int,
    groups: int,
    pitch: int,
    plane: Array,
    start: Array,
    out: Array,
) -> None:
    """Windows are numbered row by row with ``pitch`` of them in a row, of which the last ones are none: all loops are long."""
    filters, inputs, (rows, cols) = out.shape[1] // groups, w.shape[1], out.shape[2:]
    windows, split = rows * pitch, sh * sw
    planes = np.zeros((inputs * split, windows + start.max() + pitch), x.dtype)
    total = np.empty(windows, np.uint64)
    for b in range(x.shape[0]):
        for g in range(groups):
            for c in range(inputs):
                phases(x[b, g * inputs + c], sh, sw, ph, pw, pitch, planes[c * split : (c + 1) * split])
            for o in range(g * filters, (g + 1) * filters):
                total[:] = 0
                for first in range(0, windows, _BLOCK):
                    part = total[first : min(first + _BLOCK, windows)]
                    _taps(planes, plane, start, w[o].reshape(-1), first, part)
                for i in range(rows):
                    for j in range(cols):
                        sum_ = reduced(total[i * pitch + j], out[b, o, i, j])
                        out[b, o, i, j] = add_mod(out[b, o, i, j], sum_)


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
    whole = each // 4 * 4
    total = np.empty(width, np.uint64)
    for g in range(groups):
        total[:] = 0
        f, r = factors[g * each : (g + 1) * each], rows[g * each : (g + 1) * each]
        for o in range(0, whole, 4):
            f0, f1, f2, f3 = f[o], f[o + 1], f[o + 2], f[o + 3]
            r0, r1, r2, r3 = r[o], r[o + 1], r[o + 2], r[o + 3]
            for k in range(width):
                total[k] = add_four(total[k], f0, r0[k], f1, r1[k], f2, r2[k], f3, r3[k])
        for o in range(whole, each):
            for k in range(width):
                total[k] = add_product(total[k], f[o], r[o, k])
        for k in range(width):
            out[g * width + k] = reduced(total[k], f[0])


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _fold_all_rows(factors: Array, rows: Array, out: Array) -> None:
    width, whole = rows.shape[1], rows.shape[0] // 4 * 4
    total = np.zeros((factors.shape[0], width), np.uint64)
    for o in range(0, whole, 4):
        r0, r1, r2, r3 = rows[o], rows[o + 1], rows[o + 2], rows[o + 3]
        for f in range(factors.shape[0]):
            f0, f1, f2, f3 = factors[f, o], factors[f, o + 1], factors[f, o + 2], factors[f, o + 3]
            sums = total[f]
            for k in range(width):
                sums[k] = add_four(sums[k], f0, r0[k], f1, r1[k], f2, r2[k], f3, r3[k])
    for o in range(whole, rows.shape[0]):
        for f in range(factors.shape[0]):
            for k in range(width):
                total[f, k] = add_product(total[f, k], factors[f, o], rows[o, k])
    for f in range(factors.shape[0]):
        for k in range(width):
            out[f, k] = reduced(total[f, k], factors[0, 0])


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _contract(x: Array, places: Array, over_images: bool, out: Array) -> None:
    for b in range(x.shape[0]):
        row = 0 if over_images else b
        for c in range(x.shape[1]):
            total = add_inner(np.uint64(0), x[b, c], places[b])
            out[row, c] = add_mod(out[row, c], reduced(total, out[row, c]))


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _contract_dense(x: Array, factors: Array, over_images: bool, out: Array) -> None:
    for b in range(x.shape[0]):
        row = 0 if over_images else b
        for c in range(x.shape[1]):
            total = add_inner(np.uint64(0), x[b, c], factors[b, c])
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
    pitch = -(-(x.shape[3] + 2 * padding[1]) // stride[1])
    plane, start = taps(weights.shape[1:], stride, dilation, pitch)
    _grouped(np.ascontiguousarray(x), weights, *stride, *padding, groups, pitch, plane, start, out)
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
    out = np.empty(groups * rows.shape[1], rows.dtype)
    _fold_rows(factors, np.ascontiguousarray(rows), groups, out)
    return out


def fold_all_rows(factors: Array, rows: Array) -> Array:
    """Several rows of factors (F, O) times rows (O, K): (F, K), in one pass over the rows."""
    out = np.empty((len(factors), rows.shape[1]), rows.dtype)
    _fold_all_rows(factors, np.ascontiguousarray(rows), out)
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
