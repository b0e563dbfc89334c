"""Migrate: a photo that shows the subject by one model becomes its reference with another, from one upload.

What the parties learn is one bit: whether the subject was moved. It is the conjunction of all that has to hold: near enough by
the old model, and not too much like the mean of either. If it is not set nothing is stored, and the request can never be made
again (as any write that was refused); the answer has the same size.
"""

from dataclasses import replace

from typing_extensions import override
from visard_common.errors import InvalidArgument, ResourceExhausted
from visard_common.limits import MAX_REFERENCES
from visard_engine import matching
from visard_engine.kits import Kit
from visard_wire.v1 import common_pb2

from visard_party.intake.asked import Asked
from visard_party.operations.base import Operation
from visard_party.operations.counters import left_behind
from visard_party.operations.images import (
    descriptors,
    descriptors_by,
    images_behind,
    images_to_match,
    network_plans,
    subject_rows,
)
from visard_party.operations.prepared import Outcome, Prepared, names_of
from visard_party.operations.resources import Resources
from visard_party.operations.successors import Moving, moved_to, successor, told
from visard_party.peers.channel import SessionChannel
from visard_party.store.contents import Change


class Migrate(Operation):
    """If the photo is the subject, it becomes a reference of the new model, in the place of those of the old one."""

    @override
    def exclusive(self, request: common_pb2.Request) -> bool:
        return False

    @override
    async def prepare(self, resources: Resources, asked: Asked) -> Prepared:
        request = asked.request
        model, new = await resources.models.get(request.model), await resources.models.get(request.new_model)
        images, behind = images_to_match(asked, model), images_behind(asked, model, new)
        own = await resources.live(request, request.subject)
        rows = subject_rows(own, asked, model)
        there = await resources.live(request, request.subject, moved_to(request))
        if len(there) >= MAX_REFERENCES:
            raise InvalidArgument.of("request.new_model", f"one where the subject has less than {MAX_REFERENCES}")
        if await resources.store.count(request.new_model) >= resources.max_references:
            raise ResourceExhausted(
                f"model {request.new_model!r} has {resources.max_references} references, as many as are allowed"
            )
        q, size = model.program.q, model.program.output.size
        plans = (
            *network_plans(asked, model, 1),
            *network_plans(asked, new, 1),
            matching.admission_plan(q, len(rows), size, model.tested, new.tested),
            *((matching.mean_plan(new.program.q, 1),) if new.tested else ()),
        )
        going = [] if request.keep else own
        names, counters = names_of([*going, *there]), await left_behind(resources.store, names_of(going))
        erase, beside = (tuple(row.reference_id for row in some) for some in (going, counters))
        return Moving(
            *(asked, plans, names, rows, model, images, Change(erase=erase, beside=beside)),
            beside=names_of(counters),
            successor=new,
            behind=behind,
            before=own,
        )

    @override
    async def perform(
        self, resources: Resources, prepared: Prepared, channel: SessionChannel, kits: list[Kit]
    ) -> Outcome:
        assert isinstance(prepared, Moving)
        assert isinstance(prepared.write, Change)
        (probe,), left = await descriptors(resources, prepared, channel, kits)
        # also of who will not be moved: all of it is done before anything is decided
        new, behind = prepared.successor, prepared.behind
        (fresh,), (decision, *more) = await descriptors_by(new, behind, resources, prepared, channel, left)
        run = channel.begin_run(prepared.terms)
        mean = prepared.successor.program.mean_test
        unlike = await matching.like_mean(run, more[0], fresh[None], mean) if mean is not None else None
        limits = prepared.limit, prepared.network.program.mean_test
        # the parties learn this bit and no other
        if not await matching.admits(run, decision, probe, prepared.own.shares, *limits, unlike):
            request = prepared.request
            await resources.store.drop(request.request_id, request.expires_unix_ms)
            return told(prepared.asked, migrated=False)
        outcome = told(prepared.asked, migrated=True)
        write = replace(prepared.write, add=(successor(prepared, fresh),))
        outcome.counts(await resources.write(prepared, channel, write))
        return outcome

    @override
    def repeated(self, resources: Resources, asked: Asked) -> Outcome:
        return told(asked, migrated=True)
