"""Publish and withdraw: writes to the models."""

import numpy as np
from visard_common.errors import AlreadyExists, FailedPrecondition, Unavailable
from visard_common.limits import RETRY_SECONDS
from visard_engine.describe import check_line, weights_plan
from visard_engine.field import field_of
from visard_engine.kits import Kit
from visard_engine.session import Run, Session
from visard_wire.secret import Secret
from visard_wire.v1 import common_pb2

from visard_party.intake.deposits import Deposit
from visard_party.models import Published, parse_program
from visard_party.operations.base import Answer, Desk, Work, present
from visard_party.peers.channel import SessionChannel
from visard_party.store.base import ModelRecord, Publish, Withdraw


class PublishModel:
    """A program and this party's share of its weights."""

    def exclusive(self, request: common_pb2.Request) -> bool:
        """See Job."""
        return False

    async def prepare(self, desk: Desk, request: common_pb2.Request, digest: bytes, deposit: Deposit | None) -> Work:
        """See Job."""
        if await desk.store.model(request.model) is not None:
            raise AlreadyExists(f"model {request.model!r} is published already")
        share = present(deposit)
        header = common_pb2.UploadHeader(request=request, program=share.program)
        program = parse_program(header)
        elements = share.elements(field_of(program.q))
        record = ModelRecord(request.model, share.program, 1, request.sent_unix_ms, Secret(elements.tobytes()))
        return Work(request, digest, (weights_plan(program.q),), write=Publish(record))

    async def perform(self, desk: Desk, work: Work, channel: SessionChannel, kits: list[Kit]) -> Answer:
        """See Job."""
        assert isinstance(work.write, Publish)
        weights = np.frombuffer(work.write.model.weights.reveal(), kits[0].field.dtype)
        await check_line(Session(Run(channel), kits[0]), weights)
        await desk.write(work, channel, work.write)
        return _published(work.request, await desk.models.get(work.request.model))

    def repeated(self, desk: Desk, request: common_pb2.Request, digest: bytes) -> Answer:
        """See Job."""
        return _published(request, desk.models.known(request.model))


def _published(request: common_pb2.Request, model: Published | None) -> Answer:
    return Answer(common_pb2.Outcome(program_digest=request.program_digest), model=model)


class WithdrawModel:
    """Remove a model that has no references."""

    def exclusive(self, request: common_pb2.Request) -> bool:
        """Nobody may enrol with it meanwhile."""
        return True

    async def prepare(self, desk: Desk, request: common_pb2.Request, digest: bytes, deposit: Deposit | None) -> Work:
        """See Job."""
        model = await desk.models.get(request.model)
        if await desk.store.subjects(request.model, 1, "", request.sent_unix_ms):
            raise FailedPrecondition(f"model {request.model!r} has references: delete their subjects first")
        if await desk.store.count(request.model):  # without its model nobody would erase them
            text = f"model {request.model!r} has references whose time is over, and which are about to be erased"
            raise Unavailable(text, retry_after=RETRY_SECONDS)
        return Work(request, digest, model=model, write=Withdraw(request.model))

    async def perform(self, desk: Desk, work: Work, channel: SessionChannel, kits: list[Kit]) -> Answer:
        """See Job."""
        assert work.write is not None
        await desk.write(work, channel, work.write)
        return Answer()

    def repeated(self, desk: Desk, request: common_pb2.Request, digest: bytes) -> Answer:
        """See Job."""
        return Answer()
