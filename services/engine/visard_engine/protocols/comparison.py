"""Comparison of an opened value with a dealt random one, and from it the sign of a shared value.

Functionality: [[z]], |z| < 2^(q-1), -> c = 2z + r (public) and <z < 0>. With fewer digits than all |z| < 2^(q-2), and the sign
is right but for z < 0 with |2z| < 2^(q - 4 digits), where it may be wrong.
Cost: 1 + levels rounds: four digits or fewer are one level of gates, sixteen two (q = 31: 8 digits, q = 61: 16). An element
sends 2 words (1 if z is of degree 1) and the opened bits of ``Digits.opened`` (four digits: 6; q = 31: 15; q = 61: 33).
Security: c is uniform because r is, for any z: nothing statistical is spent. A sharing of degree 2 is opened made random by a
zero sharing from the parties' own keys, and leaves a claim. Opened bits as in gates.py.
How: z < 0 iff 2z mod p is odd, and lsb(2z mod p) = lsb(c) ^ lsb(r) ^ [c < r]. [c < r] comes from 4-bit digits: each digit's
(lt, eq) is linear in the dealt monomials of its bits, and of up to four digits lt = lt3 ^ eq3 lt2 ^ eq3 eq2 lt1 ^ ... is one
gate, eq = eq3 eq2 eq1 eq0 comes with it where a level follows. Only what lies above the lowest bits is compared where the
caller does without: c and r that agree there are taken for c >= r.
Source: T. Nishide, K. Ohta, "Multiparty computation for interval, equality, and comparison without bit-decomposition",
PKC 2007 (the lsb trick); I. Damgard et al., TCC 2006 (the tree); dealt monomials as in A. Patra et al., "ABY2.0", 2021.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

from visard_engine.bits import words_for, xor_public
from visard_engine.claims import Source
from visard_engine.correlated import Dealing, DealtValue, KitReader
from visard_engine.field import Elements, Field, Words
from visard_engine.kernels import bitslice
from visard_engine.kernels import opening as opening_kernels
from visard_engine.kernels.bitslice import DIGIT_BITS
from visard_engine.protocols import gates, sizes
from visard_engine.protocols.gates import Gate
from visard_engine.protocols.opening import open_lines, open_parabolas
from visard_engine.session import Session

FAN_IN = 4  # digits of a gate: against two, see docs/performance.md
SLACK = 3  # 2026-11: bits below a truncation's last place that a sign may do without (design: 0 to 1 decisions of 4,560 flip)


@cache
def _less(digits: int, *, equal: bool) -> Gate:
    """Of digits, highest first, with inputs (eq, lt) of each but lt of the highest, which needs no gate, and eq of the lowest
    where it is wanted: what is to be added to the highest lt, and eq of all."""
    # eq of the highest is 0, then lt, eq of each next: lt is 2 k - 1, eq is 2 k
    lt = tuple((*range(0, 2 * k - 1, 2), 2 * k - 1) for k in range(1, digits))
    eq = tuple(range(0, 2 * digits - 1, 2))
    return Gate(2 * digits - 1, (lt, (eq,))) if equal else Gate(2 * digits - 2, (lt,))


@dataclass(frozen=True)
class Digits:
    """Which digits of q-bit numbers are compared: the ``count`` highest ones."""

    q: int
    count: int

    @property
    def below(self) -> int:
        """Bits below the digits that are compared."""
        return max(self.q - DIGIT_BITS * self.count, 0)

    @property
    def lowest_bit_is_dealt(self) -> bool:
        """Whether r's lowest bit comes on its own: it is no monomial of a digit that is compared."""
        return self.below > 0

    @property
    def rows(self) -> int:
        """Dealt bits an element for the digits."""
        return bitslice.monomial_rows(self.q, self.count) + self.lowest_bit_is_dealt

    @cached_property
    def levels(self) -> tuple[tuple[Gate | None, ...], ...]:
        """For each level its gates, the one of the highest digits first; None where a digit stands alone and passes."""
        found, left = [], self.count
        while left > 1:
            groups = -(-left // FAN_IN)
            sizes_ = [left // groups + (k < left % groups) for k in range(groups)]
            found.append(
                tuple(_less(size, equal=k < groups - 1) if size > 1 else None for k, size in enumerate(sizes_))
            )
            left = groups
        return tuple(found)

    @property
    def gates(self) -> list[Gate]:
        """All gates, level by level."""
        return [gate for level in self.levels for gate in level if gate is not None]

    @property
    def opened(self) -> list[int]:
        """Bits an element that each level opens."""
        return [sum(gate.inputs for gate in level if gate is not None) for level in self.levels]


@cache
def exact(q: int) -> Digits:
    """All digits: the sign is exact."""
    return Digits(q, bitslice.digits_of(q))


@cache
def above(q: int, drop: int) -> Digits:
    """As few as do for a value of which the lowest ``drop`` bits are dropped."""
    return Digits(q, min(-(-(q - drop - SLACK) // DIGIT_BITS), bitslice.digits_of(q)))


def missed(digits: Digits) -> int:
    """A sign can be wrong of negative z above minus this; 0 where it is exact."""
    return 1 << digits.below - 1 if digits.below else 0


def arrays(field: Field, n: int, digits: Digits) -> sizes.Arrays:
    """What ``deal`` corrects."""
    return [*sizes.bits(digits.rows, n), *(array for g in digits.gates for array in sizes.bits(len(g.dealt), n))]


def exact_arrays(field: Field, n: int, _: int) -> sizes.Arrays:
    """What ``deal_exact`` corrects."""
    return arrays(field, n, exact(field.q))


def deal(d: Dealing, n: int, digits: Digits) -> Elements:
    """Deal n comparison masks; returns r, which the dealer may need for more."""
    r = d.random(n)
    rows = bitslice.monomials(r, digits.q, digits.count)
    if digits.lowest_bit_is_dealt:
        rows = np.concatenate([bitslice.transpose(r, 0, 1), rows])
    d.bits(rows)
    for gate in digits.gates:
        gates.deal(d, gate, words_for(n))
    return r


def deal_exact(d: Dealing, n: int, _: int) -> None:
    """Deal n masks for exact comparisons."""
    deal(d, n, exact(d.field.q))


@dataclass(frozen=True)
class Mask:
    """A dealt r: its arithmetic sharing, its lowest bit (2, words), monomials (2, rows, words), and the gates' masks."""

    digits: Digits
    r: DealtValue
    lowest: Words
    monomials: Words
    gates: list[Words]

    def __repr__(self) -> str:
        return f"<Mask: {self.r.own.size} secret values>"


def read(kit: KitReader, n: int, digits: Digits) -> Mask:
    """The party's half of ``deal``."""
    return read_bits(kit, n, digits, kit.random(n))


def read_bits(kit: KitReader, n: int, digits: Digits, r: DealtValue) -> Mask:
    """What comes behind r."""
    rows = kit.bits(digits.rows, n)
    dealt = [gates.read(kit, gate, n) for gate in digits.gates]
    monomials = rows[:, 1:] if digits.lowest_bit_is_dealt else rows
    return Mask(
        digits, r, rows[:, 0], monomials, dealt
    )  # else the first monomial of the lowest digit is its lowest bit


async def is_negative(s: Session, z: Elements, mask: Mask, source: Source | None) -> tuple[Elements, Words]:
    """The opened c = 2z + r, (n,), and the sharing (2, words) of [z < 0], for shares z (n,).

    They are of degree 1 if ``source`` is None, else of degree 2, and it says of what.
    """
    c = await open_masked(s, z, mask.r, source)
    lowest, lt, eq = await s.compute(z.size, _leaves, s, c, mask)
    less = await _less_than(s, lt, eq, mask)
    return c, xor_public(s.party, less ^ mask.lowest, lowest)


async def open_masked(s: Session, z: Elements, r: DealtValue, source: Source | None) -> Elements:
    """c = 2z + r, (n,), opened; if z is of degree 2, what it is used as from here on is claimed."""
    if source is None:
        return await open_lines(s, await s.compute(z.size, _masked, s, z, r), "masked line")
    c = await open_parabolas(s, await s.compute(z.size, _masked_and_random, s, z, r), "masked product")
    s.claims.add(source, await s.compute(z.size, opening_kernels.unmask, c, r.own, r.previous, s.kit.factors))
    return c


def _masked(s: Session, z: Elements, r: DealtValue) -> Elements:
    return s.field.add(s.field.add(z, z), s.kit.share(r))


def _masked_and_random(s: Session, z: Elements, r: DealtValue) -> Elements:
    zero = s.prss.zero_sharing(s.field, z.size)
    return opening_kernels.mask(z, r.own, r.previous, zero, s.kit.factors)


def _leaves(s: Session, c: Elements, mask: Mask) -> tuple[Words, Words, Words]:
    digits = mask.digits
    lt, eq = bitslice.leaves(c, digits.q, digits.count, mask.monomials, gates.public_piece(s))
    return bitslice.transpose(c, 0, 1)[0], lt, eq


async def _less_than(s: Session, lt: Words, eq: Words, mask: Mask) -> Words:
    """[c < r] from the digits' (lt, eq), each (2, digits, words), lowest digit first."""
    dealt = iter(mask.gates)
    lt, eq = lt[:, ::-1], eq[:, ::-1]
    for number, level in enumerate(mask.digits.levels):
        asked, at = [], 0
        for gate in level:
            size = 1 if gate is None else gate.inputs // 2 + 1
            if gate is not None:
                asked.append((gate, inputs_of(lt[:, at : at + size], eq[:, at : at + size], gate), next(dealt)))
            at += size
        found = iter(await gates.evaluate(s, asked, f"digits, level {number + 1}"))
        lt, eq = _next_level(level, lt, eq, found)
    return lt[:, 0]


def inputs_of(lt: Words, eq: Words, gate: Gate) -> Words:
    """A gate's inputs from its digits, highest first: eq, lt, eq, lt, ... without the highest lt, and maybe the lowest eq."""
    digits = np.stack([lt, eq], axis=2).reshape(2, -1, lt.shape[2])
    return digits[:, 1 : gate.inputs + 1]


def _next_level(level: tuple[Gate | None, ...], lt: Words, eq: Words, found: Iterator[Words]) -> tuple[Words, Words]:
    less, equal, at = [], [], 0
    for gate in level:
        if gate is None:
            less.append(lt[:, at])
            equal.append(eq[:, at])
            at += 1
            continue
        out = next(found)
        less.append(lt[:, at] ^ out[:, 0])
        equal.append(out[:, -1])  # of the lowest group none is wanted, nor used
        at += gate.inputs // 2 + 1
    return np.stack(less, axis=1), np.stack(equal, axis=1)
