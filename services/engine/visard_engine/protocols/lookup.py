"""Lookup: a public function of a shared value that is known to its upper bits alone.

Functionality: a public table of 2^BITS integers; z (n,), 0 <= z <= 2^(q-4), of which a comparison has opened c = 2z + r
-> [table[i]] (n,), where i is z / 2^drop as truncation.py rounds it, up or down at random, drop = q - BITS - 1.
Cost: none, it is local. Dealt: 2^BITS elements a value (q = 31: 175 KB a party, q = 61: 350 KB).
Security: c is public already, and uniform; what comes out is linear in what was dealt.
How: with c' = c + 2^(q-2), c' >> g less r >> g, g = drop + 1, is i + (2^(q-2) >> g) modulo 2^BITS: the identity of
truncation.py, in which the wrap-around bit counts 2^(q-g) = 2^BITS and falls away. (p is 2^q - 1: where c' has wrapped round, 1
is added to what decides how i is rounded. That moves a probability by 2^-g.) r >> g is dealt as a vector of 2^BITS zeros and a
one, so that the entry is an inner product with the table, turned by c' >> g.
Source: Y. Ishai, E. Kushilevitz et al., "On the power of correlated randomness in secure computation", TCC 2013 (the
one-time truth table), to the upper bits alone.
"""

from dataclasses import dataclass

import numpy as np

from visard_engine.correlated import Dealing, KitReader
from visard_engine.field import Elements, Field, Integers
from visard_engine.kernels import arithmetic
from visard_engine.protocols import sizes

# 2026-11: of these an eighth can come up; a length is known to 2^-10 of its square then, next to what two roundings cost
BITS = 16


def drop(q: int) -> int:
    """Bits of z below those that are looked up."""
    return q - BITS - 1


def arrays(field: Field, n: int) -> sizes.Arrays:
    """What ``deal`` corrects."""
    return sizes.values(field, n << BITS, 1)


def deal(d: Dealing, r: Elements) -> None:
    """Deal the upper bits of each of r (n,), masks that were dealt before, as a one among zeros."""
    ones = np.zeros((len(r), 1 << BITS), r.dtype)
    ones[np.arange(len(r)), (r >> r.dtype.type(d.field.q - BITS)).astype(np.int64)] = 1
    d.value(ones)


@dataclass(frozen=True)
class Lookup:
    """What was opened of values (n,), and this party's share of where the ones are, (n, 2^BITS)."""

    field: Field
    opened: Elements
    ones: Elements

    def __repr__(self) -> str:
        return f"<Lookup: {self.opened.size} secret values>"

    def of(self, table: Integers) -> Elements:
        """Degree-1 shares (n,) of the entries of ``table`` (2^BITS,)."""
        q = self.field.q
        moved = self.field.add(self.opened, np.full_like(self.opened, 1 << q - 2))
        first = (moved >> moved.dtype.type(q - BITS)).astype(np.int64) - (1 << BITS - 2)
        entries = (first[:, None] - np.arange(1 << BITS)) % (1 << BITS)
        return arithmetic.row_products(self.field.encode(table)[entries], self.ones)


def read(kit: KitReader, n: int) -> Elements:
    """The party's half of ``deal``: shares (n, 2^BITS)."""
    return kit.share(kit.value(n << BITS)).reshape(n, 1 << BITS)
