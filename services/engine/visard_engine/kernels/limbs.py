"""Kernels of exact products in floating point: balanced limbs, and recombination."""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from visard_engine.kernels.arithmetic import add_mod, from_int64, mul_mod

Array = npt.NDArray[Any]


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
def _recombine(products: Array, factors: Array, out: Array) -> None:
    terms, rows, cols = products.shape
    for o in range(rows):
        for t in range(terms):
            factor = factors[t]
            for j in range(cols):
                term = mul_mod(from_int64(np.int64(products[t, o, j]), factor), factor)
                out[o, j] = add_mod(out[o, j], term)


def split(x: Array, p: int, widths: tuple[int, ...]) -> Array:
    """Elements (...) to balanced limbs (len(widths), ...) as exact float64, lowest first."""
    out = np.empty((len(widths), x.size), np.float64)
    _split(np.ascontiguousarray(x).reshape(-1), p, np.array(widths, np.int64), out)
    return out.reshape(len(widths), *x.shape)


def recombine(products: Array, factors: Array, out: Array) -> None:
    """Add sum over t of factors[t] * products[t] mod p to out: (terms, rows, cols) exact float64 and (rows, cols)."""
    _recombine(products, factors, out)
