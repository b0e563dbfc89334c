"""Verify, compare, identify: one network run a photo, one comparison, one sealed answer."""

from visard_common.errors import FailedPrecondition, NotFound
from visard_engine import matching
from visard_engine.describe import describe_plan
from visard_engine.kits import Kit
from visard_engine.session import Run
from visard_wire.digests import of_row_table
from visard_wire.v1 import common_pb2

from visard_party.gallery import Rows
from visard_party.intake.deposits import Deposit
from visard_party.operations.base import (
    Answer,
    Desk,
    Reading,
    Work,
    bits_outcome,
    images_of,
)
from visard_party.peers.channel import SessionChannel


class Verify(Reading):
    """Is this photo the subject?"""

    async def prepare(self, desk: Desk, request: common_pb2.Request, digest: bytes, deposit: Deposit | None) -> Work:
        """See Job."""
        model = await desk.models.get(request.model)
        images = images_of(request, model, deposit)
        own = await desk.store.references(request.model, request.subject)
        rows = Rows.of(own, model.model.field).live(request.expires_unix_ms)
        if not rows:
            raise NotFound(f"subject {request.subject!r} is not enrolled")
        plans = describe_plan(model.program), matching.verify_plan(model.program.q, len(rows))
        return Work(request, digest, plans, (), rows, model, images)

    async def perform(self, desk: Desk, work: Work, channel: SessionChannel, kits: list[Kit]) -> Answer:
        """See Job."""
        (probe,) = await desk.describe(work, channel, kits[:-1])
        bits = await matching.verify(Run(channel), kits[-1], probe, work.rows.shares, work.limit)
        return Answer(bits_outcome(bits))


class Compare(Reading):
    """Do two photos show one person?"""

    async def prepare(self, desk: Desk, request: common_pb2.Request, digest: bytes, deposit: Deposit | None) -> Work:
        """See Job."""
        model = await desk.models.get(request.model)
        images = images_of(request, model, deposit)
        plans = (describe_plan(model.program),) * 2 + (matching.verify_plan(model.program.q, 1),)
        return Work(request, digest, plans, model=model, images=images)

    async def perform(self, desk: Desk, work: Work, channel: SessionChannel, kits: list[Kit]) -> Answer:
        """See Job."""
        probe, reference = await desk.describe(work, channel, kits[:-1])
        return Answer(bits_outcome(await matching.verify(Run(channel), kits[-1], probe, reference[None], work.limit)))


class Identify(Reading):
    """Who of the enrolled is it, if anybody?"""

    async def prepare(self, desk: Desk, request: common_pb2.Request, digest: bytes, deposit: Deposit | None) -> Work:
        """See Job."""
        model = await desk.models.get(request.model)
        images = images_of(request, model, deposit)
        rows = (await desk.galleries.get(request.model, model.model.field)).live(request.expires_unix_ms)
        if not rows:
            raise FailedPrecondition("nobody is enrolled")
        plans = describe_plan(model.program), matching.identify_plan(model.program.q, len(rows))
        return Work(request, digest, plans, (), rows, model, images)

    async def perform(self, desk: Desk, work: Work, channel: SessionChannel, kits: list[Kit]) -> Answer:
        """See Job."""
        (probe,) = await desk.describe(work, channel, kits[:-1])
        bits = await matching.identify(Run(channel), kits[-1], probe, work.rows.shares, work.limit)
        outcome = bits_outcome(bits)
        subjects = work.rows.subjects
        outcome.row_digest = of_row_table(subjects)
        if desk.party == 0:  # once is enough: the two others vouch for it
            outcome.row_subjects.extend(subjects)
        return Answer(outcome)
