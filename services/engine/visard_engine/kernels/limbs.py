"""Kernels of exact products in floating point: balanced limbs, image-to-column, recombination."""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from visard_engine.kernels.arithmetic import add_mod, add_product, from_int64, mul_mod, reduced, sub_mod

Array = npt.NDArray[Any]
Pair = tuple[int, int]


@njit(cache=True, nogil=True, inline="always")  # type: ignore[untyped-decorator]
def _signed(x: Any, p: int) -> Any:
    """The representative of x of least absolute value."""
    y = np.int64(x)
    return y - p if y > p >> 1 else y


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _split(x: Array, p: int, widths: Array, out: Array) -> None:
    for i in range(x.size):
        rest = _signed(x[i], p)
        for t in range(widths.size - 1):
            half = np.int64(1) << (widths[t] - 1)
            limb = ((rest + half) & (2 * half - 1)) - half
            out[t, i] = limb
            rest = (rest - limb) >> widths[t]
        out[widths.size - 1, i] = rest


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _columns(
    x: Array, kh: int, kw: int, sh: int, sw: int, ph: int, pw: int, dh: int, dw: int, rows: int, cols: int, out: Array
) -> None:
    batch, channels, height, width = x.shape
    zero = sub_mod(x[0, 0, 0, 0], x[0, 0, 0, 0])
    for c in range(channels):
        for u in range(kh):
            for v in range(kw):
                row = (c * kh + u) * kw + v
                for b in range(batch):
                    for i in range(rows):
                        y = i * sh + u * dh - ph
                        base = (b * rows + i) * cols
                        if y < 0 or y >= height:
                            for j in range(cols):
                                out[row, base + j] = zero
                        else:
                            for j in range(cols):
                                xx = j * sw + v * dw - pw
                                out[row, base + j] = x[b, c, y, xx] if 0 <= xx < width else zero


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _recombine(products: Array, factors: Array, out: Array) -> None:
    terms, rows, cols = products.shape
    for o in range(rows):
        for t in range(terms):
            factor = factors[t]
            for j in range(cols):
                term = mul_mod(from_int64(np.int64(products[t, o, j]), factor), factor)
                out[o, j] = add_mod(out[o, j], term)


@njit(cache=True, nogil=True, inline="always")  # type: ignore[untyped-decorator]
def _inside(shift: int, step: int, size: int, count: int) -> tuple[int, int]:
    """The first of ``count`` windows for which 0 <= window * step + shift < size, and the one after the last."""
    first = 0 if shift >= 0 else (-shift + step - 1) // step
    last = min(count, (size - 1 - shift) // step + 1) if size > shift else 0
    return first, last


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _correlate(
    x: Array, places: Array, kh: int, kw: int, sh: int, sw: int, ph: int, pw: int, dh: int, dw: int, out: Array
) -> None:
    batch, channels, height, width = x.shape
    rows, cols = places.shape[1:]
    for c in range(channels):
        for u in range(kh):
            top, bottom = _inside(u * dh - ph, sh, height, rows)
            for v in range(kw):
                shift = v * dw - pw
                left, right = _inside(shift, sw, width, cols)
                total = np.uint64(0)
                for b in range(batch):
                    for i in range(top, bottom):
                        y = i * sh + u * dh - ph
                        if sw == 1:  # on its own, and in slices, for it is vectorised then
                            row, factors = x[b, c, y, left + shift : right + shift], places[b, i, left:right]
                            for j in range(factors.size):
                                total = add_product(total, row[j], factors[j])
                        else:
                            for j in range(left, right):
                                total = add_product(total, x[b, c, y, j * sw + shift], places[b, i, j])
                out[(c * kh + u) * kw + v] = reduced(total, out[0])


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _scatter(
    columns: Array, kh: int, kw: int, sh: int, sw: int, ph: int, pw: int, rows: int, cols: int, out: Array
) -> None:
    batch, channels, height, width = out.shape
    for c in range(channels):
        for u in range(kh):
            for v in range(kw):
                row = (c * kh + u) * kw + v
                for b in range(batch):
                    for i in range(rows):
                        y = i * sh + u - ph
                        if 0 <= y < height:
                            for j in range(cols):
                                z = j * sw + v - pw
                                if 0 <= z < width:
                                    found = columns[row, (b * rows + i) * cols + j]
                                    out[b, c, y, z] = add_mod(out[b, c, y, z], found)


def split(x: Array, p: int, widths: tuple[int, ...]) -> Array:
    """Elements (...) to balanced limbs (len(widths), ...) as exact float64, lowest first."""
    out = np.empty((len(widths), x.size), np.float64)
    _split(np.ascontiguousarray(x).reshape(-1), p, np.array(widths, np.int64), out)
    return out.reshape(len(widths), *x.shape)


def output_size(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    """Of one axis of a sliding window."""
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def columns(
    x: Array,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int] = (1, 1),
) -> Array:
    """Windows of (B, C, H, W) as the columns of a matrix (C kh kw, B H' W')."""
    sizes = zip(x.shape[2:], kernel, stride, padding, dilation, strict=True)
    height, width = (output_size(*axis) for axis in sizes)
    out = np.empty((x.shape[1] * kernel[0] * kernel[1], x.shape[0] * height * width), x.dtype)
    _columns(np.ascontiguousarray(x), *kernel, *stride, *padding, *dilation, height, width, out)
    return out


def recombine(products: Array, factors: Array, out: Array) -> None:
    """Add sum over t of factors[t] * products[t] mod p to out: (terms, rows, cols) exact float64 and (rows, cols)."""
    _recombine(products, factors, out)


def correlate(x: Array, places: Array, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> Array:
    """The sum of windows of x (B, C, H, W), each times its element of places (B, H', W'): (C kh kw,)."""
    out = np.empty(x.shape[1] * kernel[0] * kernel[1], x.dtype)
    _correlate(np.ascontiguousarray(x), np.ascontiguousarray(places), *kernel, *stride, *padding, *dilation, out)
    return out


def scatter(columns: Array, shape: tuple[int, ...], kernel: Pair, stride: Pair, padding: Pair) -> Array:
    """Add columns (C kh kw, B H' W') to the windows of a picture (B, C, H, W) that they stand for: ``columns`` backwards."""
    sizes = zip(shape[2:], kernel, stride, padding, (1, 1), strict=True)
    height, width = (output_size(*axis) for axis in sizes)
    out = np.zeros(shape, columns.dtype)
    _scatter(columns, *kernel, *stride, *padding, height, width, out)
    return out
