"""Claims: what a run has used as the value of a product that the parties made locally, and that is still to be verified.

A product of two sharings of degree 1 has degree 2: three shares define it and none is left over to tell a wrong one. It is
opened masked, c = 2z + r, and from then on the run works with the degree-1 sharing (c - [r]) / 2 that this fixes. That it
holds z is a claim. All claims of a session are verified at its end, at once (visard_engine.protocols.verification).
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from typing_extensions import override

from visard_engine.field import Elements, Field
from visard_engine.prf import Prf


class Stream:
    """Public random numbers that nobody knew while what they test was opened."""

    def __init__(self, field: Field, key: bytes) -> None:
        self.field = field
        self._prf = Prf(key)
        self._label = 0

    def elements(self, n: int) -> Elements:
        """The next n uniform elements."""
        self._label += 1
        return self._prf.elements(self._label, n, self.field)


@dataclass
class Folded:
    """A public random combination of claims: the inner product of two shared vectors, what rows of squares count for, the rest.

    It says that the inner product of left and right, plus for each row its weight times the sum of its squares, plus ``rest``
    is zero. ``left``, ``right``: lists of vectors of degree 1, pairwise of one length; ``rest`` (1,) a share of degree 1.
    """

    rest: Elements
    weights: Elements  # (count,), of the session's rows; in the end of those that are verified as they are
    left: list[Elements] = field(default_factory=list)
    right: list[Elements] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"<Folded: {sum(part.size for part in self.left)} secret pairs>"


class Source(ABC):
    """Where an opened value came from, as linear in products of what the parties hold with degree 1."""

    @abstractmethod
    def fold(self, opened: Elements, stream: Stream, into: Folded) -> None:
        """Add a random combination of "the source's values minus ``opened`` (n,) are zero"."""

    def fold_each(self, opened: Elements, stream: Stream, into: Sequence[Folded]) -> None:
        """``fold`` into each of several, with random numbers of their own."""
        for one in into:
            self.fold(opened, stream, one)


class Rows(ABC):
    """Products of degree 2 that claims speak of by their number."""

    @property
    @abstractmethod
    def count(self) -> int:
        """How many there are."""

    @abstractmethod
    def fold(self, weights: Elements, into: Folded) -> None:
        """Add the products, each times its weight (count,)."""


class Squares(Rows):
    """The sums of squares of the rows (R, D) of a matrix of degree 1: verified as they are, a masked row each."""

    def __init__(self, matrix: Elements) -> None:
        self.matrix = matrix

    def __repr__(self) -> str:
        return f"<Squares: {self.matrix.size} secret values>"

    @property
    @override
    def count(self) -> int:
        return len(self.matrix)

    @override
    def fold(self, weights: Elements, into: Folded) -> None:
        into.weights = weights


class Claims:
    """The claims of a session, and the products by number that they may speak of."""

    def __init__(self) -> None:
        self._claims: list[tuple[Source, Elements]] = []
        self.rows: Rows | None = None

    def __repr__(self) -> str:
        return f"<Claims: {len(self._claims)}>"

    def add(self, source: Source, opened: Elements) -> None:
        """``opened``, degree-1 shares (n,), was used as the source's values."""
        self._claims.append((source, opened))

    def fold(self, field: Field, stream: Stream, times: int) -> list[Folded]:
        """All claims in so many random combinations."""
        rows = self.rows
        found = [
            Folded(field.encode([0]), np.zeros(0 if rows is None else rows.count, field.dtype)) for _ in range(times)
        ]
        for source, opened in self._claims:
            source.fold_each(opened, stream, found)
        if rows is not None:
            for into in found:
                weights, into.weights = into.weights, np.zeros(0, field.dtype)
                rows.fold(weights, into)
        return found
