"""Verification and identification on shared descriptors: which protocols, in which order, from which kit."""

import numpy as np

from visard_engine.bits import ReplicatedBits, pack, unpack
from visard_engine.correlated import KitReader
from visard_engine.field import Bools, Elements, Words
from visard_engine.kits import KitPlan, Section
from visard_engine.protocols import minimum, threshold
from visard_engine.protocols.conjunction import conjunction
from visard_engine.session import Run, Session


def verify_plan(q: int, references: int) -> KitPlan:
    """What ``verify`` consumes for this many references."""
    return KitPlan(q, (Section("compare", references),))


def identify_plan(q: int, rows: int) -> KitPlan:
    """What ``identify`` consumes for a gallery of this many rows."""
    tournament = tuple(Section("max", pairs) for pairs in minimum.levels(rows))
    return KitPlan(q, (*tournament, Section("compare", 1)))


async def verify(run: Run, kit: KitReader, probe: Elements, references: Elements, limit: int) -> ReplicatedBits:
    """One bit: whether any reference (N, D) lies within squared distance ``limit`` of the probe (D,)."""
    s = Session(run, kit)
    distances = await s.compute(references.size, threshold.distances, probe, references)
    return ReplicatedBits(await threshold.any_within(s, distances, limit), 1)


async def identify(run: Run, kit: KitReader, probe: Elements, references: Elements, limit: int) -> ReplicatedBits:
    """Bit 0: whether the nearest row of (N, D) lies within ``limit``; then its number's bits, or zeros if it does not."""
    s = Session(run, kit)
    distances = await s.compute(references.size, threshold.distances, probe, references)
    least, row = await minimum.minimum(s, distances)
    match = await threshold.any_within(s, least, limit)
    return ReplicatedBits(await _reveal_row(s, match, row), 1 + row.shape[1])


async def _reveal_row(s: Session, match: Words, row: Bools) -> Words:
    """The match bit, then the row's bits where it matches."""
    bit = (match & np.uint64(1)).astype(np.bool_)
    if not row.shape[1]:
        return pack(bit)
    allowed = await conjunction(s, pack(np.repeat(bit, row.shape[1], axis=1)), pack(row))
    return pack(np.concatenate([bit, unpack(allowed, row.shape[1])], axis=1))
