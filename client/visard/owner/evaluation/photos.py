"""A set of photos as a network sees it: captured, described on the unit sphere, and every comparison of them."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from visard.owner.evaluation import intervals
from visard.owner.evaluation.comparisons import Bools, Comparisons, Numbers, compare, counted, numbered, sides_of
from visard.owner.evaluation.embed import Advance, Captured
from visard.owner.evaluation.metrics import Estimate
from visard.owner.evaluation.sphere import Floats, MeanTest


class Bar(Protocol):
    """Opens a progress bar for a stage of so many steps; what it gives is called once a step."""

    def __call__(self, what: str, total: int) -> AbstractContextManager[Advance]:
        """A bar, open as long as the context."""


@dataclass
class Photos:
    """Images (path and person each), what was captured, and which may be probes (first) and references (second), (N,) each."""

    images: Sequence[Path]
    people: Sequence[str]
    captured: Captured
    first: Bools
    second: Bools

    @cached_property
    def names(self) -> list[str]:
        """P people, in order."""
        return numbered(self.people)[0]

    @cached_property
    def person(self) -> Numbers:
        """The number of each image's person, (N,)."""
        return numbered(self.people)[1]

    @cached_property
    def drawn(self) -> Numbers:
        """How often each person is drawn, for intervals."""
        return intervals.draws(len(self.names))

    @property
    def attempted(self) -> Numbers:
        """Photos of each person (3, P), captured or not."""
        return counted(self.person, *sides_of(self.first, self.second))

    def rows(self) -> Numbers:
        """Images that have a picture."""
        return np.array(self.captured.rows)

    def compare(self, vectors: dict[int, Floats], farthest: float) -> Comparisons:
        """All comparisons of what was captured."""
        rows = self.rows()
        sides = sides_of(self.first, self.second)
        return compare(
            np.stack([vectors[row] for row in rows.tolist()]),
            self.person[rows],
            *(side[rows] for side in sides),
            farthest=farthest,
            people=len(self.names),
        )

    def refused(self, vectors: dict[int, Floats], test: MeanTest) -> tuple[dict[int, Floats], Estimate]:
        """Vectors without those that the mean test refuses, which become zeros and match nobody; and the share of these."""
        rows = self.rows()
        beyond = np.stack([vectors[row] for row in rows.tolist()]) @ test.mean > test.limit
        left = {row: vectors[row] * (not far) for row, far in zip(rows.tolist(), beyond.tolist(), strict=True)}
        gone, all_of = (np.bincount(self.person[some], minlength=len(self.names)) for some in (rows[beyond], rows))
        return left, intervals.by_person(gone, all_of, self.drawn)


def everything(images: Sequence[Path], people: Sequence[str], captured: Captured) -> Photos:
    """A set of photos of which each may be both."""
    every = np.ones(len(images), np.bool_)
    return Photos(images, people, captured, every, every)


def listed(
    images: Sequence[Path], people: Sequence[str], captured: Captured, first: Numbers, second: Numbers
) -> Photos:
    """The photos of a list of pairs, by number on both sides."""
    rows = np.arange(len(images))
    return Photos(images, people, captured, np.isin(rows, first), np.isin(rows, second))
