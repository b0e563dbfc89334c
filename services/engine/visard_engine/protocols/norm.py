"""Norm bound: is a shared vector short enough for what follows?

Functionality: [e] (B, D), anything in F_p -> for each row, publicly, whether |e|^2 <= 2^(q-4) as integers; and a lookup of
functions of |e|^2, which comes with the comparisons: what was opened of the tree's root, and the upper bits of its mask.
Cost: that of ``comparisons(D)`` exact comparisons a row (D = 128, q = 31: 279), and of a disjunction.
Dealt: as so many comparisons, with one value to look up a row; and as ``rows(D)`` rows of squares to verify them.
Security: as comparison.py and disjunction.py: of a row within the bound only that it is one becomes public.
How: |e_k| <= sqrt(2^(q-4)) for every element; then no square, and no sum of seven numbers up to 2^(q-4), wraps round, so
that a tree of such sums of squares, each compared with the bound, ends with the norm itself. Squares and sums are local.
Why: what brings a vector to one length (normalise.py) must not be fed a length that has wrapped round, or the vector would be
longer than it seems and like everybody.
"""

from math import isqrt

import numpy as np
from typing_extensions import override

from visard_engine.claims import Folded, Source, Squares, Stream
from visard_engine.correlated import Dealing
from visard_engine.field import Bools, Elements, Field, Integers, Words
from visard_engine.kernels import arithmetic
from visard_engine.protocols import comparison, lookup, sizes
from visard_engine.protocols.disjunction import any_set
from visard_engine.protocols.lookup import Lookup
from visard_engine.session import Session

FAN_IN = 7  # 7 * 2^(q-4) < 2^(q-1)


def bound(q: int) -> int:
    """The largest squared norm allowed."""
    return 1 << q - 4


def comparisons(size: int) -> int:
    """Comparisons for a row: two an element, and one a node of the tree above the squares."""
    return 2 * size + sum(_widths(size))


def rows(size: int) -> int:
    """Rows of ``FAN_IN`` squares of a vector: the lowest nodes of the tree."""
    return _widths(size)[0]


def _widths(size: int) -> list[int]:
    """Nodes at each level of the tree, the lowest first; the last one is the root."""
    found = [-(-size // FAN_IN)]
    while found[-1] > 1:
        found.append(-(-found[-1] // FAN_IN))
    return found


def arrays(field: Field, n: int, size: int) -> sizes.Arrays:
    """What ``deal`` corrects."""
    return [*comparison.arrays(field, n * comparisons(size), comparison.exact(field.q)), *lookup.arrays(field, n)]


def deal(d: Dealing, n: int, size: int) -> None:
    """Deal the tests of n vectors of ``size`` elements, with what looks functions of their lengths up."""
    r = comparison.deal(d, n * comparisons(size), comparison.exact(d.field.q))
    lookup.deal(d, r.reshape(n, -1)[:, -1])


class _Bounds(Source):
    """What must not be negative of each vector: ``known`` (B, comparisons) of degree 1, minus sums of rows of squares."""

    def __init__(self, known: Elements, size: int) -> None:
        self._known = known
        self._nodes = list[
            Integers
        ]()  # for each level of the tree the place of each row's node among a vector's comparisons
        place, node = 2 * size, np.arange(rows(size))
        for width in _widths(size):
            self._nodes.append(place + node)
            place, node = place + width, node // FAN_IN

    def __repr__(self) -> str:
        return f"<_Bounds: {self._known.size} secret values>"

    @override
    def fold(self, opened: Elements, stream: Stream, into: Folded) -> None:
        field, g = stream.field, stream.elements(opened.size)
        for nodes in self._nodes:
            into.weights = field.subtract(into.weights, g.reshape(self._known.shape)[:, nodes].reshape(-1))
        known = field.subtract(self._known.reshape(-1), opened)
        into.rest = field.add(into.rest, arithmetic.products(known[None], g))


async def out_of_bounds(s: Session, e: Elements) -> tuple[Words, Lookup]:
    """For each row of (B, D), of degree 1, bits of which one is set if it is out of the bound, (2, words) in row order; and,
    if it is not, what looks up functions of how far its squared norm is below the bound.

    The bits are to be opened (``is_bounded``) once the session's claims are verified: they depend on what was opened.
    """
    size = e.shape[1]
    differences, known = await s.compute(e.size, _differences, s.field, e)
    s.claims.rows = Squares(np.pad(e, ((0, 0), (0, -size % FAN_IN))).reshape(-1, FAN_IN))
    mask = await s.compute(differences.size, comparison.read, s.kit, differences.size, comparison.exact(s.field.q))
    ones = await s.compute(len(e) << lookup.BITS, lookup.read, s.kit, len(e))
    c, negative = await comparison.is_negative(s, differences.reshape(-1), mask, _Bounds(known, size))
    roots = c.reshape(len(e), -1)[:, -1]
    return negative, Lookup(s.field, roots, ones)


async def is_bounded(s: Session, negative: Words, size: int, vectors: int) -> Bools:
    """Whether each of so many vectors of ``size`` elements is within the bound, (B,); from ``out_of_bounds``."""
    return ~await any_set(s, negative, vectors, comparisons(size))


def _differences(field: Field, e: Elements) -> tuple[Elements, Elements]:
    """What must not be negative, (B, comparisons(D)), of degree 2; and the same without the squares, of degree 1."""
    most = np.full_like(e, isqrt(bound(field.q)))
    lines, sums = [field.subtract(most, e), field.add(most, e)], field.multiply(e, e)
    parts, limits = list(lines), list(lines)
    for _ in _widths(e.shape[1]):
        sums = _sums(field, sums)
        limits.append(np.full_like(sums, bound(field.q)))
        parts.append(field.subtract(limits[-1], sums))
    return np.concatenate(parts, axis=1), np.concatenate(limits, axis=1)


def _sums(field: Field, x: Elements) -> Elements:
    """Sums of every ``FAN_IN`` neighbours of each row, mod p."""
    padded = np.pad(x, ((0, 0), (0, -x.shape[1] % FAN_IN)))
    groups = padded.astype(np.uint64).reshape(len(x), -1, FAN_IN)  # 7 * 2^61 < 2^64
    sums: Elements = (groups.sum(axis=2) % np.uint64(field.p)).astype(x.dtype)
    return sums
