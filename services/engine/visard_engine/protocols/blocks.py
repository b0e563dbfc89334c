"""What a search consumes, and how a party reads it: masks for blocks of rows of a fixed size, the same for every gallery.

A block holds masks for comparisons by the upper 16 bits (comparison.py), with gates' masks for each limit; the last kit of a
search those of the margins, and what shows tables or hides them (search.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from visard_engine.bits import words_for, xor_public
from visard_engine.correlated import Dealing, DealtValue, KitReader
from visard_engine.field import Elements, Field, Words
from visard_engine.kernels import bitslice
from visard_engine.kernels import opening as kernels
from visard_engine.protocols import comparison, gates, mean, sizes
from visard_engine.protocols.comparison import Digits
from visard_engine.protocols.gates import Gate
from visard_engine.protocols.normalise import unit_bits
from visard_engine.session import Session

BLOCKS = (65536, 4096)  # rows that a kit serves: a search takes as many of the larger as it fills, then smaller ones
MOST_LIMITS = 3
_DIGITS = 4  # one level of gates
AND = Gate(2, (((0, 1),),))


def blocks_of(rows: int) -> list[int]:
    """The kits that so many rows take, by the rows that each serves."""
    large, small = BLOCKS
    return [large] * (rows // large) + [small] * -(-(rows % large) // small)


def stretch(q: int) -> int:
    """Bits by which a difference of half squared distances, below 2^(2u + 1), is multiplied to fill what a comparison takes."""
    return q - 3 - (2 * unit_bits(q) + 1)


def mean_stretch(q: int) -> int:
    """Likewise for a margin, below 2^(u + 1 + bits of the mean's vector)."""
    return q - 3 - (unit_bits(q) + 1 + mean.VECTOR_BITS)


def digits(q: int) -> Digits:
    """Which are compared."""
    return Digits(q, _DIGITS)


def fuzz(q: int) -> int:
    """Half a squared distance that is beyond a limit by less may be taken for one within."""
    return comparison.missed(digits(q)) >> stretch(q)


def arrays(field: Field, n: int, limits: int) -> sizes.Arrays:
    """What ``deal`` corrects."""
    (gate,) = digits(field.q).gates
    return [
        *comparison.arrays(field, n, digits(field.q)),
        *(limits - 1) * list(sizes.bits(len(gate.dealt), n)),
    ]


def deal(d: Dealing, n: int, limits: int) -> None:
    """Deal n masks for comparisons with so many limits."""
    chosen = digits(d.field.q)
    comparison.deal(d, n, chosen)
    for _ in range(limits - 1):
        gates.deal(d, chosen.gates[0], words_for(n))


def shown_arrays(field: Field, n: int, _: int) -> sizes.Arrays:
    """What ``deal_shown`` corrects."""
    return sizes.bits(len(AND.dealt), n)


def deal_shown(d: Dealing, n: int, _: int) -> None:
    """Deal what shows n bits or hides them."""
    gates.deal(d, AND, words_for(n))


@dataclass(frozen=True)
class Level:
    """A block's comparison with one limit before its gates: what is public of c, what is shared, and what was dealt for them.

    ``lowest`` are the lowest bits of c, ``less`` lt of the highest digit and the lowest bits of r, ``masked`` the gates' masked
    inputs (2, inputs, words), ``gates`` what was dealt (2, rows, words).
    """

    lowest: Words
    less: Words
    masked: Words
    gates: Words

    def __repr__(self) -> str:
        return f"<Level: {self.less.size} secret words>"

    def sign(self, s: Session, opened: Words) -> Words:
        """<z >= 0>, (2, words), from the opened bits of its gates (inputs, words); local."""
        out = gates.outputs(s, digits(s.field.q).gates[0], opened, self.gates)
        return xor_public(s.party, self.less ^ out[:, 0], ~self.lowest)


@dataclass(frozen=True)
class Block:
    """Some of what is compared, at most as many as its kit serves, with their r; what is dealt besides is still in the kit.

    So of a large gallery little more than r is in memory while c is opened, and no r when that is done.
    """

    part: slice
    kit: KitReader
    size: int
    limits: int
    r: DealtValue

    @classmethod
    def read(cls, kit: KitReader, part: slice, size: int, limits: int) -> "Block":
        """Of a part of the rows, from a kit that serves ``size``."""
        return cls(part, kit, size, limits, kit.random(size)[: part.stop - part.start])

    def __repr__(self) -> str:
        return f"<Block: {self.r.own.size} secret values>"

    def masked(self, s: Session, z: Elements) -> Elements:
        """Shares of c = 2z + r, of degree 2 and otherwise random; local."""
        zero = s.prss.zero_sharing(s.field, z.size)
        return kernels.mask(z, self.r.own, self.r.previous, zero, s.kit.factors)

    def unmasked(self, s: Session, c: Elements) -> Elements:
        """What z is used as from here on, of degree 1."""
        return kernels.unmask(c, self.r.own, self.r.previous, s.kit.factors)

    def levels(self, s: Session, c: Elements, limits: Sequence[int]) -> list[Level]:
        """The comparison with each limit, from c of the first one; local, once. Of margins there is one."""
        q, words, gate = s.field.q, words_for(c.size), digits(s.field.q).gates[0]
        mask = comparison.read_bits(self.kit, self.size, digits(q), self.r)
        dealt = [*mask.gates, *(gates.read(self.kit, gate, self.size) for _ in range(self.limits - 1))]
        monomials, lowest = _first(mask.monomials, words), _first(mask.lowest, words)
        found = []
        for limit, masks in zip(limits, (_first(one, words) for one in dealt), strict=False):
            shift = (limit - limits[0]) << stretch(q) + 1
            of_limit = s.field.add(c, np.full_like(c, s.field.element(shift))) if shift else c
            lt, eq = bitslice.leaves(of_limit, q, _DIGITS, monomials, gates.public_piece(s))
            inputs = comparison.inputs_of(lt[:, ::-1], eq[:, ::-1], gate)
            public = bitslice.transpose(of_limit, 0, 1)[0]
            found.append(Level(public, lt[:, -1] ^ lowest, inputs ^ masks[:, : gate.inputs], masks))
        return found


def _first(dealt: Words, words: int) -> Words:
    """Of as many words."""
    return np.ascontiguousarray(dealt[..., :words])


def read(s: Session, sessions: Sequence[Session], rows: int, limits: int, margins: int) -> list[Block]:
    """One a kit; margins, which the first limit's comparison decides, are masked by the last kit, ``s``."""
    found, start = [], 0
    for session, size in zip(sessions, blocks_of(rows), strict=True):
        stop = min(start + size, rows)
        found.append(Block.read(session.kit, slice(start, stop), size, limits))
        start = stop
    if margins:
        found.append(Block.read(s.kit, slice(rows, rows + margins), margins, 1))
    return found
