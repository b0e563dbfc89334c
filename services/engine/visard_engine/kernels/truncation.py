"""Kernels of truncation and of truncation with ReLU."""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from visard_engine.kernels.arithmetic import add_mod, mul_mod, shr, sub_mod

Array = npt.NDArray[Any]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _public_part(c: Array, g: int, q: int, offset: Any, shifted_offset: Any, power: Any, k: Array, wrap: Array) -> None:
    zero = sub_mod(power, power)
    for i in range(c.size):
        moved = add_mod(c[i], offset)
        k[i] = sub_mod(shr(moved, g), shifted_offset)
        wrap[i] = zero if shr(moved, q - 1) else power


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _shift(k: Array, wrap: Array, shifted: Array, msb: Array, out: Array) -> None:
    for i in range(k.size):
        out[i] = add_mod(sub_mod(k[i], shifted[i]), mul_mod(wrap[i], msb[i]))


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _relu(
    v: Array, k: Array, wrap: Array, rs: Array, msb: Array, beta: Array, brs: Array, bmsb: Array, out: Array
) -> None:
    for i in range(k.size):
        plain = add_mod(sub_mod(k[i], rs[i]), mul_mod(wrap[i], msb[i]))
        times_beta = add_mod(sub_mod(mul_mod(k[i], beta[i]), brs[i]), mul_mod(wrap[i], bmsb[i]))
        bit = (v[i >> 6] >> np.uint64(i & 63)) & np.uint64(1)
        out[i] = sub_mod(plain, times_beta) if bit else times_beta


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _exact_relu(v: Array, c: Array, r: Array, beta: Array, br: Array, half: Any, out: Array) -> None:
    for i in range(c.size):
        plain = sub_mod(c[i], r[i])
        times_beta = sub_mod(mul_mod(c[i], beta[i]), br[i])
        bit = (v[i >> 6] >> np.uint64(i & 63)) & np.uint64(1)
        out[i] = mul_mod(half, sub_mod(plain, times_beta) if bit else times_beta)


def public_part(c: Array, g: int) -> tuple[Array, Array]:
    """k = (c' >> g) - (2^(q-2) >> g) and the factor of msb(r): 2^(q-g) where msb(c') = 0, else 0; c' = c + 2^(q-2)."""
    q = 31 if c.dtype.itemsize == 4 else 61
    scalar = c.dtype.type
    k, wrap = np.empty_like(c), np.empty_like(c)
    _public_part(c, g, q, scalar(1 << q - 2), scalar(1 << q - 2 >> g), scalar(1 << q - g), k, wrap)
    return k, wrap


def shift(k: Array, wrap: Array, shifted: Array, msb: Array) -> Array:
    """k - [r >> g] + wrap [msb(r)], (n,)."""
    out = np.empty_like(k)
    _shift(k, wrap, shifted, msb, out)
    return out


def relu(v: Array, k: Array, wrap: Array, dealt: tuple[Array, Array, Array, Array, Array]) -> Array:
    """v trunc + (1 - 2v) beta trunc with the dealt shares (r >> g, msb, beta, beta (r >> g), beta msb); v is packed."""
    out = np.empty_like(k)
    _relu(v, k, wrap, *dealt, out)
    return out


def exact_relu(v: Array, c: Array, r: Array, beta: Array, beta_r: Array) -> Array:
    """(v (c - r) + (1 - 2v) beta (c - r)) / 2, (n,); v is packed."""
    out = np.empty_like(c)
    p = (1 << (31 if c.dtype.itemsize == 4 else 61)) - 1
    _exact_relu(v, c, r, beta, beta_r, c.dtype.type((p + 1) // 2), out)
    return out
