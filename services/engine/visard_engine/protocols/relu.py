"""Truncation and ReLU from one opened value.

Functionality: [[z]], |z| < 2^(q-3), -> [max(0, trunc(z))], trunc as in truncation.py (drop >= 1). For z < 0 of a size below
``comparison.missed`` it may be trunc(z) instead of 0: a few last places of what truncation keeps.
Cost: as comparison.py with the digits that do (q = 31, drop >= 12: four digits, 3 rounds in all), a round and a bit more.
Security: c = 2z + r and v = b ^ beta are uniform; c is masked by the dealt r and a zero sharing of which each party lacks a
piece, bits as in gates.py. What c is used as is claimed, and verified before anything leaves the parties.
How: c is opened once; its comparison with r gives b = [z >= 0], its upper bits the truncation. With v = b ^ beta open,
b = v + (1 - 2v) beta, so b trunc(z) is linear in dealt values, among them the products of beta.
Source: comparison.py and truncation.py beside this; the beta trick is a dealt daBit (Rotaru, Wood 2019).
"""

from dataclasses import dataclass

import numpy as np

from visard_engine.bits import invert, words_for
from visard_engine.claims import Source
from visard_engine.correlated import Dealing, DealtValue, KitReader
from visard_engine.field import Elements, Field, Words
from visard_engine.kernels import bitslice
from visard_engine.kernels import truncation as kernels
from visard_engine.protocols import comparison, sizes
from visard_engine.protocols.opening import open_bits
from visard_engine.session import Session


def arrays(field: Field, n: int, drop: int) -> sizes.Arrays:
    """What ``deal`` corrects."""
    return [*comparison.arrays(field, n, comparison.above(field.q, drop)), *sizes.values(field, n, 5)]


def deal(d: Dealing, n: int, drop: int) -> None:
    """Deal n ReLUs that drop ``drop`` >= 1 bits."""
    r = comparison.deal(d, n, comparison.above(d.field.q, drop))
    beta = d.random_bits(words_for(n))
    shifted = r >> d.field.dtype.type(drop + 1)
    msb = r >> d.field.dtype.type(d.field.q - 1)
    spread = bitslice.spread(beta, n, d.field.element(1))
    d.value(np.stack([shifted, msb, spread, bitslice.select(beta, shifted), bitslice.select(beta, msb)]))


@dataclass(frozen=True)
class _Dealt:
    mask: comparison.Mask
    beta: Words
    values: DealtValue  # of five rows


def _read(kit: KitReader, n: int, drop: int) -> _Dealt:
    mask = comparison.read(kit, n, comparison.above(kit.field.q, drop))
    beta = kit.random_bits(1, n)[:, 0]
    return _Dealt(mask, beta, kit.values(5, n))


async def relu(s: Session, z: Elements, drop: int, source: Source | None) -> Elements:
    """Degree-1 shares of max(0, z / 2^drop) from shares of z, shape (n,), as ``comparison.is_negative`` takes them."""
    return (await relu_and_truncated(s, z, drop, source))[0]


async def relu_and_truncated(s: Session, z: Elements, drop: int, source: Source | None) -> tuple[Elements, Elements]:
    """``relu``, and shares of the same z / 2^drop, rounded the same way: no further message, no further dealt value."""
    dealt = await s.compute(z.size, _read, s.kit, z.size, drop)
    c, negative = await comparison.is_negative(s, z, dealt.mask, source)
    v = await open_bits(s, invert(s.party, negative ^ dealt.beta), "sign")
    return await s.compute(z.size, _finish, s.kit, c, v, dealt.values, drop)


def _finish(kit: KitReader, c: Elements, v: Words, values: DealtValue, drop: int) -> tuple[Elements, Elements]:
    positive, truncated = kernels.relu(v, c, drop + 1, values.own, values.previous, kit.factors)
    return positive, truncated
