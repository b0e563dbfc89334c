"""Publish and withdraw: writes to the models."""

import numpy as np
from typing_extensions import override
from visard_common.errors import AlreadyExists, FailedPrecondition, Unavailable
from visard_common.limits import RETRY_SECONDS
from visard_engine.describe import check_line, weights_plan
from visard_engine.field import field_of
from visard_engine.kits import Kit
from visard_engine.session import Run, Session
from visard_wire.secret import Secret
from visard_wire.v1 import common_pb2

from visard_party.intake.asked import Asked
from visard_party.models import Published, parse_program
from visard_party.operations.base import Operation
from visard_party.operations.prepared import Outcome, Prepared
from visard_party.operations.resources import Resources
from visard_party.peers.channel import SessionChannel
from visard_party.store.base import ModelRecord, Publish, Withdraw


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
        await check_line(Session(Run(channel), kits[0]), weights)
        await resources.write(prepared, channel, prepared.write)
        return _published(prepared.request, await resources.models.get(prepared.request.model))

    @override
    def repeated(self, resources: Resources, asked: Asked) -> Outcome:
        return _published(asked.request, resources.models.known(asked.request.model))


def _published(request: common_pb2.Request, model: Published | None) -> Outcome:
    return Outcome(common_pb2.Outcome(program_digest=request.program_digest), model=model)


class WithdrawModel(Operation):
    """Remove a model that has no references."""

    @override
    def exclusive(self, request: common_pb2.Request) -> bool:
        """Nobody may enrol with it meanwhile."""
        return True

    @override
    async def prepare(self, resources: Resources, asked: Asked) -> Prepared:
        request = asked.request
        model = await resources.models.get(request.model)
        if await resources.store.subjects(request.model, 1, "", request.sent_unix_ms):
            raise FailedPrecondition(f"model {request.model!r} has references: delete their subjects first")
        if await resources.store.count(request.model):  # without its model nobody would erase them
            text = f"model {request.model!r} has references whose time is over, and which are about to be erased"
            raise Unavailable(text, retry_after=RETRY_SECONDS)
        return Prepared(asked, model=model, write=Withdraw(request.model))

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
