"""Publish: a write that adds a model."""

import numpy as np
from typing_extensions import override
from visard_common.errors import AlreadyExists
from visard_engine.describe import check_line, weights_plan
from visard_engine.field import field_of
from visard_engine.kits import Kit
from visard_engine.session import Session
from visard_wire.secret import Secret
from visard_wire.v1 import common_pb2

from visard_party.intake.asked import Asked
from visard_party.models import Published, parse_program
from visard_party.operations.base import Operation
from visard_party.operations.prepared import Outcome, Prepared
from visard_party.operations.resources import Resources
from visard_party.peers.channel import SessionChannel
from visard_party.store.contents import ModelRecord, Publish


class PublishModel(Operation):
    """A program and this party's share of its weights."""

    @override
    def exclusive(self, request: common_pb2.Request) -> bool:
        return False

    @override
    async def prepare(self, resources: Resources, asked: Asked) -> Prepared:
        request = asked.request
        if await resources.store.model(request.model) is not None:
            raise AlreadyExists(f"model {request.model!r} is published already")
        share = asked.present
        header = common_pb2.UploadHeader(request=request, program=share.program)
        program = parse_program(header)
        elements = share.elements(field_of(program.q))
        record = ModelRecord(request.model, share.program, 1, request.sent_unix_ms, Secret(elements.tobytes()))
        return Prepared(asked, (weights_plan(program.q),), write=Publish(record))

    @override
    async def perform(
        self, resources: Resources, prepared: Prepared, channel: SessionChannel, kits: list[Kit]
    ) -> Outcome:
        assert isinstance(prepared.write, Publish)
        weights = np.frombuffer(prepared.write.model.weights.reveal(), kits[0].field.dtype)
        await check_line(Session(channel.begin_run(prepared.terms), kits[0]), weights)
        await resources.write(prepared, channel, prepared.write)
        return _published(prepared.request, await resources.models.get(prepared.request.model))

    @override
    def repeated(self, resources: Resources, asked: Asked) -> Outcome:
        return _published(asked.request, resources.models.known(asked.request.model))


def _published(request: common_pb2.Request, model: Published | None) -> Outcome:
    return Outcome(common_pb2.Outcome(program_digest=request.program_digest), model=model)
