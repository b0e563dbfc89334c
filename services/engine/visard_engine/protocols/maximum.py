"""Exact ReLU, and with it the larger of two values and max-pooling.

Functionality: [[z]], |z| < 2^(q-1), -> [max(0, z)] without truncation; max(a, b) = b + ReLU(a - b).
Cost: those of an exact comparison (comparison.py), a round and a bit an element more, for each of the
ceil(log2 k) + ceil(log2 l) stages of a k x l window. Pooling is separable: rows first, then columns, so a 3 x 3 window of
stride 2 takes 4 comparisons an output spread over two passes instead of 8.
Security: as relu.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from visard_engine.bits import invert, words_for
from visard_engine.claims import Source
from visard_engine.correlated import Dealing, DealtValue, KitReader
from visard_engine.field import Elements, Field, Words
from visard_engine.kernels import bitslice
from visard_engine.kernels import truncation as kernels
from visard_engine.protocols import comparison, sizes
from visard_engine.protocols.opening import open_bits
from visard_engine.session import Session


def digits(q: int, spare: int) -> comparison.Digits:
    """Those that are compared: all, or as few as do where the lowest ``spare`` bits of the result will be dropped."""
    return comparison.above(q, spare) if spare else comparison.exact(q)


def arrays(field: Field, n: int, spare: int) -> sizes.Arrays:
    """What ``deal`` corrects."""
    return [*comparison.arrays(field, n, digits(field.q, spare)), *sizes.values(field, n, 2)]


def deal(d: Dealing, n: int, spare: int) -> Words:
    """Deal n exact ReLUs; returns the masks of their signs, packed, which the dealer may need for more."""
    r = comparison.deal(d, n, digits(d.field.q, spare))
    beta = d.random_bits(words_for(n))
    d.value(np.stack([bitslice.spread(beta, n, d.field.element(1)), bitslice.select(beta, r)]))
    return beta


@dataclass(frozen=True)
class Dealt:
    """One party's half of ``deal``."""

    mask: comparison.Mask
    beta_bits: Words
    values: DealtValue  # of two rows: beta, and beta r


def read(kit: KitReader, n: int, spare: int) -> Dealt:
    """The party's half of ``deal``."""
    mask = comparison.read(kit, n, digits(kit.field.q, spare))
    return Dealt(mask, kit.random_bits(1, n)[:, 0], kit.values(2, n))


def finish(kit: KitReader, c: Elements, v: Words, dealt: Dealt) -> Elements:
    """[max(0, z)] from the opened c = 2z + r and v = [z >= 0] ^ beta (packed)."""
    r, (beta, beta_r) = kit.share(dealt.mask.r), kit.share(dealt.values)
    return kernels.exact_relu(v, c, r, beta, beta_r)


async def exact_relu(s: Session, z: Elements, source: Source | None, spare: int = 0) -> Elements:
    """Degree-1 shares of max(0, z) from shares of z, shape (n,), as ``comparison.is_negative`` takes them.

    With ``spare`` > 0, z < 0 of a size below ``comparison.missed`` may be z instead of 0.
    """
    dealt = await s.compute(z.size, read, s.kit, z.size, spare)
    c, negative = await comparison.is_negative(s, z, dealt.mask, source)
    v = await open_bits(s, invert(s.party, negative ^ dealt.beta_bits), "sign")
    return await s.compute(z.size, finish, s.kit, c, v, dealt)


@dataclass(frozen=True)
class Pooled:
    """Largest values (B, C, H', W'), each the element of x at ``place`` plus ``offset`` of degree 1, in the shape of the share.

    ``share`` has the degree of x.
    """

    share: Elements
    offset: Elements
    place: tuple[slice, slice]

    def __repr__(self) -> str:
        return f"<Pooled: {self.share.size} secret values>"


# where differences come from, of picked places (rows and columns of x): those added, those subtracted, and
# the offset of degree 1, (B, places, C, H', W')
Picking = Callable[[Sequence[tuple[slice, slice]], Sequence[tuple[slice, slice]], Elements], Source | None]


async def max_pool(
    s: Session, x: Elements, kernel: tuple[int, int], stride: tuple[int, int], spare: int, picking: Picking
) -> Pooled:
    """Max-pooling without padding: (B, C, H, W) to (B, C, (H - kh) // sh + 1, (W - kw) // sw + 1).

    With ``spare`` > 0 elements that differ by less than ``comparison.missed`` may be taken for each other at every stage.
    """
    whole = Pooled(x, np.zeros_like(x), (slice(0, x.shape[2]), slice(0, x.shape[3])))
    narrower = await _pool_axis(s, whole, kernel[1], stride[1], 3, spare, picking)
    return await _pool_axis(s, narrower, kernel[0], stride[0], 2, spare, picking)


async def _pool_axis(
    s: Session, x: Pooled, kernel: int, stride: int, axis: int, spare: int, picking: Picking
) -> Pooled:
    """The largest of each window along one axis: pairs of window positions until one is left."""
    candidates = [_candidate(x, k, kernel, stride, axis) for k in range(kernel)]
    while len(candidates) > 1:
        half = len(candidates) // 2
        winners = await _larger(s, candidates[:half], candidates[half : 2 * half], spare, picking)
        candidates = [*winners, *candidates[2 * half :]]
    return candidates[0]


def _candidate(x: Pooled, k: int, kernel: int, stride: int, axis: int) -> Pooled:
    """Position k of each window along an axis."""
    taken = place(k, kernel, x.share.shape[axis], stride)
    index = (slice(None), slice(None), taken, slice(None)) if axis == 2 else (..., taken)
    rows, columns = x.place
    where = (taken, columns) if axis == 2 else (rows, taken)
    return Pooled(x.share[index], x.offset[index], where)


async def _larger(s: Session, a: Sequence[Pooled], b: Sequence[Pooled], spare: int, picking: Picking) -> list[Pooled]:
    """The larger one of each pair, elementwise: b + ReLU(a - b)."""
    shares, offsets = (
        s.field.subtract(*(np.stack([getattr(one, name) for one in some], axis=1) for some in (a, b)))
        for name in ("share", "offset")
    )
    source = picking([one.place for one in a], [one.place for one in b], offsets)
    more = (await exact_relu(s, shares.reshape(-1), source, spare)).reshape(shares.shape)
    parts = [np.ascontiguousarray(more[:, k]) for k in range(len(b))]
    return [
        Pooled(s.field.add(one.share, part), s.field.add(one.offset, part), one.place)
        for one, part in zip(b, parts, strict=True)
    ]


def place(k: int, kernel: int, length: int, stride: int) -> slice:
    """Where position k of each window lies along an axis of this length."""
    size = (length - kernel) // stride + 1
    return slice(k, k + stride * (size - 1) + 1, stride)


def last_place(shape: tuple[int, ...], kernel: tuple[int, int], stride: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of a picture (C, H, W) from which ``max_pool``'s results differ by what is known with degree 1."""
    rows, columns = (place(k - 1, k, length, step) for k, length, step in zip(kernel, shape[1:], stride, strict=True))
    return rows, columns


def windows(x: Elements, kernel: int, stride: int, axis: int) -> list[Elements]:
    """For each position in the window, the slice of x that stands there; each has the pooled size along the axis."""
    taken = (place(k, kernel, x.shape[axis], stride) for k in range(kernel))
    return [np.ascontiguousarray(x[(*(slice(None),) * axis, one)]) for one in taken]


def pool_comparisons(shape: tuple[int, ...], kernel: tuple[int, int], stride: tuple[int, int]) -> list[int]:
    """Elements compared in each stage of ``max_pool`` on (B, C, H, W): what the dealer must provide."""
    stages, sizes = [], list(shape)
    for axis, k, step in ((3, kernel[1], stride[1]), (2, kernel[0], stride[0])):
        sizes[axis] = (sizes[axis] - k) // step + 1
        left = k
        while left > 1:
            stages.append(left // 2 * int(np.prod(sizes)))
            left -= left // 2
    return stages
