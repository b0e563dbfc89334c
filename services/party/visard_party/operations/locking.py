"""Failures in a row: a verification in a gallery that locks is answered when all three parties have counted it.

Whether the subject is locked is opened before anything else, from what is stored, and never from what this verification comes to:
whoever heard of a failure first could end the run before it is counted.
"""

from collections.abc import Sequence

from visard_common.errors import FailedPrecondition
from visard_common.limits import LEADER
from visard_engine import matching
from visard_engine.bits import ReplicatedBits
from visard_engine.kits import Kit, KitPlan

from visard_party.intake.asked import Asked
from visard_party.models import Published
from visard_party.operations import galleries
from visard_party.operations.counters import Counting, locked
from visard_party.operations.images import descriptors, images_to_match, network_plans, subject_rows
from visard_party.operations.prepared import Prepared, names_of
from visard_party.operations.resources import Resources
from visard_party.peers.channel import SessionChannel
from visard_party.store.contents import Change, Place

_MOST_KNOWN = 10_000  # counters that party 0 remembers to have come to their end; of others it asks again


def plan_of(asked: Asked, model: Published, references: int) -> KitPlan:
    """Of the kit that takes a decision, and counts it where the gallery locks."""
    q, size = model.program.q, model.program.output.size
    if not asked.lock_after:
        return matching.verify_plan(q, references, size, model.tested)
    if size <= asked.lock_after:
        raise FailedPrecondition(f"gallery locks after {asked.lock_after} failures, too many for model {model.name!r}")
    return matching.counted_plan(q, references, size, model.tested, asked.lock_after)


async def prepared(resources: Resources, asked: Asked) -> Prepared:
    """A verification about to be run. Raises NotFound, and FailedPrecondition of whom party 0 knows to be locked."""
    request = asked.request
    model = await resources.models.get(request.model)
    images, place = images_to_match(asked, model), Place.of(request)
    own = await resources.store.references(place, request.subject)
    rows = subject_rows(own, asked, model)
    plans = (*network_plans(asked, model, 1), plan_of(asked, model, len(rows)))
    if not asked.lock_after:
        return Prepared(asked, plans, (), rows, model, images)
    counters = await resources.store.references(place.counting, request.subject)
    if len(counters) > 1:  # which none of our writes leaves; an administrator's word makes it none
        raise locked()
    # party 0 alone: who has forgotten it, in a restart, would propose kits for the others to refuse
    if resources.party == LEADER and any((row.reference_id, asked.lock_after) in resources.locked for row in counters):
        raise locked()
    beside = [galleries.lock_rule(place.gallery, asked.lock_after).name, *names_of(counters)]
    return Counting(asked, plans, (), rows, model, images, beside=beside, counters=counters)


async def verified(
    resources: Resources, counting: Counting, channel: SessionChannel, kits: Sequence[Kit]
) -> ReplicatedBits:
    """The answer, once all three parties have what was counted; raises FailedPrecondition, before anything, of who is locked."""
    run, counter = channel.begin_run(counting.terms), counting.counter
    if await matching.is_locked(run, kits[-1], counter):
        _remember(resources, counting)
        raise locked()
    (probe,), (kit,) = await descriptors(resources, counting, channel, kits)
    limits = counting.limit, counting.network.program.mean_test
    bits, after = await matching.verify_counted(run, kit, probe, counting.own.shares, *limits, counter)
    gone = tuple(row.reference_id for row in counting.counters)
    await resources.write(counting, channel, Change((counting.afterwards(after),), beside=gone))
    return bits


def _remember(resources: Resources, counting: Counting) -> None:
    """So that whoever goes on asking costs no more kits."""
    known = resources.locked
    known.update({(row.reference_id, counting.asked.lock_after): None for row in counting.counters})
    while len(known) > _MOST_KNOWN:
        del known[next(iter(known))]
