"""Search: which rows of a gallery are within each of some thresholds of the probe, folded into tables for the caller.

Functionality: [a] (D,), [b_j] (N, D), all of length 2^u (normalise.py), public limits t_1 > t_2 > .. of half the squared
distance h_j = 2^2u - <a, b_j>, margins (mean.py), and public labels of the rows -> for each limit <T>, the XOR over the rows
with h_j <= t of the row's label and check at its cells (kernels/fold.py); zeros if a margin is negative. A row that lies beyond
a limit by less than ``fuzz`` (2^-13 of 2^2u, a cosine's 0.00012) may be taken for one within: next to what rounding does to a
descriptor that is nothing.
Cost: five rounds with the verification, whatever N is. A row sends 2 words, and 6 bits a limit; a bit of the tables 2 bits.
Dealt: 61 bits a row, and 15 a limit; a bit for one of the tables.
Security: as comparison.py and gates.py; tables come out of a gate, so that their pieces say nothing but what they hold.
How: all inner products are multiplied so that they fill the field, and c = 2z + r is opened once a row, of the loosest limit:
that of another one differs by a public number, and is compared with the same r. The sign comes from the upper 16 bits: one
level of gates. That row j goes into cell k is public, so the fold is linear over XOR, and local. The coin of the verification
is opened with the gates' bits: nothing is claimed of these.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from visard_engine.bits import pack, unpack, words_for, xor_public
from visard_engine.claims import Folded, Source, Stream
from visard_engine.correlated import Dealing
from visard_engine.errors import KitError
from visard_engine.field import Elements, Field, Words
from visard_engine.kernels import arithmetic, bitslice
from visard_engine.kernels import opening as opening_kernels
from visard_engine.kernels.channels import fold_rows, summed
from visard_engine.kernels.fold import CHECK_WORDS, PART_BITS, fold
from visard_engine.protocols import comparison, gates, mean, sizes
from visard_engine.protocols.comparison import Digits, Mask
from visard_engine.protocols.gates import Gate
from visard_engine.protocols.normalise import unit_bits
from visard_engine.protocols.opening import confirm, open_lines, open_lines_and_bits, open_parabolas
from visard_engine.protocols.verification import Check
from visard_engine.session import Session

BLOCKS = (65536, 4096)  # rows that a kit serves: a search takes as many of the larger as it fills, then smaller ones
MOST_LIMITS = 3
_DIGITS = 4  # one level of gates
_AND = Gate(2, (((0, 1),),))


@dataclass(frozen=True)
class Labels:
    """Public names of N rows, (N, W) words, and what chooses their cells: keys (2, 2 W) of 32 bits, in so many parts."""

    words: Words
    keys: npt.NDArray[np.uint64]
    parts: int

    @property
    def table_bits(self) -> int:
        """Bits of a table."""
        return table_bits(self.words.shape[1], self.parts)


def table_bits(words: int, parts: int) -> int:
    """Bits of a table of labels of so many words."""
    return (parts << PART_BITS) * (words + CHECK_WORDS) * 64


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
    return sizes.bits(len(_AND.dealt), n)


def deal_shown(d: Dealing, n: int, _: int) -> None:
    """Deal what shows n bits or hides them."""
    gates.deal(d, _AND, words_for(n))


class _Within(Source):
    """factor (offset + <a, b_j>) for the rows (N, D), and behind them margins of degree 1."""

    def __init__(self, s: Session, probe: Elements, rows: Elements, limit: int, margins: Elements) -> None:
        self._field, self._probe, self._rows = s.field, probe, rows
        self._factor = 1 << stretch(s.field.q)
        self._offset = limit - (1 << 2 * unit_bits(s.field.q))
        self._margins = s.field.scale(margins, 1 << mean_stretch(s.field.q))

    def __repr__(self) -> str:
        return f"<_Within: {self._rows.size} secret values>"

    def shares(self, part: slice) -> Elements:
        """Of degree 2, of some rows."""
        products = self._field.scale(arithmetic.products(self._rows[part], self._probe), self._factor)
        offset = np.full_like(products, self._field.element(self._factor * self._offset))
        return self._field.add(products, offset)

    @property
    def margins(self) -> Elements:
        """Those behind the rows."""
        return self._margins

    @override
    def fold(self, opened: Elements, stream: Stream, into: Folded) -> None:
        field, g = self._field, stream.elements(opened.size)
        ours, others = g[: len(self._rows)], g[len(self._rows) :]
        into.left.append(self._probe)
        into.right.append(field.scale(fold_rows(ours, self._rows, 1), self._factor))
        known = field.scale(summed(ours), self._factor * self._offset)
        if others.size:
            known = field.add(known, arithmetic.products(self._margins[None], others))
        into.rest = field.add(into.rest, field.subtract(known, arithmetic.products(opened[None], g)))


@dataclass(frozen=True)
class _Block:
    """Some of what is compared, with its dealt masks and one set of gates' masks (2, rows, words) a limit."""

    part: slice
    mask: Mask
    gates: list[Words]

    def __repr__(self) -> str:
        return f"<_Block: {self.mask!r}>"


def _read(s: Session, part: slice, size: int, limits: int) -> _Block:
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
    return _Block(part, kept, [np.ascontiguousarray(one[:, :, :words]) for one in (*mask.gates, *more)])


def _blocks(s: Session, sessions: Sequence[Session], rows: int, limits: int, margins: int) -> list[_Block]:
    """One a kit; margins, which the first limit's comparison decides, are masked by the last kit, ``s``."""
    found, start = [], 0
    for session, size in zip(sessions, blocks_of(rows), strict=True):
        stop = min(start + size, rows)
        found.append(_read(session, slice(start, stop), size, limits))
        start = stop
    if margins:
        found.append(_read(s, slice(rows, rows + margins), margins, 1))
    return found


async def search(
    s: Session,
    sessions: Sequence[Session],
    probe: Elements,
    rows: Elements,
    limits: Sequence[int],
    margins: Elements,
    labels: Labels,
) -> Words:
    """The tables of the limits, the loosest first, (2, words): verified, and all three parties go on.

    ``sessions`` are of the kits of blocks (``blocks_of``), ``s`` of the last one. Raises KitError, CheckFailed, ViewsDiffer.
    """
    if len(sessions) != len(blocks_of(len(rows))):
        raise KitError(f"{len(rows)} rows take {len(blocks_of(len(rows)))} kits of blocks, not {len(sessions)}")
    source = _Within(s, probe, rows, limits[0], margins)
    blocks = await s.compute(rows.size, _blocks, s, sessions, len(rows), len(limits), margins.size)
    share = await s.compute(rows.size, _masked, s, source, blocks)
    c = await open_parabolas(s, share, "masked product")
    s.claims.add(source, await s.compute(c.size, _unmasked, s, c, blocks))
    check = Check(s, probe.size)
    ahead = [await s.compute(rows.size, _digits, s, c[one.part], one, limits) for one in blocks]
    masked = np.concatenate([level.masked.reshape(2, -1) for block in ahead for level in block], axis=1)
    coin, opened = await open_lines_and_bits(s, check.coin(), masked, "digits and coin")
    within = await s.compute(rows.size, _signs, s, blocks, ahead, opened)
    tables = await s.compute(rows.size, _tables, within[: len(sessions)], labels)
    allowed = _allowed(s, within[len(sessions) :], margins.size)
    shown = await _verified(s, check, coin, allowed, tables)
    await confirm(s)
    return shown


def _masked(s: Session, source: _Within, blocks: Sequence[_Block]) -> Elements:
    """Shares of c = 2z + r, of degree 2 and otherwise random, block by block."""
    found = []
    for block in blocks:
        size = block.part.stop - block.part.start
        z = source.shares(block.part) if block.part.start < len(source._rows) else source.margins
        zero = s.prss.zero_sharing(s.field, size)
        found.append(opening_kernels.mask(z, block.mask.r.own, block.mask.r.previous, zero, s.kit.factors))
    return np.concatenate(found)


def _unmasked(s: Session, c: Elements, blocks: Sequence[_Block]) -> Elements:
    return np.concatenate(
        [opening_kernels.unmask(c[b.part], b.mask.r.own, b.mask.r.previous, s.kit.factors) for b in blocks]
    )


@dataclass(frozen=True)
class _Level:
    """A block's comparison with one limit before its gates: lowest bits of c, lt of the highest digit, the inputs masked."""

    lowest: Words
    less: Words
    masked: Words

    def __repr__(self) -> str:
        return f"<_Level: {self.less.size} secret words>"


def _digits(s: Session, c: Elements, block: _Block, limits: Sequence[int]) -> list[_Level]:
    q, found = s.field.q, []
    for limit, masks in zip(limits, block.gates, strict=False):  # of margins there is one
        shift = (limit - limits[0]) << stretch(q) + 1
        of_limit = s.field.add(c, np.full_like(c, s.field.element(shift))) if shift else c
        lt, eq = bitslice.leaves(of_limit, q, _DIGITS, block.mask.monomials, gates.public_piece(s))
        gate = digits(q).gates[0]
        inputs = comparison.inputs_of(lt[:, ::-1], eq[:, ::-1], gate)
        lowest = bitslice.transpose(of_limit, 0, 1)[0]
        found.append(_Level(lowest, lt[:, -1], inputs ^ masks[:, : gate.inputs]))
    return found


def _signs(s: Session, blocks: Sequence[_Block], ahead: Sequence[Sequence[_Level]], opened: Words) -> list[Words]:
    """For each block <z >= 0> of each limit, (limits, 2, words)."""
    gate, found, start = digits(s.field.q).gates[0], [], 0
    ones = ~np.uint64(0)
    for block, levels in zip(blocks, ahead, strict=True):
        signs = []
        for level, masks in zip(levels, block.gates, strict=True):
            size = level.masked[0].size
            out = gates.outputs(s, gate, opened[start : start + size].reshape(gate.inputs, -1), masks)
            start += size
            negative = level.less ^ out[:, 0] ^ block.mask.lowest
            signs.append(xor_public(s.party, negative, level.lowest ^ ones))
        found.append(np.stack(signs))
    return found


def _tables(within: Sequence[Words], labels: Labels) -> Words:
    """This party's pieces (2, words) of the tables, one after the other; local."""
    bits = np.concatenate(within, axis=2)
    planes = np.ascontiguousarray(bits.reshape(-1, bits.shape[2]))
    tables = fold(planes, labels.words, labels.keys, labels.parts).reshape(len(bits), 2, -1)
    return np.ascontiguousarray(tables.transpose(1, 0, 2)).reshape(2, -1)


def _allowed(s: Session, kept: Sequence[Words], margins: int) -> Words:
    """Whether the one margin is not negative, (2, 1), as bit 0; a public one where there is none."""
    if not margins:
        return xor_public(s.party, np.zeros((2, 1), np.uint64), np.ones(1, np.uint64))
    return pack(unpack(kept[0][0], 1))


async def _verified(s: Session, check: Check, coin: Elements, allowed: Words, tables: Words) -> Words:
    """The tables where they are allowed to be shown, else zeros, with the last two rounds of the verification."""
    bit = np.uint64(0) - (allowed & np.uint64(1))  # all ones, or none
    inputs = np.stack([np.broadcast_to(bit, tables.shape), tables], axis=1)
    lines = await check.masked(coin)
    dealt = gates.read(s.kit, _AND, 64 * tables.shape[1])
    masked = (inputs ^ dealt[:, : _AND.inputs]).reshape(2, -1)
    triples, opened = await open_lines_and_bits(s, lines, masked, "tables and triples")
    shown = gates.outputs(s, _AND, opened.reshape(_AND.inputs, -1), dealt)
    check.require(await open_lines(s, check.differences(triples), "differences"))
    return shown[:, 0]
