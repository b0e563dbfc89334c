"""Run a model and give its output to the caller alone.

An output that is opened says much: a descriptor is a template, and layer outputs show the image. So the owner decides, in
the program itself (its purpose is part of the digest that all parties and the owner agree on): a model that matches is
refused here, and one that opens its output is refused for matching, so that no enrolled template is ever an output.
What leaves a party is its share of a fresh random sharing: it says nothing but the output, nor does a caller learn
anything from the three together but the output.
"""

from visard_common.errors import FailedPrecondition
from visard_engine.describe import describe, describe_plan
from visard_engine.kits import Kit
from visard_engine.nn.program import OPEN
from visard_engine.protocols.opening import fresh_share
from visard_engine.session import Run, Session
from visard_wire.v1 import common_pb2

from visard_party.intake.deposits import Deposit
from visard_party.operations.base import Answer, Desk, Reading, Work, shared_images
from visard_party.peers.channel import SessionChannel


class RunModel(Reading):
    """One image in, the output out."""

    async def prepare(self, desk: Desk, request: common_pb2.Request, digest: bytes, deposit: Deposit | None) -> Work:
        """See Job."""
        model = await desk.models.get(request.model)
        if model.program.purpose != OPEN:
            raise FailedPrecondition(
                f"model {request.model!r} is published for matching: its output is never opened "
                "(an owner may publish it under another name, to open its output)"
            )
        images = shared_images(request, model, deposit)
        return Work(request, digest, (describe_plan(model.program),), model=model, images=images)

    async def perform(self, desk: Desk, work: Work, channel: SessionChannel, kits: list[Kit]) -> Answer:
        """See Job."""
        assert work.images is not None
        run = Run(channel)
        (result,) = await describe(run, kits, work.network, work.images)
        share = fresh_share(Session(run, kits[0]), result.reshape(-1))
        output = work.network.program.output
        return Answer(
            common_pb2.Outcome(output_share=share.tobytes(), output_shape=output.shape, output_scale=output.scale)
        )
