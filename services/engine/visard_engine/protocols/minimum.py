"""Tournament minimum: the smallest of N shared values and its position.

Functionality: [[z_j]] (N,) -> [[min_j z_j]] and <position of it>; of equal values the one at the later position wins.
Cost: for each of ceil(log2 N) levels the rounds of an exact ReLU; N - 1 comparisons in all and, for the position, fewer than
N log2 N bits, opened with the comparisons' signs. Dealt: as exact ReLUs, and as many bits.
Security: as maximum.py and gates.py.
How: min(a, b) = a - ReLU(a - b); b wins iff a - b >= 0. A winner's position is its path: at level l the new bit l is the
comparison's bit, and the lower bits are chosen by it (<i> = <i_a> ^ <w> (<i_a> ^ <i_b>)): gates that have the sign's mask as one
of their own. A winner is always one of the values, minus what is known with degree 1: see ``Sums``.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from visard_engine.bits import invert, pack, unpack, words_for
from visard_engine.claims import Folded, Source, Stream
from visard_engine.correlated import Dealing, KitReader
from visard_engine.field import Bools, Elements, Field, Words
from visard_engine.kernels import arithmetic
from visard_engine.protocols import choice, comparison, gates, maximum, sizes
from visard_engine.protocols.opening import open_bits
from visard_engine.session import Session

Positions = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Sums:
    """Values (n,), each that of one of the session's rows (``Claims.rows``) plus ``offset`` of degree 1."""

    share: Elements
    rows: Positions
    offset: Elements

    def __getitem__(self, part: slice) -> "Sums":
        """Some of them."""
        return Sums(*(np.ascontiguousarray(x[part]) for x in (self.share, self.rows, self.offset)))

    def minus(self, field: Field, known: Elements) -> "Sums":
        """Less what is known with degree 1."""
        return Sums(field.subtract(self.share, known), self.rows, field.subtract(self.offset, known))

    def __add__(self, other: "Sums") -> "Sums":
        """Those of the other after these."""
        pairs = ((self.share, other.share), (self.rows, other.rows), (self.offset, other.offset))
        return Sums(*(np.concatenate(pair) for pair in pairs))

    def __repr__(self) -> str:
        return f"<Sums: {self.share.size} secret values>"


@dataclass(frozen=True)
class Difference(Source):
    """``offset`` (n,), plus some of the session's rows, minus others; what has no rows is its offset alone."""

    offset: Elements
    minus: Positions
    plus: Positions | None = None

    def __repr__(self) -> str:
        return f"<Difference: {self.offset.size} secret values>"

    @override
    def fold(self, opened: Elements, stream: Stream, into: Folded) -> None:
        field, g = stream.field, stream.elements(opened.size)
        if self.plus is not None:
            into.weights[self.plus] = field.add(into.weights[self.plus], g[: self.plus.size])
        into.weights[self.minus] = field.subtract(into.weights[self.minus], g[: self.minus.size])
        known = field.subtract(self.offset, opened)
        into.rest = field.add(into.rest, arithmetic.products(known[None], g))


def arrays(field: Field, n: int, bits: int) -> sizes.Arrays:
    """What ``deal`` corrects."""
    return [*maximum.arrays(field, n, 0), *sizes.bits(bits, n)]


def deal(d: Dealing, n: int, bits: int) -> None:
    """Deal one level that compares n pairs with positions of so many bits."""
    beta = maximum.deal(d, n, 0)
    if bits:
        gates.deal(d, choice.gate(bits), words_for(n), beta[None])


@dataclass(frozen=True)
class Dealt:
    """One party's half of ``deal``: exact ReLUs of n pairs, and the masks of what is opened with their signs."""

    relu: maximum.Dealt
    masks: Words  # (2, rows, words)


def read(kit: KitReader, n: int, bits: int) -> Dealt:
    """The party's half of ``deal``."""
    relu = maximum.read(kit, n, 0)
    sign = relu.beta_bits[:, None]
    return Dealt(relu, gates.read(kit, choice.gate(bits), n, sign) if bits else sign)


Supply = Callable[[int, int], Dealt]  # from a level, the first is 0, and its pairs


def levels(n: int) -> list[int]:
    """Pairs compared at each level of a tournament of n."""
    out = []
    while n > 1:
        out.append(n // 2)
        n -= n // 2
    return out


async def minimum(s: Session, z: Sums, supply: Supply | None = None) -> tuple[Sums, Bools]:
    """The least of n values, as one, and its position's bits, (2, ceil(log2 n)) of one bool each.

    What is dealt for each level comes from ``supply``, else from the session's kit.
    """
    path: Bools = np.zeros((2, 0, z.share.size), np.bool_)  # (pieces, bits so far, candidates)
    while z.share.size > 1:
        pairs, level = z.share.size // 2, path.shape[1]
        if supply is None:
            dealt = await s.compute(pairs, read, s.kit, pairs, level)
        else:
            dealt = await s.compute(pairs, supply, level, pairs)
        z, path = await _level(s, z, path, dealt)
    return z, path[:, :, 0]


async def _level(s: Session, z: Sums, path: Bools, dealt: Dealt) -> tuple[Sums, Bools]:
    """Halve the candidates: neighbours 2j and 2j + 1 meet; a last odd one passes."""
    pairs = z.share.size // 2
    a, b, bye = z[: 2 * pairs : 2], z[1 : 2 * pairs : 2], z[2 * pairs :]
    source = Difference(s.field.subtract(a.offset, b.offset), b.rows, a.rows)
    c, negative = await comparison.is_negative(s, s.field.subtract(a.share, b.share), dealt.relu.mask, source)
    second = invert(s.party, negative)
    v, chosen = await _open_and_choose(s, second, path[:, :, : 2 * pairs], dealt.masks)
    larger = await s.compute(pairs, maximum.finish, s.kit, c, v, dealt.relu)
    new_bit = unpack(second, pairs)[:, None]
    met = np.concatenate([chosen, new_bit], axis=1)
    passed = np.concatenate([path[:, :, 2 * pairs :], np.zeros((2, 1, bye.share.size), np.bool_)], axis=1)
    return a.minus(s.field, larger) + bye, np.concatenate([met, passed], axis=2)


async def _open_and_choose(s: Session, second: Words, path: Bools, masks: Words) -> tuple[Words, Bools]:
    """Open ``second`` (2, words), masked, and choose between the pairs' paths by it, in one round."""
    first, other = path[:, :, 0::2], path[:, :, 1::2]
    pairs, bits = first.shape[2], first.shape[1]
    inputs = np.concatenate([second[:, None], pack(first ^ other)], axis=1)
    masked = inputs ^ masks[:, : 1 + bits]
    opened = (await open_bits(s, masked.reshape(2, -1), "sign and positions")).reshape(1 + bits, -1)
    if not bits:
        return opened[0], first
    flip = gates.outputs(s, choice.gate(bits), opened, masks)
    return opened[0], first ^ unpack(flip, pairs)
