"""Exact ReLU, and with it the larger of two values and max-pooling.

Functionality: [[z]], |z| < 2^(q-1), -> [max(0, z)] without truncation; max(a, b) = b + ReLU(a - b).
Cost: as relu.py, for each of the ceil(log2 k) + ceil(log2 l) stages of a k x l window. Pooling is separable: rows first,
then columns, so a 3 x 3 window of stride 2 takes 4 comparisons an output spread over two passes instead of 8.
Security: as relu.py.
"""

from dataclasses import dataclass

import numpy as np

from visard_engine.bits import invert, words_for
from visard_engine.correlated import Dealing, DealtValue, KitReader
from visard_engine.field import Elements, Words
from visard_engine.kernels import bitslice
from visard_engine.kernels import truncation as kernels
from visard_engine.protocols import comparison
from visard_engine.protocols.opening import open_bits
from visard_engine.session import Session


def deal(d: Dealing, n: int) -> None:
    """Deal n exact ReLUs."""
    r = comparison.deal(d, n)
    beta = d.random_bits(words_for(n))
    d.value(bitslice.spread(beta, n, d.field.element(1)))
    d.value(bitslice.select(beta, r))


@dataclass(frozen=True)
class Dealt:
    """One party's half of ``deal``."""

    mask: comparison.Mask
    beta_bits: Words
    beta: DealtValue
    beta_r: DealtValue


def read(kit: KitReader, n: int) -> Dealt:
    """The party's half of ``deal``."""
    return Dealt(comparison.read(kit, n), kit.random_bits(n), kit.value(n), kit.value(n))


def finish(kit: KitReader, c: Elements, v: Words, dealt: Dealt) -> Elements:
    """[max(0, z)] from the opened c = 2z + r and v = [z >= 0] ^ beta (packed)."""
    r, beta, beta_r = (kit.share(value) for value in (dealt.mask.r, dealt.beta, dealt.beta_r))
    return kernels.exact_relu(v, c, r, beta, beta_r)


async def exact_relu(s: Session, z: Elements) -> Elements:
    """Degree-1 shares of max(0, z) from degree-1 or degree-2 shares of z, shape (n,)."""
    dealt = await s.compute(z.size, read, s.kit, z.size)
    c, negative = await comparison.is_negative(s, z, dealt.mask)
    v = await open_bits(s, invert(s.party, negative ^ dealt.beta_bits))
    return await s.compute(z.size, finish, s.kit, c, v, dealt)


async def maximum(s: Session, a: Elements, b: Elements) -> Elements:
    """Shares of the larger, elementwise; any shape; the degree is that of the inputs."""
    larger = await exact_relu(s, s.field.subtract(a, b).reshape(-1))
    return s.field.add(b, larger.reshape(b.shape))


async def max_pool(s: Session, x: Elements, kernel: tuple[int, int], stride: tuple[int, int]) -> Elements:
    """Max-pooling without padding: (B, C, H, W) to (B, C, (H - kh) // sh + 1, (W - kw) // sw + 1)."""
    rows = await _pool_axis(s, x, kernel[1], stride[1], 3)
    return await _pool_axis(s, rows, kernel[0], stride[0], 2)


async def _pool_axis(s: Session, x: Elements, kernel: int, stride: int, axis: int) -> Elements:
    """The largest of each window along one axis: pairs of window positions until one is left."""
    candidates = windows(x, kernel, stride, axis)
    while len(candidates) > 1:
        half = len(candidates) // 2
        a, b = np.stack(candidates[:half]), np.stack(candidates[half : 2 * half])
        candidates = [*(await maximum(s, a, b)), *candidates[2 * half :]]
    return candidates[0]


def windows(x: Elements, kernel: int, stride: int, axis: int) -> list[Elements]:
    """For each position in the window, the slice of x that stands there; each has the pooled size along the axis."""
    size = (x.shape[axis] - kernel) // stride + 1
    return [np.take(x, range(k, k + stride * (size - 1) + 1, stride), axis=axis) for k in range(kernel)]


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
