"""Normalisation: shared vectors are brought to one length.

Functionality: [e] (B, D), and |e|^2 as a lookup (of 2^(q-4) - |e|^2) that the norm test leaves -> [y] (B, D),
y = e 2^u / |e| (u = 12 for q = 31, 24 for q = 61); zeros where |e|^2 < ``least(q)``, so that a vector of almost no length is
like nobody. Of an e beyond the norm bound anything may come, but the norm test refuses it.
Cost: one round; an element sends 2 words. Dealt: as a truncation of D elements a vector, besides the norm test's lookup.
Security: as lookup.py and truncation.py: what is opened is uniform, and what it is used as is claimed: one pair a vector, of its
factor with a random combination of its elements.
How: the lookup gives f = 2^(q-4) / |e|, to the accuracy of the upper bits of |e|^2; f e < 2^(q-3) is truncated by q - 4 - u bits.
Error: all of y is longer or shorter by at most one part in 2 |e|^2 / 2^(q-17), and by 0.4 of that in the root mean square: for |e|^2 =
2^24, q = 31, by 0.05 % at most, and 0.02 %. An element is rounded up or down besides (0.4 units likewise). Both
err without bias, and each moves an inner product of two vectors by about 2^-12 of 2^2u.
"""

from functools import cache

import numpy as np
from typing_extensions import override

from visard_engine.claims import Folded, Source, Stream
from visard_engine.field import Elements, Field, Integers
from visard_engine.kernels import arithmetic
from visard_engine.protocols import lookup
from visard_engine.protocols.lookup import Lookup
from visard_engine.protocols.truncation import truncate
from visard_engine.session import Session

_UNIT_BITS = {31: 12, 61: 24}
# of the lookup's steps that a squared length must have: of less a factor would be off by more than 0.8 percent, and whoever makes
# an image for it would be that much nearer to everybody
_LEAST = 64


def unit_bits(q: int) -> int:
    """u: length one is the integer 2^u."""
    return _UNIT_BITS[q]


def drop(q: int) -> int:
    """Bits that a product with the factor is truncated by."""
    return q - 4 - unit_bits(q)


def least(q: int) -> int:
    """Squared lengths from here on are brought to length one; what is shorter, to nothing."""
    return _LEAST << lookup.drop(q)


@cache
def factors(q: int) -> Integers:
    """2^(q-4) / |e| (2^BITS,) by (2^(q-4) - |e|^2) / 2^drop; of what can be no such number, or is too short, zero."""
    table = np.zeros(1 << lookup.BITS, np.int64)
    most = 1 << lookup.BITS - 3
    steps = np.arange(_LEAST, most + 1)
    table[most - steps] = np.rint(2.0 ** (q - 4) / np.sqrt(steps * 2.0 ** lookup.drop(q)))
    table.setflags(write=False)
    return table


class _Scaled(Source):
    """Vectors (B, D), each times its factor (B,)."""

    def __init__(self, e: Elements, factor: Elements) -> None:
        self._e, self._factor = e, factor

    def __repr__(self) -> str:
        return f"<_Scaled: {self._e.size} secret values>"

    @override
    def fold(self, opened: Elements, stream: Stream, into: Folded) -> None:
        field, g = stream.field, stream.elements(opened.size)
        into.left.append(self._factor)
        into.right.append(arithmetic.row_products(self._e, g.reshape(self._e.shape)))
        into.rest = field.subtract(into.rest, arithmetic.products(opened[None], g))


async def normalise(s: Session, e: Elements, squares: Lookup) -> Elements:
    """Degree-1 shares (B, D) of the vectors (B, D) at length one; ``squares`` as norm.out_of_bounds gives them."""
    q = s.field.q
    factor = squares.of(factors(q))
    scaled = _times(s.field, e, factor)
    found = await truncate(s, scaled.reshape(-1), drop(q), _Scaled(e, factor))
    return found.reshape(e.shape)


def _times(field: Field, e: Elements, factor: Elements) -> Elements:
    """Each row of (B, D) times its factor (B,)."""
    return field.multiply(e, np.repeat(factor, e.shape[1]).reshape(e.shape))
