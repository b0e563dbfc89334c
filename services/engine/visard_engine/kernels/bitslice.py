"""Kernels on bit planes: transposition of words to planes, digit monomials, and the leaves of a comparison."""

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from visard_engine.kernels.arithmetic import sub_mod

Array = npt.NDArray[Any]

DIGIT_BITS = 4  # 15 dealt bits a digit; measured best in a data centre, see docs/performance.md
_BLOCK = 256  # words of a plane treated at a time, so that the products of one digit stay in the first cache


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _transpose(x: Array, low: int, planes: Array) -> None:
    full = x.size // 64
    for w in range(full):
        block = x[64 * w : 64 * w + 64]
        for b in range(planes.shape[0]):
            word = np.uint64(0)
            for j in range(64):
                word |= ((np.uint64(block[j]) >> np.uint64(low + b)) & np.uint64(1)) << np.uint64(j)
            planes[b, w] = word
    if x.size % 64:
        for b in range(planes.shape[0]):
            word = np.uint64(0)
            for j in range(x.size - 64 * full):
                word |= ((np.uint64(x[64 * full + j]) >> np.uint64(low + b)) & np.uint64(1)) << np.uint64(j)
            planes[b, full] = word


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _monomials(planes: Array, lows: Array, widths: Array, out: Array) -> None:
    row = 0
    for d in range(lows.size):
        for m in range(1, 1 << widths[d]):
            lowest = 0
            while not (m >> lowest) & 1:
                lowest += 1
            rest = m & (m - 1)
            for w in range(planes.shape[1]):
                bit = planes[lows[d] + lowest, w]
                out[row + m - 1, w] = bit & out[row + rest - 1, w] if rest else bit
        row += (1 << widths[d]) - 1


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _leaves(c: Array, mono: Array, lows: Array, widths: Array, public: int, lt: Array, eq: Array) -> None:
    words = c.shape[1]
    products = np.empty((1 << DIGIT_BITS, _BLOCK), np.uint64)
    for start in range(0, words, _BLOCK):
        size = min(_BLOCK, words - start)
        row = 0
        for d in range(lows.size):
            full = (1 << widths[d]) - 1
            products[0, :size] = ~np.uint64(0)
            for s in range(1, full + 1):  # products[s]: all bits of c in s are 0
                low = 0
                while not (s >> low) & 1:
                    low += 1
                for w in range(size):
                    products[s, w] = products[s & (s - 1), w] & ~c[lows[d] + low, start + w]
            for piece in range(2):
                for w in range(size):
                    lt[piece, d, start + w] = 0
                    eq[piece, d, start + w] = products[full, w] if piece == public else np.uint64(0)
                for m in range(1, full + 1):
                    low = 0
                    while not (m >> low) & 1:
                        low += 1
                    below = (1 << low) - 1
                    for w in range(size):
                        bit = mono[piece, row + m - 1, start + w]
                        # c = d needs zeros of c where m has none; c < d also frees the bits below the first one of m
                        eq[piece, d, start + w] ^= products[full ^ m, w] & bit
                        lt[piece, d, start + w] ^= products[((full ^ m) & ~below) | (1 << low), w] & bit
            row += full


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _products(m: Array, dealt: Array, rest: Array, row: Array, output: Array, public: int, out: Array) -> None:
    words = m.shape[1]
    product = np.empty(_BLOCK, np.uint64)
    for start in range(0, words, _BLOCK):
        size = min(_BLOCK, words - start)
        for t in range(rest.size):
            product[:size] = ~np.uint64(0)
            for i in range(m.shape[0]):
                if (rest[t] >> i) & 1:
                    for w in range(size):
                        product[w] &= m[i, start + w]
            for piece in range(2):
                if row[t] >= 0:
                    for w in range(size):
                        out[piece, output[t], start + w] ^= product[w] & dealt[piece, row[t], start + w]
                elif piece == public:
                    for w in range(size):
                        out[piece, output[t], start + w] ^= product[w]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _spread(words: Array, factor: Any, out: Array) -> None:
    """out[i] = factor where bit i is set, else 0."""
    zero = sub_mod(factor, factor)
    for i in range(out.size):
        bit = (words[i >> 6] >> np.uint64(i & 63)) & np.uint64(1)
        out[i] = factor if bit else zero


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _select(words: Array, x: Array, out: Array) -> None:
    """out[i] = x[i] where bit i is set, else 0."""
    zero = sub_mod(x[0], x[0])
    for i in range(out.size):
        bit = (words[i >> 6] >> np.uint64(i & 63)) & np.uint64(1)
        out[i] = x[i] if bit else zero


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _append(part: Array, n: int, offset: int, out: Array) -> None:
    first, shift = offset >> 6, np.uint64(offset & 63)
    last = part.shape[1] - 1
    kept = ~np.uint64(0) >> np.uint64(64 * (last + 1) - n)  # of the last word
    for row in range(part.shape[0]):
        for w in range(last + 1):
            word = part[row, w] & kept if w == last else part[row, w]
            out[row, first + w] |= word << shift
            if shift and first + w + 1 < out.shape[1]:
                out[row, first + w + 1] |= word >> (np.uint64(64) - shift)


@cache
def digits(q: int, count: int) -> tuple[Array, Array]:
    """Lowest bit and width of each of the ``count`` highest digits of a q-bit number, lowest digit first.

    They are counted from the top, so that a digit of fewer bits is the lowest one.
    """
    highs = np.arange(q, q - DIGIT_BITS * count, -DIGIT_BITS)[::-1]
    lows = np.maximum(highs - DIGIT_BITS, 0)
    return lows, highs - lows


def digits_of(q: int) -> int:
    """Digits of a q-bit number."""
    return -(-q // DIGIT_BITS)


def monomial_rows(q: int, count: int) -> int:
    """Dealt bits a compared number: all monomials of each of its ``count`` highest digits."""
    return int(sum((1 << int(w)) - 1 for w in digits(q, count)[1]))


def transpose(x: Array, low: int, high: int) -> Array:
    """Bits low to high - 1 of words (n,) as planes (high - low, ceil(n / 64)); the bits beyond n are zero."""
    planes = np.empty((high - low, -(-x.size // 64)), np.uint64)
    _transpose(x, low, planes)
    return planes


def monomials(x: Array, q: int, count: int) -> Array:
    """Words (n,) of q bits to the products of every non-empty set of bits of each of their ``count`` highest digits.

    Shape (rows, ceil(n / 64)).
    """
    lows, widths = digits(q, count)
    planes = transpose(x, int(lows[0]), q)
    out = np.empty((monomial_rows(q, count), planes.shape[1]), np.uint64)
    _monomials(planes, lows - lows[0], widths, out)
    return out


def leaves(c: Array, q: int, count: int, mono: Array, public: int) -> tuple[Array, Array]:
    """Shares of [c < d] and [c = d] for each of the ``count`` highest digits, each (2, digits, words), without a message.

    ``c`` (n,) are public words of q bits, ``mono`` (2, rows, words) the dealt monomials, ``public`` the index of the piece
    that takes public constants (neither piece when it is 2).
    """
    lows, widths = digits(q, count)
    planes = transpose(c, int(lows[0]), q)
    lt = np.empty((2, lows.size, planes.shape[1]), np.uint64)
    eq = np.empty_like(lt)
    _leaves(planes, mono, lows - lows[0], widths, public, lt, eq)
    return lt, eq


def products(m: Array, dealt: Array, terms: tuple[Array, Array, Array], outputs: int, public: int) -> Array:
    """For each output the XOR of its terms, (2, outputs, words): see visard_engine.protocols.gates.

    ``m`` (inputs, words) is public, ``dealt`` (2, rows, words) are masks and their products.
    """
    out = np.zeros((2, outputs, m.shape[1]), np.uint64)
    _products(np.ascontiguousarray(m), dealt, *terms, public, out)
    return out


def join(parts: list[Array], n: int) -> Array:
    """Rows of n packed bits each, (..., words), one part's bits after another's: (..., words of all bits)."""
    if n % 64 == 0:
        return np.concatenate(parts, axis=-1)
    out = np.zeros((*parts[0].shape[:-1], -(-n * len(parts) // 64)), np.uint64)
    for k, part in enumerate(parts):
        _append(part.reshape(-1, part.shape[-1]), n, k * n, out.reshape(-1, out.shape[-1]))
    return out


def spread(words: Array, n: int, factor: Any) -> Array:
    """Packed bits to n elements: ``factor`` (a field scalar) where the bit is set, else 0."""
    out = np.empty(n, factor.dtype)
    _spread(words, factor, out)
    return out


def select(words: Array, x: Array) -> Array:
    """x where the packed bit is set, else 0; shape (n,)."""
    out = np.empty_like(x)
    _select(words, x, out)
    return out
