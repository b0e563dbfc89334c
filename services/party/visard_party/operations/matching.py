"""Verify, compare, identify: a network evaluated once a photo, one comparison, one sealed answer."""

from collections import Counter

import numpy as np
from typing_extensions import override
from visard_common.errors import FailedPrecondition, NotFound
from visard_engine import matching
from visard_engine.bits import ReplicatedBits
from visard_engine.describe import describe_plan
from visard_engine.field import Elements
from visard_engine.kits import Kit, KitPlan
from visard_engine.matching import Tables
from visard_engine.nn.program import Program
from visard_engine.protocols.search import MOST_LIMITS, Labels
from visard_engine.session import Run
from visard_wire import cells
from visard_wire.v1 import common_pb2

from visard_party.gallery import Rows
from visard_party.intake.asked import Asked
from visard_party.operations import points
from visard_party.operations.base import Reading
from visard_party.operations.images import images_to_match, rows_to_match
from visard_party.operations.prepared import Outcome, Prepared
from visard_party.operations.resources import Resources
from visard_party.peers.channel import SessionChannel

AHEAD = 2  # searches that kits are kept ready for: those of a gallery are the same for all galleries


class Verify(Reading):
    """Is this photo the subject?"""

    @override
    async def prepare(self, resources: Resources, asked: Asked) -> Prepared:
        request = asked.request
        model = await resources.models.get(request.model)
        images = images_to_match(asked, model)
        own = await resources.store.references(request.model, request.subject)
        rows = rows_to_match(Rows.of(own, model.model.field).live(request.expires_unix_ms), model)
        if not rows:
            raise NotFound(f"subject {request.subject!r} is not enrolled")
        plans = (
            describe_plan(model.program),
            matching.verify_plan(model.program.q, len(rows), model.program.output.size, model.tested),
        )
        return Prepared(asked, plans, (), rows, model, images)

    @override
    async def perform(
        self, resources: Resources, prepared: Prepared, channel: SessionChannel, kits: list[Kit]
    ) -> Outcome:
        (probe,) = await resources.describe(prepared, channel, kits[:-1])
        run = channel.begin_run(prepared.terms)
        limits = prepared.limit, prepared.network.program.mean_test
        bits = await matching.verify(run, kits[-1], probe, prepared.rows.shares, *limits)
        return Outcome(_bits_outcome(prepared, bits))


class Compare(Reading):
    """Do two photos show one person?"""

    @override
    async def prepare(self, resources: Resources, asked: Asked) -> Prepared:
        request = asked.request
        model = await resources.models.get(request.model)
        images = images_to_match(asked, model)
        plans = (describe_plan(model.program),) * 2 + (
            matching.verify_plan(model.program.q, 1, model.program.output.size, 2 * model.tested),
        )
        return Prepared(asked, plans, model=model, images=images)

    @override
    async def perform(
        self, resources: Resources, prepared: Prepared, channel: SessionChannel, kits: list[Kit]
    ) -> Outcome:
        photos = np.stack(await resources.describe(prepared, channel, kits[:-1]))
        run = channel.begin_run(prepared.terms)
        limits = prepared.limit, prepared.network.program.mean_test
        return Outcome(_bits_outcome(prepared, await matching.compare(run, kits[-1], photos, *limits)))


class Identify(Reading):
    """Who of the enrolled is it, if anybody? All that are near enough, or with ``nearest`` the nearest one."""

    @override
    async def prepare(self, resources: Resources, asked: Asked) -> Prepared:
        request = asked.request
        model = await resources.models.get(request.model)
        images = images_to_match(asked, model)
        everybody = await resources.galleries.get(request.model, model.model.field)
        rows = rows_to_match(everybody.live(request.expires_unix_ms), model)
        if not rows:
            raise FailedPrecondition("nobody is enrolled")
        program, point = model.program, points.of_search(request, model.program, len(rows))
        size = program.q, len(rows), program.output.size
        if request.nearest:
            searched: tuple[KitPlan, ...] = (matching.identify_plan(*size, model.tested),)
        else:
            shape = Tables(len(_points(program, point)), rows.labels.shape[1], cells.HASHES)
            searched = matching.search_plans(*size, shape, model.tested)
        plans = describe_plan(program), *searched
        for plan, count in Counter(searched).items():
            resources.stock.want(plan, AHEAD * count)
        return Prepared(asked, plans, (), rows, model, images, point=point)

    @override
    async def perform(
        self, resources: Resources, prepared: Prepared, channel: SessionChannel, kits: list[Kit]
    ) -> Outcome:
        (probe,) = await resources.describe(prepared, channel, kits[:1])
        run = channel.begin_run(prepared.terms)
        if not prepared.request.nearest:
            return Outcome(await _tables(prepared, run, kits[1:], probe))
        limits = prepared.limit, prepared.network.program.mean_test
        bits = await matching.identify(run, kits[-1], probe, prepared.rows.shares, *limits)
        outcome = _bits_outcome(prepared, bits)
        subjects = prepared.rows.subjects
        outcome.row_digest = prepared.rows.table_digest
        if resources.party == 0:  # once is enough: the two others vouch for it
            outcome.row_subjects.extend(subjects)
        return Outcome(outcome)


def _points(program: Program, point: str) -> list[str]:
    return points.stricter(program, point, MOST_LIMITS - 1)


async def _tables(prepared: Prepared, run: Run, kits: list[Kit], probe: Elements) -> common_pb2.Outcome:
    """The references that are near enough, in tables whose cells follow from the request."""
    program, rows = prepared.network.program, prepared.rows
    names, seed = _points(program, prepared.operating_point), cells.seed_of(prepared.asked.digest)
    labels = Labels(rows.labels, np.array(cells.hash_keys(seed, rows.room), np.uint64), cells.HASHES)
    limits = [program.threshold(name) for name in names]
    bits = await matching.search(run, kits, probe, rows.shares, limits, labels, program.mean_test)
    outcome = _bits_outcome(prepared, bits)
    outcome.points.extend(names)
    outcome.cell_seed, outcome.room = seed, rows.room
    return outcome


def _bits_outcome(prepared: Prepared, bits: ReplicatedBits) -> common_pb2.Outcome:
    own, previous = bits.pieces()
    point = prepared.operating_point
    return common_pb2.Outcome(bits=bits.count, piece_own=own, piece_previous=previous, operating_point=point)
