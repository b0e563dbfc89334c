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

_BLOCK = 2048  # windows whose sums stay in the first cache while all weights pass


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _phases(x: Array, sh: int, sw: int, ph: int, pw: int, pitch: int, out: Array) -> None:
    """A padded plane, taken apart by the strides' remainders: out (sh sw, size), in each one rows of ``pitch`` elements."""
    height, width = x.shape
    for a in range(sh):
        for y in range((a - ph) % sh, height, sh):
            row = (y + ph) // sh * pitch
            for b in range(sw):
                first = (b - pw) % sw
                start = row + (first + pw) // sw
                for j in range((width - first + sw - 1) // sw):
                    out[a * sw + b, start + j] = x[y, first + j * sw]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _add_products(total: Array, x: Array, w: Any) -> None:
    for i in range(total.size):
        total[i] = add_mod(total[i], mul_mod(w, x[i]))


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _taps(planes: Array, w: Array, sh: int, sw: int, dh: int, dw: int, pitch: int, first: int, total: Array) -> None:
    """Add up what every weight of a filter (C, kh, kw) takes from its plane, for the windows ``first`` and on."""
    size = total.size
    for c in range(w.shape[0]):
        for u in range(w.shape[1]):
            for v in range(w.shape[2]):
                y, z = u * dh, v * dw
                start = y // sh * pitch + z // sw + first
                _add_products(total, planes[c, y % sh * sw + z % sw, start : start + size], w[c, u, v])


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _grouped(
    x: Array, w: Array, sh: int, sw: int, ph: int, pw: int, dh: int, dw: int, groups: int, pitch: int, out: Array
) -> None:
    """Windows are numbered row by row with ``pitch`` of them in a row, of which the last ones are none: all loops are long."""
    filters, inputs, (rows, cols) = out.shape[1] // groups, w.shape[1], out.shape[2:]
    windows = rows * pitch
    reach = (w.shape[2] - 1) * dh // sh * pitch + (w.shape[3] - 1) * dw // sw
    planes = np.zeros((inputs, sh * sw, windows + reach + pitch), x.dtype)
    total = np.empty(windows, x.dtype)
    for b in range(x.shape[0]):
        for g in range(groups):
            for c in range(inputs):
                _phases(x[b, g * inputs + c], sh, sw, ph, pw, pitch, planes[c])
            for o in range(g * filters, (g + 1) * filters):
                total[:] = 0
                for first in range(0, windows, _BLOCK):
                    part = total[first : min(first + _BLOCK, windows)]
                    _taps(planes, w[o], sh, sw, dh, dw, pitch, first, part)
                for i in range(rows):
                    for j in range(cols):
                        out[b, o, i, j] = add_mod(out[b, o, i, j], total[i * pitch + j])


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
    pitch = -(-(x.shape[3] + 2 * padding[1]) // stride[1])
    _grouped(np.ascontiguousarray(x), weights, *stride, *padding, *dilation, groups, pitch, out)
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
