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

from visard_engine.bits import pack, unpack, xor_public
from visard_engine.claims import Folded, Source, Stream
from visard_engine.errors import KitError
from visard_engine.field import Elements, Words
from visard_engine.kernels import arithmetic
from visard_engine.kernels.channels import fold_all_rows, summed
from visard_engine.kernels.fold import CHECK_WORDS, PART_BITS, fold
from visard_engine.protocols import blocks as dealt_blocks
from visard_engine.protocols import gates
from visard_engine.protocols.blocks import AND, Block, Level, blocks_of, mean_stretch, stretch
from visard_engine.protocols.normalise import unit_bits
from visard_engine.protocols.opening import confirm, open_lines, open_lines_and_bits, open_parabolas
from visard_engine.protocols.verification import Check
from visard_engine.session import Session
from visard_engine.stack import Matrix, parts_of

_FOLDED = 1 << 16  # rows at a time, whose random factors are in memory


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


class Within(Source):
    """factor (offset + <a, b_j>) for the rows (N, D), and behind them margins of degree 1."""

    def __init__(self, s: Session, probe: Elements, rows: Matrix, limit: int, margins: Elements) -> None:
        self._field, self._probe, self._rows = s.field, probe, rows
        self._factor = 1 << stretch(s.field.q)
        self._offset = limit - (1 << 2 * unit_bits(s.field.q))
        self._margins = s.field.scale(margins, 1 << mean_stretch(s.field.q))

    def __repr__(self) -> str:
        return f"<Within: {self._rows.size} secret values>"

    def shares(self, part: slice) -> Elements:
        """Of degree 2, of some rows; or those of the margins, which lie behind the rows."""
        if part.start >= len(self._rows):
            return self._margins
        found = np.concatenate([arithmetic.products(rows, self._probe) for rows in parts_of(self._rows, part)])
        products = self._field.scale(found, self._factor)
        offset = np.full_like(products, self._field.element(self._factor * self._offset))
        return self._field.add(products, offset)

    @override
    def fold(self, opened: Elements, stream: Stream, into: Folded) -> None:
        self.fold_each(opened, stream, [into])

    @override
    def fold_each(self, opened: Elements, stream: Stream, into: Sequence[Folded]) -> None:
        field, count = self._field, len(self._rows)
        sums, known = np.zeros((len(into), self._rows.shape[1]), opened.dtype), np.zeros(len(into), opened.dtype)
        for part in [slice(start, min(start + _FOLDED, count)) for start in range(0, count, _FOLDED)]:
            factors = np.stack([stream.elements(part.stop - part.start) for _ in into])
            # of a large gallery reading the rows is what takes time
            sums = field.add(sums, self._folded(factors, part))
            offsets = np.concatenate([summed(g) for g in factors])
            known = field.add(known, field.scale(offsets, self._factor * self._offset))
            known = field.subtract(known, arithmetic.products(factors, opened[part]))
        for one, folded, rest in zip(into, sums, known, strict=True):
            one.left.append(self._probe)
            one.right.append(field.scale(folded, self._factor))
            one.rest = field.add(one.rest, field.add(rest[None], self._of_margins(opened[count:], stream)))

    def _folded(self, factors: Elements, part: slice) -> Elements:
        """Factors (F, n) times a part's n rows, (F, D)."""
        out, start = np.zeros((len(factors), self._rows.shape[1]), factors.dtype), 0
        for rows in parts_of(self._rows, part):
            own = np.ascontiguousarray(factors[:, start : start + len(rows)])
            out, start = self._field.add(out, fold_all_rows(own, rows)), start + len(rows)
        return out

    def _of_margins(self, opened: Elements, stream: Stream) -> Elements:
        """The combination of what is of degree 1, (1,)."""
        if not opened.size:
            return self._field.encode([0])
        differences = self._field.subtract(self._margins, opened)
        return arithmetic.products(differences[None], stream.elements(opened.size))


async def search(
    s: Session,
    sessions: Sequence[Session],
    probe: Elements,
    rows: Matrix,
    limits: Sequence[int],
    margins: Elements,
    labels: Labels,
) -> Words:
    """The tables of the limits, the loosest first, (2, words): verified, and all three parties go on.

    ``sessions`` are of the kits of blocks (``blocks_of``), ``s`` of the last one. Raises KitError, CheckFailed, ViewsDiffer.
    """
    check = Check(s, probe.size)
    coin, within = await compared(s, sessions, check, probe, rows, limits, margins)
    tables = await s.compute(rows.size, _tables, within[: len(sessions)], labels)
    allowed = _allowed(s, within[len(sessions) :], margins.size)
    shown = await _verified(s, check, coin, allowed, tables)
    await confirm(s)
    return shown


async def compared(
    s: Session,
    sessions: Sequence[Session],
    check: Check,
    probe: Elements,
    rows: Matrix,
    limits: Sequence[int],
    margins: Elements,
) -> tuple[Elements, list[Words]]:
    """The first two rounds: the coin of the verification, and for each block <z >= 0> of each limit, (limits, 2, words).

    Bits behind a block's rows are random. Raises KitError and ViewsDiffer.
    """
    if len(sessions) != len(blocks_of(len(rows))):
        raise KitError(f"{len(rows)} rows take {len(blocks_of(len(rows)))} kits of blocks, not {len(sessions)}")
    source = Within(s, probe, rows, limits[0], margins)
    blocks = await s.compute(rows.size, dealt_blocks.read, s, sessions, len(rows), len(limits), margins.size)
    c = await open_parabolas(s, await s.compute(rows.size, _masked, s, source, blocks), "masked product")
    s.claims.add(source, await s.compute(c.size, _unmasked, s, c, blocks))
    ahead = [await s.compute(rows.size, one.levels, s, c[one.part], limits) for one in blocks]
    del blocks, c  # of a large gallery they are what fills the memory
    masked = np.concatenate([level.masked.reshape(2, -1) for block in ahead for level in block], axis=1)
    coin, opened = await open_lines_and_bits(s, check.coin(), masked, "digits and coin")
    return coin, await s.compute(rows.size, _signs, s, ahead, opened)


def _masked(s: Session, source: Within, blocks: Sequence[Block]) -> Elements:
    """What is opened of each row and margin, block by block."""
    out = np.empty(blocks[-1].part.stop, s.field.dtype)
    for block in blocks:
        out[block.part] = block.masked(s, source.shares(block.part))
    return out


def _unmasked(s: Session, c: Elements, blocks: Sequence[Block]) -> Elements:
    out = np.empty_like(c)
    for block in blocks:
        out[block.part] = block.unmasked(s, c[block.part])
    return out


def _signs(s: Session, ahead: Sequence[Sequence[Level]], opened: Words) -> list[Words]:
    """For each block <z >= 0> of each limit, (limits, 2, words), from the gates' opened bits of all."""
    found, start = [], 0
    for levels in ahead:
        signs = []
        for level in levels:
            part = opened[start : start + level.masked[0].size]
            signs.append(level.sign(s, part.reshape(level.masked.shape[1], -1)))
            start += part.size
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
    dealt = gates.read(s.kit, AND, 64 * tables.shape[1])
    masked = (inputs ^ dealt[:, : AND.inputs]).reshape(2, -1)
    triples, opened = await open_lines_and_bits(s, lines, masked, "tables and triples")
    shown = gates.outputs(s, AND, opened.reshape(AND.inputs, -1), dealt)
    check.require(await open_lines(s, check.differences(triples), "differences"))
    return shown[:, 0]
