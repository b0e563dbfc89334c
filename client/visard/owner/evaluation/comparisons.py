"""All comparisons of a set of photos: every two of one person, and every two of different people. Pure: arrays in, arrays out.

Where no photo stands on both sides of a list (probes against references), only probes are compared with references; otherwise
every photo is compared with every other. Terms are those of ISO/IEC 19795-1: a comparison is mated (genuine) or not (impostor).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from visard.owner.evaluation.sphere import FARTHEST, distances

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.int64]

BINS = 2000  # of the histogram of impostor distances, over 0 to 2
LOOSEST = 0.01  # impostors are kept one by one up to the distance that so many lie within, or farther if asked
_BLOCK, _CHUNK = 512, 4096


@dataclass(frozen=True)
class Side:
    """Some comparisons: distances (N,) ascending, and the people on both sides (N,) by number."""

    distances: Floats
    first: Numbers
    second: Numbers

    def of(self, chosen: Bools) -> "Side":
        """Those chosen (N,)."""
        return Side(self.distances[chosen], self.first[chosen], self.second[chosen])

    def within(self, distance: float) -> int:
        """How many lie at or below a distance."""
        return int(np.searchsorted(self.distances, distance, side="right"))

    def drawn(self, drawn: Numbers, count: int | None = None) -> Numbers:
        """The first ``count``, each as often as both of its people are drawn (R, P): a sum for each row."""
        found, stop = np.zeros(len(drawn), np.int64), len(self.distances) if count is None else count
        for start in range(0, stop, _CHUNK):
            part = slice(start, min(start + _CHUNK, stop))
            found += (drawn[:, self.first[part]] * drawn[:, self.second[part]]).sum(axis=1)
        return found


@dataclass(frozen=True)
class Comparisons:
    """What all comparisons of P people came to.

    ``near`` are the impostors within ``reach``; how many there are in all, and how many of any choice of people, follows from
    ``images`` (3, P): photos of each person that are only probes, only references, and both. ``farther`` (BINS,) is the
    histogram of all impostor distances. ``listed``: somebody chose the pairs, and ``near`` has every impostor.
    """

    genuine: Side
    near: Side
    images: Numbers
    farther: Numbers
    reach: float
    listed: bool = False

    @property
    def people(self) -> int:
        """How many people there are photos of."""
        return int((self.images.sum(axis=0) > 0).sum())

    @cached_property
    def impostors(self) -> int:
        """Comparisons of different people."""
        return int(self.impostors_of(np.ones((1, self.images.shape[1]), np.int64))[0])

    def impostors_of(self, drawn: Numbers) -> Numbers:
        """Comparisons of different people where person p was drawn (R, P) times, for each row; nobody with a copy of himself."""
        if self.listed:
            return self.near.drawn(drawn)
        found = np.zeros(len(drawn), np.int64)
        probes, references, both = self.images
        # all pairs of photos, less those of two probes and of two references
        for counts, sign in ((probes + references + both, 1), (probes, -1), (references, -1)):
            weighed = drawn * counts
            found += sign * (weighed.sum(axis=1) ** 2 - (weighed**2).sum(axis=1)) // 2
        return found

    def of(self, people: Bools) -> "Comparisons":
        """The comparisons among some people (P,) only; the histogram stays that of all."""
        genuine, near = (side.of(people[side.first] & people[side.second]) for side in (self.genuine, self.near))
        return replace(self, genuine=genuine, near=near, images=self.images * people)

    def touching(self, people: Bools) -> tuple[Side, int]:
        """Impostors within reach of whom at least one is among some people (P,); and how many there are in all."""
        near = self.near.of(people[self.near.first] | people[self.near.second])
        return near, self.impostors - self.of(~people).impostors


def numbered(people: Sequence[str]) -> tuple[list[str], Numbers]:
    """Names in order, and the number of each photo's."""
    names, numbers = np.unique(np.array(people), return_inverse=True)
    return names.tolist(), np.asarray(numbers, np.int64)


def compare(
    vectors: Floats, person: Numbers, first: Bools, second: Bools, *, farthest: float = 0.0, people: int = 0
) -> Comparisons:
    """Compare unit vectors (N, D), of person (N,) each, that may be probes and references (N,).

    Impostors are kept one by one as far as LOOSEST of them, or ``farthest``. ``people``: P, if larger than the vectors say.
    """
    sides = sides_of(first, second)
    farther = np.zeros(BINS, np.int64)
    for found, _, _ in _blocks(vectors, person, *sides, same=False):
        farther += np.histogram(found, BINS, (0.0, FARTHEST))[0]
    rates = np.cumsum(farther) / max(int(farther.sum()), 1)
    bins = int(np.searchsorted(rates, LOOSEST)) + 1
    reach = max(bins * FARTHEST / BINS, farthest)
    near = _collected(vectors, person, *sides, same=False, reach=reach)
    genuine = _collected(vectors, person, *sides, same=True, reach=np.inf)
    return Comparisons(genuine, near, counted(person, *sides, people), farther, reach)


def sides_of(first: Bools, second: Bools) -> tuple[Bools, Bools]:
    """Which photos (N,) are probes, and which are references: all are both where any is."""
    if not (first & second).any():
        return first, second
    return np.ones(len(first), np.bool_), np.ones(len(first), np.bool_)


def counted(person: Numbers, probes: Bools, references: Bools, people: int = 0) -> Numbers:
    """Photos (3, P) of each person that are only probes, only references, and both."""
    kinds = [probes & ~references, references & ~probes, probes & references]
    count = max(people, int(person.max()) + 1)
    return np.stack([np.bincount(person[kind], minlength=count) for kind in kinds])


def genuine_among(images: Numbers) -> int:
    """How many comparisons of one person the photos counted (3, P) make."""
    probes, references, both = images
    parts = ((probes + references + both, 1), (probes, -1), (references, -1))
    return int(sum(sign * (counts * (counts - 1) // 2).sum() for counts, sign in parts))


def from_pairs(scores: Floats, same: Bools, first: Numbers, second: Numbers, people: int) -> Comparisons:
    """Only the pairs of a list: scores and kinds (N,), and which of the people stand on both sides (N,)."""
    order = np.argsort(scores, kind="stable")
    side = Side(scores[order], first[order], second[order])
    images = np.zeros((3, people), np.int64)
    images[2] = np.bincount(np.concatenate([first, second]), minlength=people)
    farther = np.histogram(scores[~same], BINS, (0.0, FARTHEST))[0].astype(np.int64)
    return Comparisons(side.of(same[order]), side.of(~same[order]), images, farther, np.inf, listed=True)


def _blocks(
    vectors: Floats, person: Numbers, probes: Bools, references: Bools, *, same: bool
) -> Iterator[tuple[Floats, Numbers, Numbers]]:
    """Distances and both rows of comparisons of one kind, each once, a block of rows at a time."""
    rows = np.arange(len(person))
    for start in range(0, len(person), _BLOCK):
        block = rows[start : start + _BLOCK]
        allowed = probes[block, None] & references[None] | references[block, None] & probes[None]
        chosen = allowed & ((person[block, None] == person[None]) == same) & (block[:, None] < rows[None])
        i, j = np.nonzero(chosen)
        yield distances(vectors[block] @ vectors.T)[i, j], block[i], j


def _collected(vectors: Floats, person: Numbers, probes: Bools, references: Bools, *, same: bool, reach: float) -> Side:
    parts = []
    for found, i, j in _blocks(vectors, person, probes, references, same=same):
        kept = found <= reach
        parts.append((found[kept], person[i[kept]], person[j[kept]]))
    found, i, j = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(found, kind="stable")
    return Side(found[order], i[order], j[order])
