"""Verification and identification on shared descriptors: which protocols, in which order, from which kit.

A vector (D,) is a descriptor of ``size`` D and of length one, as visard_engine.describe gives them; a ``limit`` is half a squared
distance (Program.threshold). A model with a mean says of each photo that is compared whether it is too much like it: then
nothing matches, and who asks is not told why. What comes out is verified: the parties have seen the same, and every product is
what was opened of it.
"""

from collections.abc import Sequence

import numpy as np

from visard_engine.bits import ReplicatedBits, pack, unpack
from visard_engine.correlated import KitReader
from visard_engine.field import Bools, Elements, Words
from visard_engine.kits import KitPlan
from visard_engine.protocols import choice, comparison, conjunction, minimum, threshold, tournament
from visard_engine.protocols.blocks import blocks_of
from visard_engine.protocols.mean import Mean, margins
from visard_engine.protocols.opening import agree, open_bits
from visard_engine.protocols.verification import verify as verify_claims
from visard_engine.sections import Section
from visard_engine.session import Run, Session


def verify_plan(q: int, references: int, size: int, tested: int = 0) -> KitPlan:
    """What ``verify`` consumes for this many references of ``size`` numbers, and photos that are compared with a mean."""
    return KitPlan(q, (*_decision(references, tested), *checks(size)))


def identify_plans(q: int, rows: int, size: int, tested: int = 0) -> tuple[KitPlan, ...]:
    """What ``identify`` consumes for a gallery of this many rows of ``size`` numbers, with or without a mean.

    Kits for blocks of rows, the same for every gallery, then one more: it changes where 65,536 rows are twice as many as before.
    """
    blocks = (KitPlan(q, _levels(tournament.of_block(n))) for n in blocks_of(rows))
    above = tournament.above(rows)
    decided = (*_decision(1, tested), Section("choose", 1, len(above)), *checks(size))
    return *blocks, KitPlan(q, (*_levels(above), *decided))


def _levels(pairs: Sequence[int]) -> tuple[Section, ...]:
    return tuple(Section("min", n, level) for level, n in enumerate(pairs) if n)


def mean_plan(q: int, photos: int) -> KitPlan:
    """What ``resembles_mean`` consumes for this many photos."""
    return KitPlan(q, (Section("compare", photos),))


def _decision(distances: int, tested: int) -> tuple[Section, ...]:
    """What ``threshold.any_within`` consumes."""
    gates = [*conjunction.levels(distances), *(conjunction.levels(1 + tested) if tested else ())]
    return Section("compare", distances + tested), *(Section("and", n) for n in gates)


def checks(size: int) -> tuple[Section, ...]:
    """What the verification takes, however many references there are."""
    return (Section("coin", 1), Section("inner", size))


async def verify(
    run: Run, kit: KitReader, probe: Elements, references: Elements, limit: int, mean: Mean | None = None
) -> ReplicatedBits:
    """One bit: whether any reference (N, D) lies within ``limit`` of the probe (D,), which is not too much like the mean."""
    s = Session(run, kit)
    found = await _any_within(s, probe, references, limit, margins(s.field, probe[None], mean))
    await agree(s)
    return ReplicatedBits(found, 1)


async def compare(run: Run, kit: KitReader, photos: Elements, limit: int, mean: Mean | None = None) -> ReplicatedBits:
    """One bit: whether two photos (2, D) lie within ``limit`` of each other, and neither is too much like the mean."""
    s = Session(run, kit)
    found = await _any_within(s, photos[0], photos[1:], limit, margins(s.field, photos, mean))
    await agree(s)
    return ReplicatedBits(found, 1)


async def resembles_mean(run: Run, kit: KitReader, photos: Elements, mean: Mean) -> Bools:
    """Which of the photos (T, D) are too much like the mean, (T,), open to the parties: those that are to be stored.

    Nothing is left to be verified: no product is made, and what is opened are lines and bits.
    """
    s = Session(run, kit)
    mask = await s.compute(len(photos), comparison.read, s.kit, len(photos), comparison.exact(s.field.q))
    _, negative = await comparison.is_negative(s, mean.margins(s.field, photos), mask, None)
    found = await open_bits(s, negative, "mean")
    await agree(s)
    return unpack(found, len(photos))


async def _any_within(s: Session, probe: Elements, references: Elements, limit: int, margin: Elements) -> Words:
    distances = await threshold.distances(s, probe, references)
    found = await threshold.any_within(s, distances, limit, margin)
    await verify_claims(s, probe.size)
    return found


async def identify(
    run: Run, kits: Sequence[KitReader], probe: Elements, references: Elements, limit: int, mean: Mean | None = None
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
    await verify_claims(s, probe.size)
    await agree(s)
    return ReplicatedBits(found, 1 + row.shape[1])


async def _reveal_row(s: Session, match: Words, row: Bools, most: int) -> Words:
    """The match bit, then the row's bits where it matches; of ``most`` that a kit serves."""
    bit = (match & np.uint64(1)).astype(np.bool_)
    filled = np.pad(row, ((0, 0), (0, most - row.shape[1])))
    shown = await choice.allowed(s, pack(bit), pack(filled[:, :, None]))
    bits = (shown[:, : row.shape[1], 0] & np.uint64(1)).astype(np.bool_)
    return pack(np.concatenate([bit, bits], axis=1))
