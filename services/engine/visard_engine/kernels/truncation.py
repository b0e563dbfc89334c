"""Kernels of truncation and of truncation with ReLU."""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from visard_engine.kernels.arithmetic import add_mod, mul_mod, shr, sub_mod

Array = npt.NDArray[Any]

_BLOCK = 4096  # elements treated at a time: a multiple of 64


# how c is taken apart (``_how``), and the factors by which a party's pairs count
How = tuple[int, int, Any, Any, Any]
Factors = tuple[Any, Any]


@njit(cache=True, nogil=True, inline="always")  # type: ignore[untyped-decorator]
def _opened(c: Any, how: How) -> tuple[Any, Any]:
    """What ``public_part`` says of one element."""
    g, q, offset, shifted_offset, power = how
    moved = add_mod(c, offset)
    return sub_mod(shr(moved, g), shifted_offset), sub_mod(power, power) if shr(moved, q - 1) else power


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _public_part(c: Array, how: How, k: Array, wrap: Array) -> None:
    for i in range(c.size):
        k[i], wrap[i] = _opened(c[i], how)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _shift(k: Array, wrap: Array, shifted: Array, msb: Array, out: Array) -> None:
    for i in range(k.size):
        out[i] = add_mod(sub_mod(k[i], shifted[i]), mul_mod(wrap[i], msb[i]))


# one result a loop and few operands, or the compiler does not vectorise it: it would have to ask which of them overlap
@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _truncated(
    c: Array, how: How, rs: Array, msb: Array, rs1: Array, msb1: Array, factors: Factors, out: Array
) -> None:
    for i in range(c.size):
        k, wrap = _opened(c[i], how)
        a = mul_mod(factors[0], sub_mod(mul_mod(wrap, msb[i]), rs[i]))
        b = mul_mod(factors[1], sub_mod(mul_mod(wrap, msb1[i]), rs1[i]))
        out[i] = add_mod(k, add_mod(a, b))


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _times_beta(
    c: Array,
    how: How,
    b: Array,
    rs: Array,
    msb: Array,
    b1: Array,
    rs1: Array,
    msb1: Array,
    factors: Factors,
    out: Array,
) -> None:
    for i in range(c.size):
        k, wrap = _opened(c[i], how)
        own = add_mod(sub_mod(mul_mod(k, b[i]), rs[i]), mul_mod(wrap, msb[i]))
        previous = add_mod(sub_mod(mul_mod(k, b1[i]), rs1[i]), mul_mod(wrap, msb1[i]))
        out[i] = add_mod(mul_mod(factors[0], own), mul_mod(factors[1], previous))


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _chosen(v: Array, plain: Array, times_beta: Array) -> None:
    for word in range((plain.size + 63) // 64):
        bits, some = v[word], slice(64 * word, 64 * word + 64)
        one, other = plain[some], times_beta[some]
        for i in range(one.size):
            other[i] = sub_mod(one[i], other[i]) if (bits >> np.uint64(i)) & np.uint64(1) else other[i]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _relu(v: Array, c: Array, how: How, own: Array, previous: Array, factors: Factors, out: Array) -> None:
    """A block at a time, so that results are still in the cache when the next loop wants them."""
    for start in range(0, c.size, _BLOCK):
        end = start + _BLOCK
        # rows first, or the slices are not known to be contiguous
        x, positive, plain = c[start:end], out[0][start:end], out[1][start:end]
        rs, msb, rs1, msb1 = own[0][start:end], own[1][start:end], previous[0][start:end], previous[1][start:end]
        _truncated(x, how, rs, msb, rs1, msb1, factors, plain)
        b, brs, bmsb = own[2][start:end], own[3][start:end], own[4][start:end]
        b1, brs1, bmsb1 = previous[2][start:end], previous[3][start:end], previous[4][start:end]
        _times_beta(x, how, b, brs, bmsb, b1, brs1, bmsb1, factors, positive)
        _chosen(v[start // 64 :], plain, positive)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _exact_relu(v: Array, c: Array, r: Array, beta: Array, br: Array, half: Any, out: Array) -> None:
    for i in range(c.size):
        plain = sub_mod(c[i], r[i])
        times_beta = sub_mod(mul_mod(c[i], beta[i]), br[i])
        bit = (v[i >> 6] >> np.uint64(i & 63)) & np.uint64(1)
        out[i] = mul_mod(half, sub_mod(plain, times_beta) if bit else times_beta)


def _how(c: Array, g: int) -> How:
    """For a shift by g: g, q, the offset of c', the same shifted, and 2^(q-g)."""
    q = 31 if c.dtype.itemsize == 4 else 61
    scalar = c.dtype.type
    return g, q, scalar(1 << q - 2), scalar(1 << q - 2 >> g), scalar(1 << q - g)


def public_part(c: Array, g: int) -> tuple[Array, Array]:
    """k = (c' >> g) - (2^(q-2) >> g) and the factor of msb(r): 2^(q-g) where msb(c') = 0, else 0; c' = c + 2^(q-2)."""
    k, wrap = np.empty_like(c), np.empty_like(c)
    _public_part(c, _how(c, g), k, wrap)
    return k, wrap


def shift(k: Array, wrap: Array, shifted: Array, msb: Array) -> Array:
    """k - [r >> g] + wrap [msb(r)], (n,)."""
    out = np.empty_like(k)
    _shift(k, wrap, shifted, msb, out)
    return out


def relu(v: Array, c: Array, g: int, own: Array, previous: Array, factors: Factors) -> Array:
    """v trunc + (1 - 2v) beta trunc, and trunc itself, as (2, n), for an opened c and a packed v.

    ``own``, ``previous``: a party's summands (5, n) of r >> g, msb, beta, beta (r >> g), beta msb. All is linear in them, so
    they are combined once for each result and not row by row.
    """
    out = np.empty((2, c.size), c.dtype)
    _relu(v, c, _how(c, g), own, previous, factors, out)
    return out


def exact_relu(v: Array, c: Array, r: Array, beta: Array, beta_r: Array) -> Array:
    """(v (c - r) + (1 - 2v) beta (c - r)) / 2, (n,); v is packed."""
    out = np.empty_like(c)
    p = (1 << (31 if c.dtype.itemsize == 4 else 61)) - 1
    _exact_relu(v, c, r, beta, beta_r, c.dtype.type((p + 1) // 2), out)
    return out
