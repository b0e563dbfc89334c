"""Kernels for the dealer's corrections and for combining dealt values."""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from visard_engine.kernels.arithmetic import add_mod, mul_mod, sub_mod

Array = npt.NDArray[Any]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _sum3(a: Array, b: Array, c: Array, out: Array) -> None:
    for i in range(a.size):
        out[i] = add_mod(add_mod(a[i], b[i]), c[i])


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _correct(x: Array, a: Array, b: Array, c: Array, out: Array) -> None:
    for i in range(a.size):
        out[i] = sub_mod(sub_mod(sub_mod(x[i], a[i]), b[i]), c[i])


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _shares(own: Array, previous: Array, correction: Array, f: Any, g: Any, out: Array) -> None:
    for i in range(own.size):
        out[i] = add_mod(add_mod(mul_mod(own[i], f), mul_mod(previous[i], g)), correction[i])


def sum3(a: Array, b: Array, c: Array) -> Array:
    """a + b + c mod p."""
    out = np.empty_like(a)
    _sum3(a, b, c, out)
    return out


def correct(x: Array, draws: list[Array], out: Array) -> None:
    """x minus the sum of three draws mod p, into out."""
    _correct(x, *draws, out)


def shares(own: Array, previous: Array, correction: Array, factors: tuple[Any, Any]) -> Array:
    """Degree-1 shares of a dealt value: own f + previous g + correction mod p."""
    out = np.empty_like(own)
    _shares(own, previous, correction, factors[0], factors[1], out)
    return out
