"""Distance and decision: is any reference within a threshold of the probe?

Functionality: [a] (D,), [b_j] (N, D), public t -> <1 iff |a - b_j|^2 <= t for some j>; and <t - |a - b_j|^2 < 0> each.
Cost: that of an exact comparison and of a conjunction; distances are local.
Security: as comparison.py and gates.py. The result stays shared: its pieces go to the caller alone.
Range: |t - distance| < 2^(q-1): signs are exact in the whole field.
"""

import numpy as np

from visard_engine.bits import invert
from visard_engine.field import Elements, Words
from visard_engine.kernels import arithmetic
from visard_engine.protocols import comparison
from visard_engine.protocols.conjunction import conjunction_of_all
from visard_engine.protocols.minimum import Difference, Sums
from visard_engine.session import Session


async def distances(s: Session, probe: Elements, references: Elements) -> Sums:
    """The squared Euclidean distances (N,) of (D,) to each of (N, D): local; their differences are the session's squares."""
    differences, share = await s.compute(references.size, _distances, s, probe, references)
    s.claims.square(differences)
    return Sums(share, np.arange(len(share)), np.zeros_like(share))


def _distances(s: Session, probe: Elements, references: Elements) -> tuple[Elements, Elements]:
    differences = s.field.subtract(references, np.broadcast_to(probe, references.shape))
    return differences, arithmetic.row_products(differences, differences)


async def exceeds(s: Session, distance: Sums, threshold: int) -> Words:
    """<distance > threshold>, packed (2, words), for n distances."""
    count = distance.share.size
    mask = await s.compute(count, comparison.read, s.kit, count, comparison.exact(s.field.q))
    limit = np.full(count, s.field.element(threshold))
    source = Difference(s.field.subtract(limit, distance.offset), distance.rows)
    _, negative = await comparison.is_negative(s, s.field.subtract(limit, distance.share), mask, source)
    return negative


async def any_within(s: Session, distance: Sums, threshold: int) -> Words:
    """<some distance <= threshold>, one bit, (2, 1)."""
    return invert(s.party, await conjunction_of_all(s, await exceeds(s, distance, threshold), distance.share.size))
