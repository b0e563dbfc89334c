"""Kernels around masked openings."""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from visard_engine.kernels.arithmetic import add_mod, mul_mod, sub_mod

Array = npt.NDArray[Any]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _recombine(one: Array, two: Array, three: Array, out: Array) -> None:
    for i in range(one.size):
        d = sub_mod(one[i], two[i])
        out[i] = add_mod(add_mod(add_mod(d, d), d), three[i])


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _mask(z: Array, own: Array, previous: Array, zero: Array, f: Any, g: Any, out: Array) -> None:
    for i in range(z.size):
        r = add_mod(mul_mod(own[i], f), mul_mod(previous[i], g))
        out[i] = add_mod(add_mod(add_mod(z[i], z[i]), r), zero[i])


def recombine(one: Array, two: Array, three: Array) -> Array:
    """3 F(1) - 3 F(2) + F(3) mod p: the value at 0 of a polynomial of degree 2."""
    out = np.empty(one.size, one.dtype)
    _recombine(one, two, three, out)
    return out


def mask(z: Array, own: Array, previous: Array, zero: Array, factors: tuple[Any, Any]) -> Array:
    """2 z + r + zero mod p, with r combined from the seeds' values; all (n,)."""
    out = np.empty(z.size, z.dtype)
    _mask(z, own, previous, zero, factors[0], factors[1], out)
    return out
