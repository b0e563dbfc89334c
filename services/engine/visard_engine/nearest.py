"""Identification by a tournament: which row of a gallery is nearest, if it is near enough; and the kits that this takes."""

from collections.abc import Sequence

import numpy as np

from visard_engine import matching
from visard_engine.bits import ReplicatedBits, pack
from visard_engine.field import Bools, Elements, Words
from visard_engine.kits import Kit, KitPlan
from visard_engine.protocols import choice, minimum, threshold, tournament
from visard_engine.protocols.blocks import blocks_of
from visard_engine.protocols.mean import Mean, margins
from visard_engine.protocols.opening import agree
from visard_engine.protocols.verification import verify
from visard_engine.sections import Section
from visard_engine.session import Run, Session


def identify_plans(q: int, rows: int, size: int, tested: int = 0) -> tuple[KitPlan, ...]:
    """What ``identify`` consumes for a gallery of this many rows of ``size`` numbers, with or without a mean.

    Kits for blocks of rows, the same for every gallery, then one more: it changes where 65,536 rows are twice as many as before.
    """
    blocks = (KitPlan(q, _levels(tournament.of_block(n))) for n in blocks_of(rows))
    above = tournament.above(rows)
    decided = (*matching.decision(1, tested), Section("choose", 1, len(above)), *matching.checks(size))
    return *blocks, KitPlan(q, (*_levels(above), *decided))


def _levels(pairs: Sequence[int]) -> tuple[Section, ...]:
    return tuple(Section("min", n, level) for level, n in enumerate(pairs) if n)


async def identify(
    run: Run, kits: Sequence[Kit], probe: Elements, references: threshold.Gallery, limit: int, mean: Mean | None = None
) -> ReplicatedBits:
    """Bit 0: whether the nearest row of (N, D), N > 0, lies within ``limit``, and the probe is not too much like the mean; then
    the row's number in bits, or zeros if not. From kits of ``identify_plans``, in their order. Raises KitError for others."""
    *blocks, s = (Session(run, kit) for kit in kits)
    supply = tournament.Supply(s, blocks, len(references))
    distances = await threshold.distances(s, probe, references)
    least, row = await minimum.minimum(s, distances, supply)
    supply.drain(row.shape[1])
    match = await threshold.any_within(s, least, limit, margins(s.field, probe[None], mean))
    found = await _reveal_row(s, match, row, len(supply.above))
    await verify(s, probe.size)
    await agree(s)
    return ReplicatedBits(found, 1 + row.shape[1])


async def _reveal_row(s: Session, match: Words, row: Bools, most: int) -> Words:
    """The match bit, then the row's bits where it matches; of ``most`` that a kit serves."""
    bit = (match & np.uint64(1)).astype(np.bool_)
    filled = np.pad(row, ((0, 0), (0, most - row.shape[1])))
    shown = await choice.allowed(s, pack(bit), pack(filled[:, :, None]))
    bits = (shown[:, : row.shape[1], 0] & np.uint64(1)).astype(np.bool_)
    return pack(np.concatenate([bit, bits], axis=1))
