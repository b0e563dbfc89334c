"""Verification on shared descriptors: which protocols, in which order, from which kit.

A vector (D,) is a descriptor of ``size`` D and of length one, as visard_engine.describe gives them; a ``limit`` is half a squared
distance (Program.threshold). A model with a mean says of each photo that is compared whether it is too much like it: then
nothing matches, and who asks is not told why. What comes out is verified: the parties have seen the same, and every product is
what was opened of it.
"""

from visard_engine.bits import ReplicatedBits, unpack
from visard_engine.correlated import KitReader
from visard_engine.field import Bools, Elements, Words
from visard_engine.kits import KitPlan
from visard_engine.protocols import comparison, conjunction, threshold
from visard_engine.protocols.mean import Mean, margins
from visard_engine.protocols.opening import agree, open_bits
from visard_engine.protocols.verification import verify as verify_claims
from visard_engine.sections import Section
from visard_engine.session import Run, Session


def verify_plan(q: int, references: int, size: int, tested: int = 0) -> KitPlan:
    """What ``verify`` consumes for this many references of ``size`` numbers, and photos that are compared with a mean."""
    return KitPlan(q, (*decision(references, tested), *checks(size)))


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
