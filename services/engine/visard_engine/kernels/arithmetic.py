"""Arithmetic mod p = 2^q - 1 on native words, generic over the field.

The width of the operands names the field (32 bits: q = 31; 64 bits: q = 61), so the same source compiles to code with
constant shifts for either. Operands are reduced (below p) and so are results. The scalar operations are LLVM
intrinsics because Numba would widen 32-bit words and has no 128-bit product.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

Array = npt.NDArray[Any]

_EXPONENT = {32: 31, 64: 61}


def _reduce_once(builder: Any, x: Any) -> Any:
    """x mod p for x < 2p: the smaller of x and x - p as unsigned words (x - p wraps round when x < p)."""
    p = ir.Constant(x.type, (1 << _EXPONENT[x.type.width]) - 1)
    y = builder.sub(x, p)
    return builder.select(builder.icmp_unsigned("<", x, y), x, y)


@intrinsic  # type: ignore[untyped-decorator]
def add_mod(typingctx: Any, a: Any, b: Any) -> Any:
    """a + b mod p."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _reduce_once(builder, builder.add(*args))

    return a(a, b), codegen


@intrinsic  # type: ignore[untyped-decorator]
def sub_mod(typingctx: Any, a: Any, b: Any) -> Any:
    """a - b mod p."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        d = builder.sub(*args)
        e = builder.add(d, ir.Constant(d.type, (1 << _EXPONENT[d.type.width]) - 1))
        return builder.select(builder.icmp_unsigned("<", d, e), d, e)

    return a(a, b), codegen


@intrinsic  # type: ignore[untyped-decorator]
def mul_mod(typingctx: Any, a: Any, b: Any) -> Any:
    """a * b mod p: the double-width product, its upper bits folded onto the lower ones."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        narrow = args[0].type
        wide = ir.IntType(2 * narrow.width)
        q = _EXPONENT[narrow.width]
        x = builder.mul(builder.zext(args[0], wide), builder.zext(args[1], wide))
        low = builder.trunc(builder.and_(x, ir.Constant(wide, (1 << q) - 1)), narrow)
        high = builder.trunc(builder.lshr(x, ir.Constant(wide, q)), narrow)
        return _reduce_once(builder, builder.add(low, high))

    return a(a, b), codegen


@intrinsic  # type: ignore[untyped-decorator]
def from_int64(typingctx: Any, x: Any, like: Any) -> Any:
    """An exact signed integer |x| < 2^53 mod p, in the storage type of ``like``."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        word = args[0].type
        narrow = args[1].type
        q = _EXPONENT[narrow.width]
        p = (1 << q) - 1
        # a multiple of p makes x positive; two folds then bring it below 2p
        y = builder.add(args[0], ir.Constant(word, p << 23 if q == 31 else p))
        for _ in range(2):
            low = builder.and_(y, ir.Constant(word, p))
            y = builder.add(low, builder.lshr(y, ir.Constant(word, q)))
        return _reduce_once(builder, builder.trunc(y, narrow) if narrow.width < 64 else y)

    if x != types.int64:
        return None
    return like(x, like), codegen


@intrinsic  # type: ignore[untyped-decorator]
def add_product(typingctx: Any, total: Any, a: Any, b: Any) -> Any:
    """total + a b mod p in a 64-bit word; of 31-bit factors reduced but partly, so that sums of 2^32 products fit."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        total, a, b = args
        if a.type.width == 64:
            wide = ir.IntType(128)
            x = builder.mul(builder.zext(a, wide), builder.zext(b, wide))
            low = builder.trunc(builder.and_(x, ir.Constant(wide, (1 << 61) - 1)), a.type)
            high = builder.trunc(builder.lshr(x, ir.Constant(wide, 61)), a.type)
            return _reduce_once(builder, builder.add(total, _reduce_once(builder, builder.add(low, high))))
        x = builder.mul(builder.zext(a, total.type), builder.zext(b, total.type))
        folded = builder.add(
            builder.and_(x, ir.Constant(x.type, (1 << 31) - 1)), builder.lshr(x, ir.Constant(x.type, 31))
        )
        return builder.add(total, folded)

    return types.uint64(types.uint64, a, b), codegen


@intrinsic  # type: ignore[untyped-decorator]
def add_four(typingctx: Any, total: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any, h: Any) -> Any:
    """total + a b + c d + e f + g h as ``add_product`` adds: four products of 31-bit factors fit one word."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        total, factors = args[0], args[1:]
        wide = ir.IntType(2 * factors[0].type.width)
        products = [
            builder.mul(builder.zext(x, wide), builder.zext(y, wide))
            for x, y in zip(factors[::2], factors[1::2], strict=True)
        ]
        q = _EXPONENT[factors[0].type.width]
        mask = ir.Constant(wide, (1 << q) - 1)
        x = builder.add(builder.add(products[0], products[1]), builder.add(products[2], products[3]))
        folded = builder.add(builder.and_(x, mask), builder.lshr(x, ir.Constant(wide, q)))
        if q == 31:
            return builder.add(total, folded)
        folded = builder.add(builder.and_(folded, mask), builder.lshr(folded, ir.Constant(wide, q)))
        return _reduce_once(builder, builder.add(total, _reduce_once(builder, builder.trunc(folded, total.type))))

    return types.uint64(types.uint64, a, b, c, d, e, f, g, h), codegen


@intrinsic  # type: ignore[untyped-decorator]
def reduced(typingctx: Any, total: Any, like: Any) -> Any:
    """A sum of products (``add_product``) mod p, in the storage type of ``like``."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        total, like = args
        if like.type.width == 64:
            return total
        rest = builder.urem(total, ir.Constant(total.type, (1 << 31) - 1))
        return builder.trunc(rest, like.type)

    return like(types.uint64, like), codegen


@intrinsic  # type: ignore[untyped-decorator]
def shr(typingctx: Any, a: Any, n: Any) -> Any:
    """a >> n without widening."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        count = context.cast(builder, args[1], signature.args[1], signature.args[0])
        return builder.lshr(args[0], count)

    return a(a, n), codegen


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _add(a: Array, b: Array, out: Array) -> None:
    for i in range(a.size):
        out[i] = add_mod(a[i], b[i])


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _subtract(a: Array, b: Array, out: Array) -> None:
    for i in range(a.size):
        out[i] = sub_mod(a[i], b[i])


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _multiply(a: Array, b: Array, out: Array) -> None:
    for i in range(a.size):
        out[i] = mul_mod(a[i], b[i])


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _scale(a: Array, factor: Any, out: Array) -> None:
    for i in range(a.size):
        out[i] = mul_mod(a[i], factor)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _mask_words(a: Array, mask: Any) -> int:
    """Keep the lowest q bits of every word; how many of the results equal p."""
    hits = 0
    for i in range(a.size):
        a[i] &= mask
        hits += a[i] == mask
    return hits


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _combine(own: Array, previous: Array, own_factor: Any, previous_factor: Any, out: Array) -> None:
    for i in range(own.size):
        out[i] = add_mod(mul_mod(own[i], own_factor), mul_mod(previous[i], previous_factor))


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def add_inner(total: Any, a: Array, b: Array) -> Any:
    """total plus the inner product of a and b (n,), as ``add_product`` adds; four quarters side by side."""
    n = a.size >> 2
    a0, a1, a2, a3 = a[:n], a[n : 2 * n], a[2 * n : 3 * n], a[3 * n : 4 * n]
    b0, b1, b2, b3 = b[:n], b[n : 2 * n], b[2 * n : 3 * n], b[3 * n : 4 * n]
    for i in range(n):
        total = add_four(total, a0[i], b0[i], a1[i], b1[i], a2[i], b2[i], a3[i], b3[i])
    for i in range(4 * n, a.size):
        total = add_product(total, a[i], b[i])
    return total


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _row_products(a: Array, b: Array, out: Array) -> None:
    for j in range(a.shape[0]):
        out[j] = reduced(add_inner(np.uint64(0), a[j], b[j]), a[0, 0])


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _products(rows: Array, vector: Array, out: Array) -> None:
    for j in range(rows.shape[0]):
        out[j] = reduced(add_inner(np.uint64(0), rows[j], vector), vector[0])


def _flat(a: Array) -> Array:
    return np.ascontiguousarray(a).reshape(-1)


def add(a: Array, b: Array) -> Array:
    """a + b mod p, elementwise on equal shapes."""
    out = np.empty(a.shape, a.dtype)
    _add(_flat(a), _flat(b), out.reshape(-1))
    return out


def subtract(a: Array, b: Array) -> Array:
    """a - b mod p, elementwise on equal shapes."""
    out = np.empty(a.shape, a.dtype)
    _subtract(_flat(a), _flat(b), out.reshape(-1))
    return out


def multiply(a: Array, b: Array) -> Array:
    """a * b mod p, elementwise on equal shapes."""
    out = np.empty(a.shape, a.dtype)
    _multiply(_flat(a), _flat(b), out.reshape(-1))
    return out


def scale(a: Array, factor: Any) -> Array:
    """a times a scalar of the same storage type, mod p."""
    out = np.empty(a.shape, a.dtype)
    _scale(_flat(a), factor, out.reshape(-1))
    return out


def mask_words(a: Array, mask: Any) -> int:
    """Clear the bits above the lowest q in place; the number of words that then equal p = mask (not an element)."""
    return int(_mask_words(a, mask))


def combine(own: Array, previous: Array, own_factor: Any, previous_factor: Any) -> Array:
    """own * own_factor + previous * previous_factor mod p, elementwise."""
    out = np.empty(own.shape, own.dtype)
    _combine(_flat(own), _flat(previous), own_factor, previous_factor, out.reshape(-1))
    return out


def products(rows: Array, vector: Array) -> Array:
    """Inner products mod p of each row of (B, n) with a vector (n,): (B,)."""
    if not vector.size:
        return np.zeros(rows.shape[0], rows.dtype)
    out = np.empty(rows.shape[0], rows.dtype)
    _products(np.ascontiguousarray(rows), np.ascontiguousarray(vector), out)
    return out


def row_products(a: Array, b: Array) -> Array:
    """Inner products mod p of each row of (R, D) with the same row of another such matrix: (R,)."""
    out = np.empty(a.shape[0], a.dtype)
    if a.size:
        _row_products(np.ascontiguousarray(a), np.ascontiguousarray(b), out)
    return out
