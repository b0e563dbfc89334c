"""Kernels of sliding windows over pictures: as columns of a matrix, correlated with factors, and backwards."""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from visard_engine.kernels.arithmetic import add_inner, add_mod, reduced, sub_mod

Array = npt.NDArray[Any]
Pair = tuple[int, int]


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
def phases(x: Array, sh: int, sw: int, ph: int, pw: int, pitch: int, out: Array) -> None:
    """A padded plane, taken apart by the strides' remainders: out (sh sw, size), in each one rows of ``pitch`` elements."""
    height, width = x.shape
    for a in range(sh):
        for y in range((a - ph) % sh, height, sh):
            row = (y + ph) // sh * pitch
            for b in range(sw):
                first = (b - pw) % sw
                start = row + (first + pw) // sw
                if sw == 1:  # on its own, for it is one copy then
                    out[a, start : start + width] = x[y]
                else:
                    for j in range((width - first + sw - 1) // sw):
                        out[a * sw + b, start + j] = x[y, first + j * sw]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _correlate(
    x: Array, places: Array, sh: int, sw: int, ph: int, pw: int, pitch: int, plane: Array, start: Array, out: Array
) -> None:
    """All windows at once for each place in them, as one long inner product: factors lie with ``pitch`` in a row as well."""
    (batch, channels), (rows, cols) = x.shape[:2], places.shape[1:]
    size = rows * pitch
    planes = np.zeros((sh * sw, size + start.max() + pitch), x.dtype)
    factors = np.zeros((rows, pitch), x.dtype)
    totals = np.zeros((channels, start.size), np.uint64)
    for b in range(batch):
        factors[:, :cols] = places[b]
        flat = factors.reshape(-1)
        for c in range(channels):
            phases(x[b, c], sh, sw, ph, pw, pitch, planes)
            for t in range(start.size):
                totals[c, t] = add_inner(totals[c, t], planes[plane[t], start[t] : start[t] + size], flat)
    for c in range(channels):
        for t in range(start.size):
            out[c * start.size + t] = reduced(totals[c, t], x[0, 0, 0, 0])


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


def output_size(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    """Of one axis of a sliding window."""
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def taps(shape: tuple[int, ...], stride: Pair, dilation: Pair, pitch: int) -> tuple[Array, Array]:
    """For each weight of a filter (C, kh, kw) which of the planes (C sh sw) that ``phases`` makes it reads, and from where."""
    c, y, x = np.indices(shape)
    y, x = y * dilation[0], x * dilation[1]
    plane = (c * stride[0] + y % stride[0]) * stride[1] + x % stride[1]
    start = y // stride[0] * pitch + x // stride[1]
    return plane.reshape(-1), start.reshape(-1)


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


def correlate(x: Array, places: Array, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> Array:
    """The sum of windows of x (B, C, H, W), each times its element of places (B, H', W'): (C kh kw,)."""
    out = np.empty(x.shape[1] * kernel[0] * kernel[1], x.dtype)
    pitch = -(-(x.shape[3] + 2 * padding[1]) // stride[1])
    plane, start = taps((1, *kernel), stride, dilation, pitch)
    _correlate(np.ascontiguousarray(x), places, *stride, *padding, pitch, plane, start, out)
    return out


def scatter(columns: Array, shape: tuple[int, ...], kernel: Pair, stride: Pair, padding: Pair) -> Array:
    """Add columns (C kh kw, B H' W') to the windows of a picture (B, C, H, W) that they stand for: ``columns`` backwards."""
    sizes = zip(shape[2:], kernel, stride, padding, (1, 1), strict=True)
    height, width = (output_size(*axis) for axis in sizes)
    out = np.zeros(shape, columns.dtype)
    _scatter(columns, *kernel, *stride, *padding, height, width, out)
    return out
