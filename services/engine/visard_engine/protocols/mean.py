"""Mean test: is a descriptor too much like the mean of all?

Functionality: [y] (T, D) of length ``normalise.unit_bits``, a public vector and limit -> for each row, shared or, by
``matching.resembles_mean``, to the parties, whether <y, mean> > limit.
Cost: local, but for an exact comparison a row, which goes with those of the distances.
Security: as comparison.py.
Why: an image that is made to pass as many people is like all of them, and so like their mean; a photo of somebody is less so.
Range: |limit - <y, mean>| < 2^(q-1) by far: the vector has length 2^14, y length 2^12 (q = 31) or 2^24 (q = 61).
"""

from dataclasses import dataclass

import numpy as np

from visard_engine.field import Elements, Field
from visard_engine.kernels import arithmetic

VECTOR_BITS = 14  # length one of the mean is the integer 2^14


@dataclass(frozen=True)
class Mean:
    """A public vector (D,) of length 2^VECTOR_BITS, and the largest inner product with it that a descriptor may have."""

    vector: tuple[int, ...]
    limit: int

    def margins(self, field: Field, descriptors: Elements) -> Elements:
        """Degree-1 shares (T,) of what must not be negative of descriptors (T, D): the limit less the inner product."""
        likeness = arithmetic.products(descriptors, field.encode(self.vector))
        return field.subtract(np.full_like(likeness, field.element(self.limit)), likeness)


def margins(field: Field, descriptors: Elements, mean: Mean | None) -> Elements:
    """Those of a model's mean, if it has one; else none (0,)."""
    return descriptors[:0, 0] if mean is None else mean.margins(field, descriptors)
