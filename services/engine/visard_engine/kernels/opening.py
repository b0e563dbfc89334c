"""Kernels around masked openings."""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from visard_engine.kernels import arithmetic
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


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _unmask(c: Array, own: Array, previous: Array, f: Any, g: Any, half: Any, out: Array) -> None:
    for i in range(c.size):
        r = add_mod(mul_mod(own[i], f), mul_mod(previous[i], g))
        out[i] = mul_mod(sub_mod(c[i], r), half)


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


def unmask(c: Array, own: Array, previous: Array, factors: tuple[Any, Any]) -> Array:
    """(c - r) / 2 mod p, the share of z that an opened c = 2 z + r amounts to; all (n,)."""
    out = np.empty_like(c)
    p = (1 << (31 if c.dtype.itemsize == 4 else 61)) - 1
    _unmask(c, own, previous, factors[0], factors[1], c.dtype.type((p + 1) // 2), out)
    return out


def line(own: Array, theirs: Array, f: Any, g: Any) -> Array:
    """own f + theirs g mod p, (n,): the value at 0 of the line through two shares."""
    return arithmetic.combine(own, theirs, f, g)
