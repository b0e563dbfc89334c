"""Truncation and ReLU from one opened value.

Functionality: [[z]], |z| < 2^(q-3), -> [max(0, trunc(z))], trunc as in truncation.py (drop >= 1).
Cost: 2 + ceil(log2 digits) rounds (q = 31: 5; q = 61: 6); an element sends 2 words and (gates + 1) bits.
Security: c = 2z + r and v = b ^ beta are uniform; AND gates as in conjunction.py.
How: c is opened once; its comparison with r gives b = [z >= 0], its upper bits the truncation. With v = b ^ beta open,
b = v + (1 - 2v) beta, so b trunc(z) is linear in dealt values, among them the products of beta.
Source: comparison.py and truncation.py beside this; the beta trick is a dealt daBit (Rotaru, Wood 2019).
"""

from dataclasses import dataclass

from visard_engine.bits import invert, words_for
from visard_engine.correlated import Dealing, DealtValue, KitReader
from visard_engine.field import Elements, Words
from visard_engine.kernels import bitslice
from visard_engine.kernels import truncation as kernels
from visard_engine.protocols import comparison
from visard_engine.protocols.opening import open_bits
from visard_engine.session import Session


def deal(d: Dealing, n: int, drop: int) -> None:
    """Deal n ReLUs that drop ``drop`` >= 1 bits."""
    r = comparison.deal(d, n)
    beta = d.random_bits(words_for(n))
    shifted = r >> d.field.dtype.type(drop + 1)
    msb = r >> d.field.dtype.type(d.field.q - 1)
    for value in (shifted, msb, bitslice.spread(beta, n, d.field.element(1))):
        d.value(value)
    d.value(bitslice.select(beta, shifted))
    d.value(bitslice.select(beta, msb))


@dataclass(frozen=True)
class _Dealt:
    mask: comparison.Mask
    beta: Words
    values: tuple[DealtValue, DealtValue, DealtValue, DealtValue, DealtValue]


def _read(kit: KitReader, n: int) -> _Dealt:
    mask = comparison.read(kit, n)
    beta = kit.random_bits(n)
    return _Dealt(mask, beta, (kit.value(n), kit.value(n), kit.value(n), kit.value(n), kit.value(n)))


async def relu(s: Session, z: Elements, drop: int) -> Elements:
    """Degree-1 shares of max(0, z / 2^drop) from degree-1 or degree-2 shares of z, shape (n,)."""
    return await s.compute(z.size, _finish, s.kit, *await _open(s, z), drop)


async def relu_and_truncated(s: Session, z: Elements, drop: int) -> tuple[Elements, Elements]:
    """``relu``, and shares of the same z / 2^drop, rounded the same way: no further message, no further dealt value."""
    return await s.compute(z.size, _finish_both, s.kit, *await _open(s, z), drop)


async def _open(s: Session, z: Elements) -> tuple[Elements, Words, tuple[DealtValue, ...]]:
    """The opened c = 2z + r and v = [z >= 0] ^ beta, and what is dealt to finish with."""
    dealt = await s.compute(z.size, _read, s.kit, z.size)
    c, negative = await comparison.is_negative(s, z, dealt.mask)
    v = await open_bits(s, invert(s.party, negative ^ dealt.beta))
    return c, v, dealt.values


def _finish(kit: KitReader, c: Elements, v: Words, values: tuple[DealtValue, ...], drop: int) -> Elements:
    k, wrap = kernels.public_part(c, drop + 1)
    shifted, msb, beta, beta_shifted, beta_msb = (kit.share(value) for value in values)
    return kernels.relu(v, k, wrap, (shifted, msb, beta, beta_shifted, beta_msb))


def _finish_both(
    kit: KitReader, c: Elements, v: Words, values: tuple[DealtValue, ...], drop: int
) -> tuple[Elements, Elements]:
    k, wrap = kernels.public_part(c, drop + 1)
    shifted, msb, beta, beta_shifted, beta_msb = (kit.share(value) for value in values)
    positive = kernels.relu(v, k, wrap, (shifted, msb, beta, beta_shifted, beta_msb))
    return positive, kernels.shift(k, wrap, shifted, msb)
