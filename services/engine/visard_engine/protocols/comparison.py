"""Comparison of an opened value with a dealt random one, and from it the sign of a shared value.

Functionality: [[z]], |z| < 2^(q-1), -> c = 2z + r (public) and <z < 0>.
Cost: 1 + ceil(log2 digits) rounds (q = 31: 8 digits, 4 rounds; q = 61: 16 digits, 5 rounds); an element sends 2 words
and 1 bit an AND gate (q = 31: 11 gates; q = 61: 26).
Security: c is uniform because r is, for any z: nothing statistical is spent. The opened sharing is made random by a zero
sharing from the parties' own keys.
How: z < 0 iff 2z mod p is odd, and lsb(2z mod p) = lsb(c) ^ lsb(r) ^ [c < r]. [c < r] is a tree over 4-bit digits whose
leaves are linear in the dealt monomials of each digit's bits (lt = lt_hi ^ eq_hi lt_lo, eq = eq_hi eq_lo).
Source: T. Nishide, K. Ohta, "Multiparty computation for interval, equality, and comparison without bit-decomposition",
PKC 2007 (the lsb trick); I. Damgard et al., TCC 2006 (the tree); dealt monomials as in A. Patra et al., "ABY2.0", 2021.
"""

from dataclasses import dataclass

import numpy as np

from visard_engine.bits import PUBLIC_PIECE, xor_public
from visard_engine.correlated import Dealing, DealtValue, KitReader
from visard_engine.field import Elements, Field, Words
from visard_engine.kernels import bitslice
from visard_engine.kernels import opening as opening_kernels
from visard_engine.protocols.conjunction import conjunction
from visard_engine.protocols.opening import open_elements
from visard_engine.session import Session


def bit_rows(field: Field) -> int:
    """Dealt bits an element."""
    return bitslice.monomial_rows(field.q)


def deal(d: Dealing, n: int) -> Elements:
    """Deal n comparison masks; returns r, which the dealer may need for more."""
    r = d.random(n)
    d.bits(bitslice.monomials(bitslice.transpose(r, d.field.q)))
    return r


@dataclass(frozen=True)
class Mask:
    """A dealt r: its arithmetic sharing and the monomials of its digits, (2, rows, words)."""

    r: DealtValue
    monomials: Words

    def __repr__(self) -> str:
        return f"<Mask: {self.r.own.size} secret values>"


def read(kit: KitReader, n: int) -> Mask:
    """The party's half of ``deal``."""
    return Mask(kit.random(n), kit.bits(bit_rows(kit.field), n))


async def is_negative(s: Session, z: Elements, mask: Mask) -> tuple[Elements, Words]:
    """The opened c = 2z + r, (n,), and the sharing (2, words) of [z < 0], for degree-1 or degree-2 shares z (n,)."""
    masked = await s.compute(z.size, _masked, s, z, mask.r)
    c = await open_elements(s, masked)
    planes, lt, eq = await s.compute(z.size, _leaves, s, c, mask.monomials)
    less = await _tree(s, lt, eq)
    lowest_bit_of_r = mask.monomials[:, 0]  # the first monomial of the lowest digit
    return c, xor_public(s.party, less ^ lowest_bit_of_r, planes[0])


def _masked(s: Session, z: Elements, r: DealtValue) -> Elements:
    zero = s.prss.zero_sharing(s.field, z.size)
    return opening_kernels.mask(z, r.own, r.previous, zero, s.kit.factors)


def _leaves(s: Session, c: Elements, monomials: Words) -> tuple[Words, Words, Words]:
    planes = bitslice.transpose(c, s.field.q)
    lt, eq = bitslice.leaves(planes, monomials, (s.party - PUBLIC_PIECE) % 3)
    return planes, lt, eq


async def _tree(s: Session, lt: Words, eq: Words) -> Words:
    """[c < r] from the digits' (lt, eq), each (2, digits, words), lowest digit first."""
    while (nodes := lt.shape[1]) > 1:
        pairs, top = nodes // 2, lt[:, nodes - nodes % 2 :]
        low, high = slice(0, 2 * pairs, 2), slice(1, 2 * pairs, 2)
        # the lowest node's eq is never used: no gate for it
        x = np.concatenate([eq[:, high], eq[:, high][:, 1:]], axis=1)
        y = np.concatenate([lt[:, low], eq[:, low][:, 1:]], axis=1)
        z = await conjunction(s, x, y)
        unused = np.zeros_like(z[:, :1])
        lt = np.concatenate([lt[:, high] ^ z[:, :pairs], top], axis=1)
        eq = np.concatenate([unused, z[:, pairs:], eq[:, nodes - nodes % 2 :]], axis=1)
    return lt[:, 0]
