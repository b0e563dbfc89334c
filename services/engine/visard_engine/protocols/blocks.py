"""What a search consumes, and how a party reads it: masks for blocks of rows of a fixed size, the same for every gallery.

A block holds masks for comparisons by the upper 16 bits (comparison.py), with gates' masks for each limit; the last kit of a
search those of the margins, and what shows tables or hides them (search.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from visard_engine.bits import words_for, xor_public
from visard_engine.correlated import Dealing
from visard_engine.field import Elements, Field, Words
from visard_engine.kernels import bitslice
from visard_engine.kernels import opening as kernels
from visard_engine.protocols import comparison, gates, mean, sizes
from visard_engine.protocols.comparison import Digits, Mask
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
    """A block's comparison with one limit before its gates: lowest bits of c, lt of the highest digit, the inputs masked."""

    lowest: Words
    less: Words
    masked: Words

    def __repr__(self) -> str:
        return f"<Level: {self.less.size} secret words>"


@dataclass(frozen=True)
class Block:
    """Some of what is compared, with its dealt masks and one set of gates' masks (2, rows, words) a limit."""

    part: slice
    mask: Mask
    gates: list[Words]

    def __repr__(self) -> str:
        return f"<Block: {self.mask!r}>"

    def masked(self, s: Session, z: Elements) -> Elements:
        """Shares of c = 2z + r, of degree 2 and otherwise random; local."""
        zero = s.prss.zero_sharing(s.field, z.size)
        return kernels.mask(z, self.mask.r.own, self.mask.r.previous, zero, s.kit.factors)

    def unmasked(self, s: Session, c: Elements) -> Elements:
        """What z is used as from here on, of degree 1."""
        return kernels.unmask(c, self.mask.r.own, self.mask.r.previous, s.kit.factors)

    def levels(self, s: Session, c: Elements, limits: Sequence[int]) -> list[Level]:
        """The comparison with each limit, from c of the first one; local. Of margins there is one."""
        q, found, gate = s.field.q, [], digits(s.field.q).gates[0]
        for limit, masks in zip(limits, self.gates, strict=False):
            shift = (limit - limits[0]) << stretch(q) + 1
            of_limit = s.field.add(c, np.full_like(c, s.field.element(shift))) if shift else c
            lt, eq = bitslice.leaves(of_limit, q, _DIGITS, self.mask.monomials, gates.public_piece(s))
            inputs = comparison.inputs_of(lt[:, ::-1], eq[:, ::-1], gate)
            lowest = bitslice.transpose(of_limit, 0, 1)[0]
            found.append(Level(lowest, lt[:, -1], inputs ^ masks[:, : gate.inputs]))
        return found

    def signs(self, s: Session, levels: Sequence[Level], opened: Words) -> Words:
        """<z >= 0> of each limit, (limits, 2, words), from the opened bits of its gates; local."""
        gate = digits(s.field.q).gates[0]
        found = []
        for level, masks, part in zip(levels, self.gates, np.split(opened, len(levels)), strict=True):
            out = gates.outputs(s, gate, part.reshape(gate.inputs, -1), masks)
            negative = level.less ^ out[:, 0] ^ self.mask.lowest
            found.append(xor_public(s.party, negative, ~level.lowest))
        return np.stack(found)


def _read(s: Session, part: slice, size: int, limits: int) -> Block:
    """From the session's kit masks for a part of the rows, at most as many as the kit serves."""
    count, words = part.stop - part.start, words_for(part.stop - part.start)
    chosen = digits(s.field.q)
    mask = comparison.read(s.kit, size, chosen)
    more = [gates.read(s.kit, chosen.gates[0], size) for _ in range(limits - 1)]
    kept = Mask(
        chosen,
        mask.r[:count],
        np.ascontiguousarray(mask.lowest[:, :words]),
        np.ascontiguousarray(mask.monomials[:, :, :words]),
        [],
    )
    return Block(part, kept, [np.ascontiguousarray(one[:, :, :words]) for one in (*mask.gates, *more)])


def read(s: Session, sessions: Sequence[Session], rows: int, limits: int, margins: int) -> list[Block]:
    """One a kit; margins, which the first limit's comparison decides, are masked by the last kit, ``s``."""
    found, start = [], 0
    for session, size in zip(sessions, blocks_of(rows), strict=True):
        stop = min(start + size, rows)
        found.append(_read(session, slice(start, stop), size, limits))
        start = stop
    if margins:
        found.append(_read(s, slice(rows, rows + margins), margins, 1))
    return found
