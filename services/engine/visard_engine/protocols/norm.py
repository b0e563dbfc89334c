"""Norm bound: is a shared vector short enough for what follows?

Functionality: [e] (B, D), anything in F_p -> for each row, publicly, whether |e|^2 <= 2^(q-4) as integers.
Cost: comparison rounds + 1; a row of D elements sends what ``comparisons(D)`` comparisons send (D = 128, q = 31: 279).
Dealt: as so many comparisons (threshold.deal).
Security: as comparison.py and disjunction.py: of a row within the bound only that it is one becomes public.
How: |e_k| <= sqrt(2^(q-4)) for every element; then no square, and no sum of seven numbers up to 2^(q-4), wraps round, so
that a tree of such sums of squares, each compared with the bound, ends with the norm itself. Squares and sums are local.
Why: two vectors within the bound are at a squared distance of at most 2^(q-2): it cannot wrap round and look small.
"""

from math import isqrt

import numpy as np

from visard_engine.field import Bools, Elements, Field
from visard_engine.protocols import comparison
from visard_engine.protocols.disjunction import any_set
from visard_engine.session import Session

_FAN_IN = 7  # 7 * 2^(q-4) < 2^(q-1)


def bound(q: int) -> int:
    """The largest squared norm allowed."""
    return 1 << q - 4


def comparisons(size: int) -> int:
    """Comparisons for a row: two an element, and one a node of the tree above the squares."""
    nodes, width = 0, size
    while width > 1:
        width = -(-width // _FAN_IN)
        nodes += width
    return 2 * size + nodes


async def is_bounded(s: Session, e: Elements) -> Bools:
    """Whether each row of (B, D), of degree 1, is within the bound, (B,)."""
    differences = await s.compute(e.size, _differences, s.field, e)
    mask = await s.compute(differences.size, comparison.read, s.kit, differences.size)
    _, negative = await comparison.is_negative(s, differences.reshape(-1), mask)
    return ~await any_set(s, negative, *differences.shape)


def _differences(field: Field, e: Elements) -> Elements:
    """What must not be negative, (B, comparisons(D)), of degree 2."""
    most = np.full_like(e, isqrt(bound(field.q)))
    parts, sums = [field.subtract(most, e), field.add(most, e)], field.multiply(e, e)
    while sums.shape[1] > 1:
        sums = _sums(field, sums)
        parts.append(field.subtract(np.full_like(sums, bound(field.q)), sums))
    return np.concatenate(parts, axis=1)


def _sums(field: Field, x: Elements) -> Elements:
    """Sums of every ``_FAN_IN`` neighbours of each row, mod p."""
    padded = np.pad(x, ((0, 0), (0, -x.shape[1] % _FAN_IN)))
    groups = padded.astype(np.uint64).reshape(len(x), -1, _FAN_IN)  # 7 * 2^61 < 2^64
    sums: Elements = (groups.sum(axis=2) % np.uint64(field.p)).astype(x.dtype)
    return sums
