"""The operation run: evaluate a model and give its output to the caller alone.

An output that is opened says much: a descriptor is a template, and layer outputs show the image. So the owner decides, in
the program itself (its purpose is part of the digest that all parties and the owner agree on): a model that matches is
refused here, and one that opens its output is refused for matching, so that no enrolled template is ever an output.
What leaves a party is its share of a fresh random sharing: it says nothing but the output, nor does a caller learn
anything from the three together but the output. The output is verified before, and the sharing is a line: a party that gives
another share is noticed by the caller.
"""

from typing_extensions import override
from visard_common.errors import FailedPrecondition
from visard_engine.describe import describe_plan, evaluate
from visard_engine.kits import Kit
from visard_engine.nn.program import OPEN
from visard_wire.v1 import common_pb2

from visard_party.intake.asked import Asked
from visard_party.operations.base import Reading
from visard_party.operations.images import shared_images
from visard_party.operations.prepared import Outcome, Prepared
from visard_party.operations.resources import Resources
from visard_party.peers.channel import SessionChannel


class EvaluateModel(Reading):
    """One image in; out comes each party's share of the model's output, which the caller alone puts together."""

    @override
    async def prepare(self, resources: Resources, asked: Asked) -> Prepared:
        request = asked.request
        model = await resources.models.get(request.model)
        if model.program.purpose != OPEN:
            raise FailedPrecondition(
                f"model {request.model!r} is published for matching: its output is never opened "
                "(an owner may publish it under another name, to open its output)"
            )
        images = shared_images(asked, model)
        return Prepared(asked, (describe_plan(model.program),), model=model, images=images)

    @override
    async def perform(
        self, resources: Resources, prepared: Prepared, channel: SessionChannel, kits: list[Kit]
    ) -> Outcome:
        assert prepared.images is not None
        run = channel.begin_run(prepared.terms)
        share = await evaluate(run, kits[0], prepared.network, prepared.images)
        output = prepared.network.program.output
        return Outcome(
            common_pb2.Outcome(output_share=share.tobytes(), output_shape=output.shape, output_scale=output.scale)
        )
