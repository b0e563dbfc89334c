"""Verification and identification on shared descriptors: which protocols, in which order, from which kit.

A vector (D + 1,) is a descriptor of ``size`` D followed by its squared norm, as visard_engine.describe gives them.
What comes out is verified: the parties have seen the same, and every product is what was opened of it.
"""

import numpy as np

from visard_engine.bits import ReplicatedBits, pack
from visard_engine.correlated import KitReader
from visard_engine.field import Bools, Elements, Words
from visard_engine.kits import KitPlan
from visard_engine.protocols import choice, conjunction, minimum, threshold
from visard_engine.protocols.opening import agree, open_bits
from visard_engine.protocols.verification import verify as verify_claims
from visard_engine.sections import Section
from visard_engine.session import Run, Session


def verify_plan(q: int, references: int, size: int) -> KitPlan:
    """What ``verify`` consumes for this many references of ``size`` numbers."""
    gates = (Section("and", n) for n in conjunction.levels(references))
    return KitPlan(q, (Section("compare", references), *gates, *checks(size)))


def identify_plan(q: int, rows: int, size: int) -> KitPlan:
    """What ``identify`` consumes for a gallery of this many rows of ``size`` numbers."""
    levels = minimum.levels(rows)
    tournament = (Section("min", pairs, level) for level, pairs in enumerate(levels))
    row = (Section("choose", 1, len(levels)),) if levels else ()
    return KitPlan(q, (*tournament, Section("compare", 1), *row, *checks(size)))


def checks(size: int) -> tuple[Section, ...]:
    """What the verification takes, however many references there are."""
    return (Section("coin", 1), Section("inner", size))


async def verify(run: Run, kit: KitReader, probe: Elements, references: Elements, limit: int) -> ReplicatedBits:
    """One bit: whether any reference (N, D + 1) lies within squared distance ``limit`` of the probe (D + 1,)."""
    s = Session(run, kit)
    found = await _any_within(s, probe, references, limit)
    await agree(s)
    return ReplicatedBits(found, 1)


async def is_known(run: Run, kit: KitReader, probe: Elements, references: Elements, limit: int) -> bool:
    """The bit of ``verify``, open to the parties."""
    s = Session(run, kit)
    found = await _any_within(s, probe, references, limit)
    word = await open_bits(s, found, "answer")
    await agree(s)
    return bool(word[0] & np.uint64(1))


async def _any_within(s: Session, probe: Elements, references: Elements, limit: int) -> Words:
    distances = await threshold.distances(s, probe, references)
    found = await threshold.any_within(s, distances, limit)
    await verify_claims(s, probe.size - 1)
    return found


async def identify(run: Run, kit: KitReader, probe: Elements, references: Elements, limit: int) -> ReplicatedBits:
    """Bit 0: whether the nearest row of (N, D + 1) lies within ``limit``; then its number's bits, or zeros if it does not."""
    s = Session(run, kit)
    distances = await threshold.distances(s, probe, references)
    least, row = await minimum.minimum(s, distances)
    match = await threshold.any_within(s, least, limit)
    found = await _reveal_row(s, match, row)
    await verify_claims(s, probe.size - 1)
    await agree(s)
    return ReplicatedBits(found, 1 + row.shape[1])


async def _reveal_row(s: Session, match: Words, row: Bools) -> Words:
    """The match bit, then the row's bits where it matches."""
    bit = (match & np.uint64(1)).astype(np.bool_)
    if not row.shape[1]:
        return pack(bit)
    shown = await choice.allowed(s, pack(bit), pack(row[:, :, None]))
    return pack(np.concatenate([bit, (shown[:, :, 0] & np.uint64(1)).astype(np.bool_)], axis=1))
