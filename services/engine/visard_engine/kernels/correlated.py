"""Kernels for the dealer's corrections, and for applying them."""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from visard_engine.kernels.arithmetic import add_mod, sub_mod

Array = npt.NDArray[Any]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _sum3(a: Array, b: Array, c: Array, out: Array) -> None:
    for i in range(a.size):
        out[i] = add_mod(add_mod(a[i], b[i]), c[i])


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _difference(x: Array, a: Array, b: Array, c: Array, out: Array) -> None:
    for i in range(a.size):
        out[i] = sub_mod(sub_mod(sub_mod(x[i], a[i]), b[i]), c[i])


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _add_to(x: Array, correction: Array) -> None:
    for i in range(x.size):
        x[i] = add_mod(x[i], correction[i])


def sum3(a: Array, b: Array, c: Array) -> Array:
    """a + b + c mod p."""
    out = np.empty_like(a)
    _sum3(a, b, c, out)
    return out


def difference(x: Array, draws: list[Array]) -> Array:
    """x minus the sum of three draws mod p."""
    out = np.empty_like(x)
    _difference(x, *draws, out)
    return out


def add_to(x: Array, correction: Array) -> None:
    """x + correction mod p, in place."""
    _add_to(x, correction)
