"""A tournament among any number of rows from kits for blocks of a fixed size: what each level of it takes, and from which kit.

Functionality, security: minimum.py, whose values are the rows; a gallery's kits are those of every gallery.
Cost: that of minimum.py for the rows that there are, in the same rounds: nothing is opened of rows that there are not. Dealt:
for as many rows as the blocks serve (blocks.py), N and at most 4,095 more. In the last kit: 15 pairs, and one fewer than the
power of two that is enough for the large blocks that N would take.
How: level l takes floor(ceil(N / 2^l) / 2) pairs. A block of n rows serves n / 2^(l + 1) of them, so what blocks hold is enough
until the smallest have one winner left. Small blocks stand for one large block at most, whose upper levels are in the last
kit, as are those of large blocks' winners. What a level does not take of its kits is read and left: so a row that pads a
block is in no comparison, and never the nearest.
"""

from collections.abc import Sequence

import numpy as np

from visard_engine.bits import pack, unpack, words_for
from visard_engine.correlated import DealtValue, KitReader
from visard_engine.errors import KitError
from visard_engine.field import Words
from visard_engine.protocols import maximum, minimum
from visard_engine.protocols.blocks import BLOCKS, blocks_of
from visard_engine.protocols.comparison import Mask
from visard_engine.protocols.minimum import Dealt
from visard_engine.session import Session

_LARGE, _SMALL = BLOCKS


def of_block(rows: int) -> list[int]:
    """Pairs that a block's kit serves at each level: of a tournament of all its rows, a power of two."""
    return minimum.levels(rows)


def above(rows: int) -> list[int]:
    """Pairs that the last kit serves at each level, for so many rows."""
    large = len(of_block(_LARGE))
    upper = of_block(_LARGE)[len(of_block(_SMALL)) :]
    winners = 1 << (-(-rows // _LARGE) - 1).bit_length()
    return [0] * (large - len(upper)) + upper + minimum.levels(winners)


class Supply:
    """What is dealt for each level, read from the kits of blocks and the last one, level by level."""

    def __init__(self, s: Session, sessions: Sequence[Session], rows: int) -> None:
        sizes = blocks_of(rows)
        if len(sessions) != len(sizes):
            raise KitError(f"{rows} rows take {len(sizes)} kits of blocks, not {len(sessions)}")
        self.above = above(rows)
        self._kits = [(session.kit, of_block(size)) for session, size in zip(sessions, sizes, strict=True)]
        self._kits.append((s.kit, self.above))

    def __call__(self, level: int, pairs: int) -> Dealt:
        """For so many pairs at a level; each level once, in order."""
        served = [(kit, levels[level]) for kit, levels in self._kits if level < len(levels) and levels[level]]
        return _first([_Part(kit, n, level) for kit, n in served], pairs)

    def drain(self, level: int) -> None:
        """Read what is left from this level on, that there were too few rows for."""
        for one in range(level, len(self.above)):
            self(one, 1)


class _Part:
    """What one kit holds for a level: for n pairs."""

    def __init__(self, kit: KitReader, n: int, level: int) -> None:
        self.n = n
        self.dealt = minimum.read(kit, n, level)

    def __repr__(self) -> str:
        return f"<_Part: {self.n} secret pairs>"


def _first(parts: Sequence[_Part], pairs: int) -> Dealt:
    """One after the other as one, for the first ``pairs`` of them."""
    relus = [part.dealt.relu for part in parts]
    masks, counts = [relu.mask for relu in relus], [part.n for part in parts]

    def bits(some: Sequence[Words]) -> Words:
        return _bits(some, counts, pairs)

    mask = Mask(
        masks[0].digits,
        _values([one.r for one in masks], pairs),
        bits([one.lowest for one in masks]),
        bits([one.monomials for one in masks]),
        [bits(some) for some in zip(*(one.gates for one in masks), strict=True)],
    )
    relu = maximum.Dealt(mask, bits([one.beta_bits for one in relus]), _values([one.values for one in relus], pairs))
    return Dealt(relu, bits([part.dealt.masks for part in parts]))


def _values(parts: Sequence[DealtValue], count: int) -> DealtValue:
    own, previous = (np.concatenate(some, axis=-1) for some in zip(*((p.own, p.previous) for p in parts), strict=True))
    return DealtValue(*(np.ascontiguousarray(some[..., :count]) for some in (own, previous)))


def _bits(parts: Sequence[Words], counts: Sequence[int], count: int) -> Words:
    """Planes (..., words) of so many bits each, one after the other: the first ``count`` bits."""
    if any(n % 64 for n in counts[:-1]):
        parts = [pack(np.concatenate([unpack(part, n) for part, n in zip(parts, counts, strict=True)], axis=-1))]
    return np.ascontiguousarray(np.concatenate(parts, axis=-1)[..., : words_for(count)])
