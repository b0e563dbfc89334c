"""Distance and decision: is any reference within a threshold of the probe?

Functionality: [a] (D,), [b_j] (N, D), the squared norms of all of them, public t -> <1 iff |a - b_j|^2 <= t for some j>; and
<t - |a - b_j|^2 < 0> each.
Cost: that of an exact comparison and of a conjunction; distances are local.
Security: as comparison.py and gates.py. The result stays shared: its pieces go to the caller alone.
How: |a - b|^2 = |a|^2 + |b|^2 - 2 <a, b>, where the norms are known with degree 1 (norm.py): so all distances to a gallery
are verified by one inner product of length D, of a with a random combination of the rows.
Range: |t - distance| < 2^(q-1): signs are exact in the whole field.
"""

import numpy as np
from typing_extensions import override

from visard_engine.bits import invert
from visard_engine.claims import Folded, Rows
from visard_engine.field import Elements, Field, Words
from visard_engine.kernels import arithmetic
from visard_engine.kernels.channels import fold_rows, summed
from visard_engine.protocols import comparison
from visard_engine.protocols.conjunction import conjunction_of_all
from visard_engine.protocols.minimum import Difference, Sums
from visard_engine.session import Session


class Distances(Rows):
    """Squared distances of a probe (D + 1,) to the rows (N, D + 1) of a gallery: each vector's last element is its squared
    norm."""

    def __init__(self, field: Field, probe: Elements, gallery: Elements) -> None:
        self._field, self._probe, self._gallery = field, probe, gallery

    def __repr__(self) -> str:
        return f"<Distances: {self._gallery.size} secret values>"

    @property
    @override
    def count(self) -> int:
        return len(self._gallery)

    def share(self) -> Elements:
        """Shares (N,) of degree 2 of the distances."""
        field, norms = self._field, self._gallery[:, -1]
        products = arithmetic.products(self._gallery[:, :-1], self._probe[:-1])
        known = field.add(np.ascontiguousarray(norms), np.repeat(self._probe[-1:], len(norms)))
        return field.subtract(known, field.add(products, products))

    @override
    def fold(self, weights: Elements, into: Folded) -> None:
        field = self._field
        rows = fold_rows(weights, self._gallery, 1)  # the last element is the sum of the norms
        into.left.append(self._probe[:-1])
        into.right.append(field.scale(rows[:-1], -2))
        probes = field.multiply(summed(weights), self._probe[-1:])
        into.rest = field.add(into.rest, field.add(rows[-1:], probes))


async def distances(s: Session, probe: Elements, gallery: Elements) -> Sums:
    """The squared Euclidean distances (N,) of (D + 1,) to each of (N, D + 1), vectors with their squared norms: local."""
    rows = Distances(s.field, probe, gallery)
    share = await s.compute(gallery.size, rows.share)
    s.claims.rows = rows
    return Sums(share, np.arange(len(share)), np.zeros_like(share))


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
