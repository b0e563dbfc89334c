"""Distance and decision: is any reference within a threshold of the probe?

Functionality: [a] (D,), [b_j] (N, D), all of length 2^u (normalise.py), public t -> <1 iff h_j <= t for some j>, and
<t - h_j < 0> each, for half the squared distances h_j = 2^2u - <a, b_j>: 2^2u times 1 - the cosine. Where vectors have margins
(mean.py), the bit is 1 only if none of these is negative.
Cost: that of an exact comparison of N values and the margins, and of a conjunction, with margins of one more; h is local.
Security: as comparison.py and gates.py. The result stays shared: its pieces go to the caller alone.
How: all inner products with a gallery are verified by one of length D, of a with a random combination of the rows.
Range: |t - h| < 2^(q-1): signs are exact in the whole field. A vector of no length is at h = 2^2u from all: of cosine 0.
"""

from collections.abc import Iterator

import numpy as np
from typing_extensions import override

from visard_engine.bits import invert, pack, unpack
from visard_engine.claims import Folded, Rows
from visard_engine.field import Elements, Field, Words
from visard_engine.kernels import arithmetic
from visard_engine.kernels.channels import fold_rows, summed
from visard_engine.protocols import comparison
from visard_engine.protocols.conjunction import conjunction_of_all
from visard_engine.protocols.minimum import Difference, Sums
from visard_engine.protocols.normalise import unit_bits
from visard_engine.session import Session
from visard_engine.stack import Matrix, parts_of

Gallery = Matrix  # (N, D), as one matrix or in pieces


class Distances(Rows):
    """Half the squared distances of a probe (D,) to the rows (N, D) of a gallery, all of one length."""

    def __init__(self, field: Field, probe: Elements, gallery: Gallery) -> None:
        self._field, self._probe, self._gallery = field, probe, gallery

    def __repr__(self) -> str:
        return f"<Distances: {self._gallery.size} secret values>"

    @property
    @override
    def count(self) -> int:
        return len(self._gallery)

    def share(self) -> Elements:
        """Shares (N,) of degree 2 of the distances."""
        products = np.concatenate([arithmetic.products(rows, self._probe) for rows in self._parts()])
        return self._field.subtract(np.full_like(products, _square(self._field)), products)

    @override
    def fold(self, weights: Elements, into: Folded) -> None:
        field = self._field
        into.left.append(self._probe)
        into.right.append(field.scale(self._folded(weights), -1))
        into.rest = field.add(into.rest, field.scale(summed(weights), _square(field)))

    def _folded(self, weights: Elements) -> Elements:
        """The sum (D,) of the rows times weights (N,)."""
        out, start = np.zeros(self._gallery.shape[1], weights.dtype), 0
        for rows in self._parts():
            own = weights[start : start + len(rows)]
            out, start = self._field.add(out, fold_rows(own, rows, 1)), start + len(rows)
        return out

    def _parts(self) -> Iterator[Elements]:
        return parts_of(self._gallery, slice(0, self.count))


def _square(field: Field) -> int:
    """Of the vectors' length."""
    return 1 << 2 * unit_bits(field.q)


async def distances(s: Session, probe: Elements, gallery: Gallery) -> Sums:
    """Half the squared distances (N,) of (D,) to each of (N, D), vectors of one length: local."""
    rows = Distances(s.field, probe, gallery)
    share = await s.compute(gallery.size, rows.share)
    s.claims.rows = rows
    return Sums(share, np.arange(len(share)), np.zeros_like(share))


async def exceeds(s: Session, distance: Sums, threshold: int, margins: Elements) -> Words:
    """<distance > threshold> for n distances, and behind them <margin < 0> for margins (m,) of degree 1; (2, words)."""
    count = distance.share.size + margins.size
    mask = await s.compute(count, comparison.read, s.kit, count, comparison.exact(s.field.q))
    limit = np.full(distance.share.size, s.field.element(threshold))
    source = Difference(np.concatenate([s.field.subtract(limit, distance.offset), margins]), distance.rows)
    below = np.concatenate([s.field.subtract(limit, distance.share), margins])
    _, negative = await comparison.is_negative(s, below, mask, source)
    return negative


async def any_within(s: Session, distance: Sums, threshold: int, margins: Elements) -> Words:
    """<some distance <= threshold, and no margin of (m,) is negative>, one bit, (2, 1)."""
    n, m = distance.share.size, margins.size
    negative = await exceeds(s, distance, threshold, margins)
    within = invert(s.party, await conjunction_of_all(s, negative, n))
    if not m:
        return within
    kept = unpack(invert(s.party, negative), n + m)[:, n:]
    return await conjunction_of_all(s, pack(np.concatenate([unpack(within, 1), kept], axis=1)), 1 + m)
