"""Distance and decision: is any reference within a threshold of the probe?

Functionality: [a] (D,), [b_j] (N, D), public t -> <1 iff |a - b_j|^2 <= t for some j>; and <t - |a - b_j|^2 < 0> each.
Cost: comparison rounds + ceil(log2 N); an element sends what a comparison sends; distances are local.
Security: as comparison.py. The result stays shared: its pieces go to the caller alone.
Range: |t - distance| < 2^(q-1): signs are exact in the whole field.
"""

import numpy as np

from visard_engine.bits import invert, pack, unpack
from visard_engine.correlated import Dealing
from visard_engine.field import Elements, Words
from visard_engine.kernels import arithmetic
from visard_engine.protocols import comparison
from visard_engine.protocols.conjunction import conjunction
from visard_engine.session import Session


def deal(d: Dealing, n: int) -> None:
    """Deal n decisions."""
    comparison.deal(d, n)


def distances(probe: Elements, references: Elements) -> Elements:
    """Degree-2 shares of the squared Euclidean distances, (D,) and (N, D) to (N,): local."""
    return arithmetic.squared_distances(probe, references)


async def exceeds(s: Session, distance: Elements, threshold: int) -> Words:
    """<distance > threshold>, packed (2, words), for shares (n,) of degree at most 2."""
    mask = await s.compute(distance.size, comparison.read, s.kit, distance.size)
    limit = np.full(distance.size, s.field.element(threshold))
    _, negative = await comparison.is_negative(s, s.field.subtract(limit, distance), mask)
    return negative


async def any_within(s: Session, distance: Elements, threshold: int) -> Words:
    """<some distance <= threshold>, one bit, (2, 1)."""
    return invert(s.party, await conjunction_of_all(s, await exceeds(s, distance, threshold), distance.size))


async def conjunction_of_all(s: Session, shared: Words, n: int) -> Words:
    """AND of the first n bits of (2, words), as bit 0 of (2, 1): halves are combined, log2 n rounds."""
    bits = unpack(shared, n)
    while bits.shape[1] > 1:
        half = bits.shape[1] // 2
        both = await conjunction(s, pack(bits[:, :half]), pack(bits[:, half : 2 * half]))
        bits = np.concatenate([unpack(both, half), bits[:, 2 * half :]], axis=1)
    return pack(bits)
