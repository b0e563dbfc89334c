"""Identify: a network evaluated once a photo, everybody who is enrolled compared with, one sealed answer."""

from typing_extensions import override
from visard_common.errors import InvalidArgument
from visard_engine import nearest
from visard_engine.kits import Kit

from visard_party.intake.asked import Asked
from visard_party.operations import candidates, points, whom
from visard_party.operations.base import Reading
from visard_party.operations.images import descriptors, images_to_match, network_plans, somebody
from visard_party.operations.matching import bits_outcome
from visard_party.operations.prepared import Outcome, Prepared
from visard_party.operations.resources import Resources
from visard_party.peers.channel import SessionChannel
from visard_party.workers.asked import Searched


class Identify(Reading):
    """Who of the enrolled is it, if anybody? All that are near enough, or with ``nearest`` the nearest one.

    Photos of one request go through the network together, then are searched for one after the other, each with kits of its own.
    """

    @override
    async def prepare(self, resources: Resources, asked: Asked) -> Prepared:
        request = asked.request
        model = await resources.models.get(request.model)
        images = images_to_match(asked, model)
        if request.nearest and request.images > 1:
            raise InvalidArgument.of("request.images", "1 where the nearest is asked for")
        looking = whom.own_rows if request.nearest else whom.searched
        rows: Searched = somebody(await looking(resources, asked, model))
        program, point = model.program, points.of_search(request, model.program, len(rows))
        if request.nearest:
            searched = nearest.identify_plans(program.q, len(rows), program.output.size, model.tested)
        else:
            searched = candidates.Search.at(program, point).plans(rows)
        resources.stock.want_ahead(searched)
        plans = network_plans(asked, model, request.images) + searched * request.images
        return Prepared(asked, plans, (), rows, model, images, point=point)

    @override
    async def perform(
        self, resources: Resources, prepared: Prepared, channel: SessionChannel, kits: list[Kit]
    ) -> Outcome:
        probes, kits_left = await descriptors(resources, prepared, channel, kits)
        run = channel.begin_run(prepared.terms)
        if not prepared.request.nearest:
            search = candidates.Search.at(prepared.network.program, prepared.operating_point)
            return Outcome(await search.outcome(resources, prepared, run, kits_left, probes))
        (probe,) = probes
        limits = prepared.limit, prepared.network.program.mean_test
        bits = await nearest.identify(run, kits_left, probe, prepared.own.shares, *limits)
        outcome = bits_outcome(prepared, bits)
        subjects = prepared.own.subjects
        outcome.row_digest = prepared.own.table_digest
        if resources.party == 0:  # once is enough: the two others vouch for it
            outcome.row_subjects.extend(subjects)
        return Outcome(outcome)
