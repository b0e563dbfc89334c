"""Norm bound: is a shared vector short enough for what follows?

Functionality: [e] (B, D), anything in F_p -> for each row, publicly, whether |e|^2 <= 2^(q-4) as integers.
Cost: that of ``comparisons(D)`` exact comparisons a row (D = 128, q = 31: 279), and of a disjunction.
Dealt: as so many comparisons, and as ``rows(D)`` rows of squares to verify them.
Security: as comparison.py and disjunction.py: of a row within the bound only that it is one becomes public.
How: |e_k| <= sqrt(2^(q-4)) for every element; then no square, and no sum of seven numbers up to 2^(q-4), wraps round, so
that a tree of such sums of squares, each compared with the bound, ends with the norm itself. Squares and sums are local.
Why: two vectors within the bound are at a squared distance of at most 2^(q-2): it cannot wrap round and look small.
"""

from math import isqrt

import numpy as np
from typing_extensions import override

from visard_engine.claims import Folded, Source, Stream
from visard_engine.field import Bools, Elements, Field, Words
from visard_engine.kernels import arithmetic
from visard_engine.protocols import comparison
from visard_engine.protocols.disjunction import any_set
from visard_engine.session import Session

FAN_IN = 7  # 7 * 2^(q-4) < 2^(q-1)


def bound(q: int) -> int:
    """The largest squared norm allowed."""
    return 1 << q - 4


def comparisons(size: int) -> int:
    """Comparisons for a row: two an element, and one a node of the tree above the squares."""
    nodes, width = 0, size
    while width > 1:
        width = -(-width // FAN_IN)
        nodes += width
    return 2 * size + nodes


def rows(size: int) -> int:
    """Rows of ``FAN_IN`` squares of a vector: the leaves of the tree; a vector of one element has no tree."""
    return -(-size // FAN_IN) if size > 1 else 0


class _Bounds(Source):
    """What must not be negative of each vector: ``known`` (B, comparisons) of degree 1, minus sums of rows of squares."""

    def __init__(self, known: Elements, leaves: int) -> None:
        self._known = known
        self._nodes = list[
            np.ndarray
        ]()  # for each level of the tree the place of each leaf's node in a vector's bounds
        place, width, node = known.shape[1], leaves, np.arange(leaves)
        widths = [width]
        while width > 1:
            width = -(-width // FAN_IN)
            widths.append(width)
        place -= sum(widths) if leaves else 0
        for count in widths if leaves else ():
            self._nodes.append(place + node)
            place, node = place + count, node // FAN_IN

    @override
    def fold(self, opened: Elements, stream: Stream, into: Folded) -> None:
        field, g = stream.field, stream.elements(opened.size)
        for nodes in self._nodes:
            assert into.weights is not None
            into.weights = field.subtract(into.weights, g.reshape(self._known.shape)[:, nodes].reshape(-1))
        known = field.subtract(self._known.reshape(-1), opened)
        into.rest = field.add(into.rest, arithmetic.products(known[None], g))


async def out_of_bounds(s: Session, e: Elements) -> Words:
    """For each row of (B, D), of degree 1, bits of which one is set if it is out of the bound: (2, words), in row order.

    They are to be opened (``is_bounded``) once the session's claims are verified: they depend on what was opened.
    """
    padded = np.pad(e, ((0, 0), (0, -e.shape[1] % FAN_IN))).reshape(-1, FAN_IN)
    differences, known = await s.compute(e.size, _differences, s.field, e)
    if leaves := rows(e.shape[1]):
        s.claims.square(padded)
    mask = await s.compute(differences.size, comparison.read, s.kit, differences.size, comparison.exact(s.field.q))
    source = _Bounds(known, leaves)
    _, negative = await comparison.is_negative(s, differences.reshape(-1), mask, source)
    return negative


async def is_bounded(s: Session, negative: Words, size: int, vectors: int) -> Bools:
    """Whether each of so many vectors of ``size`` elements is within the bound, (B,); from ``out_of_bounds``."""
    return ~await any_set(s, negative, vectors, comparisons(size))


def _differences(field: Field, e: Elements) -> tuple[Elements, Elements]:
    """What must not be negative, (B, comparisons(D)), of degree 2; and the same without the squares, of degree 1."""
    most = np.full_like(e, isqrt(bound(field.q)))
    lines, sums = [field.subtract(most, e), field.add(most, e)], field.multiply(e, e)
    parts, limits = list(lines), list(lines)
    while sums.shape[1] > 1:
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
