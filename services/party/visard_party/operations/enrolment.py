"""Enrol: photos become references."""

from typing_extensions import override
from visard_common.errors import InvalidArgument, ResourceExhausted
from visard_common.limits import MAX_REFERENCES
from visard_engine.kits import Kit
from visard_wire.v1 import common_pb2

from visard_party.intake.asked import Asked
from visard_party.operations import admission, whom
from visard_party.operations.base import Operation
from visard_party.operations.images import descriptors, images_to_match, network_plans
from visard_party.operations.prepared import Outcome, Prepared, names_of
from visard_party.operations.references import ids_outcome, references
from visard_party.operations.resources import Resources
from visard_party.peers.channel import SessionChannel
from visard_party.store.contents import Change


class Enrol(Operation):
    """Descriptors of photos become references, in addition to the subject's earlier ones or in their place."""

    @override
    def exclusive(self, request: common_pb2.Request) -> bool:
        """A check against everybody must see the enrolments that are under way."""
        return request.unique

    @override
    async def prepare(self, resources: Resources, asked: Asked) -> Prepared:
        request = asked.request
        model = await resources.models.get(request.model)
        images = images_to_match(asked, model)
        own = await resources.live(request, request.subject)
        if request.images + (0 if request.replace else len(own)) > MAX_REFERENCES:
            raise InvalidArgument.of("request.images", f"a subject has at most {MAX_REFERENCES} references")
        if await resources.store.count(request.model) + request.images > resources.max_references:
            raise ResourceExhausted(
                f"model {request.model!r} has {resources.max_references} references, as many as are allowed"
            )
        rows = await whom.others(resources, asked, model)
        asks = admission.plans(asked, model, rows)
        if rows:
            resources.stock.want_ahead(asks)
        plans = network_plans(asked, model, request.images) + asks
        erase = Change(erase=tuple(row.reference_id for row in own) if request.replace else ())
        return Prepared(asked, plans, names_of(own), rows, model, images, erase)

    @override
    async def perform(
        self, resources: Resources, prepared: Prepared, channel: SessionChannel, kits: list[Kit]
    ) -> Outcome:
        assert isinstance(prepared.write, Change)
        found, more = await descriptors(resources, prepared, channel, kits)
        told: common_pb2.Outcome | None = None
        if more or prepared.rows:
            run = channel.begin_run(prepared.terms)
            told = await admission.check(resources, run, more, found, prepared)
        changed = await resources.write(prepared, channel, Change(references(prepared, found), prepared.write.erase))
        outcome = ids_outcome(prepared.asked)
        if told is not None:
            outcome.MergeFrom(told)
        outcome.compared = prepared.request.review
        return Outcome(outcome, changed)

    @override
    def repeated(self, resources: Resources, asked: Asked) -> Outcome:
        return Outcome(ids_outcome(asked))
