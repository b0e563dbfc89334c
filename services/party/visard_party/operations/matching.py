"""Verify, compare: a network evaluated once a photo, one comparison, one sealed answer."""

import numpy as np
from typing_extensions import override
from visard_engine import matching
from visard_engine.bits import ReplicatedBits
from visard_engine.kits import Kit
from visard_wire.v1 import common_pb2

from visard_party.intake.asked import Asked
from visard_party.operations import locking
from visard_party.operations.base import Reading
from visard_party.operations.counters import Counting
from visard_party.operations.images import descriptors, images_to_match, network_plans
from visard_party.operations.prepared import Outcome, Prepared
from visard_party.operations.resources import Resources
from visard_party.peers.channel import SessionChannel


class Verify(Reading):
    """Is this photo the subject? Where the gallery locks, answered when it is counted."""

    @override
    async def prepare(self, resources: Resources, asked: Asked) -> Prepared:
        return await locking.prepared(resources, asked)

    @override
    async def perform(
        self, resources: Resources, prepared: Prepared, channel: SessionChannel, kits: list[Kit]
    ) -> Outcome:
        if isinstance(prepared, Counting):
            return Outcome(bits_outcome(prepared, await locking.verified(resources, prepared, channel, kits)))
        (probe,), (kit,) = await descriptors(resources, prepared, channel, kits)
        run = channel.begin_run(prepared.terms)
        limits = prepared.limit, prepared.network.program.mean_test
        bits = await matching.verify(run, kit, probe, prepared.own.shares, *limits)
        return Outcome(bits_outcome(prepared, bits))


class Compare(Reading):
    """Do two photos show one person?"""

    @override
    async def prepare(self, resources: Resources, asked: Asked) -> Prepared:
        request = asked.request
        model = await resources.models.get(request.model)
        images = images_to_match(asked, model)
        plans = (
            *network_plans(asked, model, 2),
            matching.verify_plan(model.program.q, 1, model.program.output.size, 2 * model.tested),
        )
        return Prepared(asked, plans, model=model, images=images)

    @override
    async def perform(
        self, resources: Resources, prepared: Prepared, channel: SessionChannel, kits: list[Kit]
    ) -> Outcome:
        photos, (kit,) = await descriptors(resources, prepared, channel, kits)
        run = channel.begin_run(prepared.terms)
        limits = prepared.limit, prepared.network.program.mean_test
        return Outcome(bits_outcome(prepared, await matching.compare(run, kit, np.stack(photos), *limits)))


def bits_outcome(prepared: Prepared, bits: ReplicatedBits) -> common_pb2.Outcome:
    """An answer's bits, and the point that decided."""
    own, previous = bits.pieces()
    point = prepared.operating_point
    return common_pb2.Outcome(bits=bits.count, piece_own=own, piece_previous=previous, operating_point=point)
