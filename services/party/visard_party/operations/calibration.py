"""Calibrate: a write that replaces a model's operating points.

The points are a part of the program, whose digest owner and parties agree on. The request names the digest of the program that
the owner has seen, and all points that it is to have: each party puts them into its own program, so that network, weights and
references are what they were, and a change that another owner made meanwhile is not undone unseen.
A run holds the program that it began with, and the parties compare which it is before they start (Prepared.model_digest): it
decides at the old points at all three, or at the new ones at all three.
"""

from typing_extensions import override
from visard_common.errors import FailedPrecondition
from visard_engine.kits import Kit
from visard_engine.nn.program import MATCH
from visard_wire.v1 import common_pb2

from visard_party.intake.asked import Asked
from visard_party.models import calibrated
from visard_party.operations.base import Operation
from visard_party.operations.prepared import Outcome, Prepared
from visard_party.operations.resources import Resources
from visard_party.peers.channel import SessionChannel
from visard_party.store.contents import Calibrate


class CalibrateModel(Operation):
    """Give a published model other operating points."""

    @override
    def exclusive(self, request: common_pb2.Request) -> bool:
        """An enrolment that is to be unique decides by them, and the model may not be withdrawn meanwhile."""
        return True

    @override
    async def prepare(self, resources: Resources, asked: Asked) -> Prepared:
        request = asked.request
        model = await resources.models.get(request.model)
        if model.program.purpose != MATCH:
            raise FailedPrecondition(
                f"model {request.model!r} is published to open its output: it has no operating points"
            )
        if model.program.digest != request.program_digest:
            text = (
                f"request.program_digest: model {request.model!r} has another program by now: look at its points again"
            )
            raise FailedPrecondition(text, field="request.program_digest", allowed=model.program.digest.hex())
        program = calibrated(model.program, request.points)
        return Prepared(asked, model=model, write=Calibrate(request.model, program.to_json()))

    @override
    async def perform(
        self, resources: Resources, prepared: Prepared, channel: SessionChannel, kits: list[Kit]
    ) -> Outcome:
        assert prepared.write is not None
        await resources.write(prepared, channel, prepared.write)
        return Outcome()

    @override
    def repeated(self, resources: Resources, asked: Asked) -> Outcome:
        return Outcome()
