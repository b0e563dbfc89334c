"""Descriptors on the unit sphere: normalised before anything is compared; distances, and the cosines beside them.

Of two unit vectors the Euclidean distance is sqrt(2 - 2 cos), from 0 to 2, so both order pairs alike.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

FARTHEST = 2.0


def unit(vectors: Floats) -> Floats:
    """Vectors (..., D) brought to length one; one of zeros stays, and is sqrt(2) from everything in products."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1.0), np.float64)


def distances(products: Floats) -> Floats:
    """From inner products of unit vectors."""
    return np.sqrt(np.clip(2.0 - 2.0 * products, 0.0, FARTHEST**2))


def cosine(distance: float) -> float:
    """Of a distance on the sphere."""
    return 1.0 - distance * distance / 2.0


def distance(cosine: float) -> float:
    """Of a cosine."""
    return math.sqrt(2.0 - 2.0 * cosine)


@dataclass(frozen=True)
class MeanTest:
    """A public unit vector (D,): what has a cosine with it above the limit is refused."""

    mean: Floats
    limit: float
