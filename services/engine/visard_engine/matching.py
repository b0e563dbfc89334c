"""Verification on shared descriptors: which protocols, in which order, from which kit.

A vector (D,) is a descriptor of ``size`` D and of length one, as visard_engine.describe gives them; a ``limit`` is half a squared
distance (Program.threshold). A model with a mean says of each photo that is compared whether it is too much like it: then
nothing matches, and who asks is not told why. What comes out is verified: the parties have seen the same, and every product is
what was opened of it.
"""

import numpy as np

from visard_engine.bits import ReplicatedBits, invert, pack, unpack
from visard_engine.correlated import KitReader
from visard_engine.field import Bools, Elements, Words
from visard_engine.kits import KitPlan
from visard_engine.protocols import comparison, conjunction, lockout, threshold
from visard_engine.protocols.mean import Mean, margins
from visard_engine.protocols.opening import agree, open_bits
from visard_engine.protocols.verification import verify as verify_claims
from visard_engine.sections import Section
from visard_engine.session import Run, Session
from visard_engine.stack import Matrix


def verify_plan(q: int, references: int, size: int, tested: int = 0) -> KitPlan:
    """What ``verify`` consumes for this many references of ``size`` numbers, and photos that are compared with a mean."""
    return KitPlan(q, (*decision(references, tested), *checks(size)))


def counted_plan(q: int, references: int, size: int, tested: int, allowed: int) -> KitPlan:
    """What ``verify_counted`` consumes: as ``verify``, and a counter of so many failures in a row."""
    return KitPlan(q, (*decision(references, tested), *checks(size), Section("lockout", allowed)))


def admission_plan(q: int, references: int, size: int, tested: int, others: int) -> KitPlan:
    """What ``admits`` consumes: as ``verify``, and with bits of so many photos that are compared with another model's mean."""
    gates = conjunction.levels(1 + others) if others else []
    return KitPlan(q, (*decision(references, tested), *(Section("and", n) for n in gates), *checks(size)))


def mean_plan(q: int, photos: int) -> KitPlan:
    """What ``resembles_mean`` consumes for this many photos."""
    return KitPlan(q, (Section("compare", photos),))


def decision(distances: int, tested: int) -> tuple[Section, ...]:
    """What ``threshold.any_within`` consumes."""
    gates = [*conjunction.levels(distances), *(conjunction.levels(1 + tested) if tested else ())]
    return Section("compare", distances + tested), *(Section("and", n) for n in gates)


def checks(size: int) -> tuple[Section, ...]:
    """What the verification takes, however many references there are."""
    return (Section("coin", 1), Section("inner", size))


async def verify(
    run: Run, kit: KitReader, probe: Elements, references: Matrix, limit: int, mean: Mean | None = None
) -> ReplicatedBits:
    """One bit: whether any reference (N, D) lies within ``limit`` of the probe (D,), which is not too much like the mean."""
    s = Session(run, kit)
    found = await _any_within(s, probe, references, limit, margins(s.field, probe[None], mean))
    await agree(s)
    return ReplicatedBits(found, 1)


async def is_locked(run: Run, kit: KitReader, counter: Elements) -> bool:
    """Whether a counter, shares (allowed + 1,), has come to its end, open to the parties; where it has, all three have seen that.

    Nothing of the kit is used up.
    """
    s = Session(run, kit)
    over = await lockout.is_over(s, counter)
    if over:
        await agree(s)
    return over


async def verify_counted(
    run: Run, kit: KitReader, probe: Elements, references: Matrix, limit: int, mean: Mean | None, counter: Elements
) -> tuple[ReplicatedBits, Elements]:
    """``verify``, and the counter afterwards; before, it has not come to its end. Fresh shares (allowed + 1,), as it was."""
    s = Session(run, kit)
    found = await _any_within(s, probe, references, limit, margins(s.field, probe[None], mean))
    after = await lockout.counted(s, found, counter[:-1])
    await agree(s)
    return ReplicatedBits(found, 1), after


async def compare(run: Run, kit: KitReader, photos: Elements, limit: int, mean: Mean | None = None) -> ReplicatedBits:
    """One bit: whether two photos (2, D) lie within ``limit`` of each other, and neither is too much like the mean."""
    s = Session(run, kit)
    found = await _any_within(s, photos[0], photos[1:], limit, margins(s.field, photos, mean))
    await agree(s)
    return ReplicatedBits(found, 1)


async def admits(
    run: Run,
    kit: KitReader,
    probe: Elements,
    references: Matrix,
    limit: int,
    mean: Mean | None = None,
    refused: ReplicatedBits | None = None,
) -> bool:
    """The bit of ``verify``, open to the parties, and that none of the bits ``refused`` is set: one bit, which says no more.

    ``refused`` are those of ``like_mean``, of another kit of this run.
    """
    s = Session(run, kit)
    found = await threshold.any_within(
        s, await threshold.distances(s, probe, references), limit, margins(s.field, probe[None], mean)
    )
    if refused is not None:
        kept = unpack(invert(s.party, refused.shared), refused.count)
        both = np.concatenate([unpack(found, 1), kept], axis=1)
        found = await conjunction.conjunction_of_all(s, pack(both), 1 + refused.count)
    await verify_claims(s, probe.size)
    return await _opened(s, found)


async def _opened(s: Session, found: Words) -> bool:
    """The bit that a run is about, once all that it follows from is verified."""
    word = await open_bits(s, found, "answer")
    await agree(s)
    return bool(word[0] & np.uint64(1))


async def resembles_mean(run: Run, kit: KitReader, photos: Elements, mean: Mean) -> Bools:
    """Which of the photos (T, D) are too much like the mean, (T,), open to the parties: those that are to be stored.

    Nothing is left to be verified: no product is made, and what is opened are lines and bits.
    """
    s = Session(run, kit)
    found = await open_bits(s, await _below_mean(s, photos, mean), "mean")
    await agree(s)
    return unpack(found, len(photos))


async def like_mean(run: Run, kit: KitReader, photos: Elements, mean: Mean) -> ReplicatedBits:
    """The bits of ``resembles_mean``, which stay shared; the run goes on, and ends with all three having seen the same."""
    return ReplicatedBits(await _below_mean(Session(run, kit), photos, mean), len(photos))


async def _below_mean(s: Session, photos: Elements, mean: Mean) -> Words:
    mask = await s.compute(len(photos), comparison.read, s.kit, len(photos), comparison.exact(s.field.q))
    _, negative = await comparison.is_negative(s, mean.margins(s.field, photos), mask, None)
    return negative


async def _any_within(s: Session, probe: Elements, references: Matrix, limit: int, margin: Elements) -> Words:
    distances = await threshold.distances(s, probe, references)
    found = await threshold.any_within(s, distances, limit, margin)
    await verify_claims(s, probe.size)
    return found
