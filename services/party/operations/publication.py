"""Publish and withdraw: writes to the models."""

from visard.secret import Secret
from visard.v1 import common_pb2

from services.common.errors import AlreadyExists, FailedPrecondition
from services.mpc.field import field_of
from services.mpc.kits import Kit
from services.party.deposits import Deposit
from services.party.models import parse_program
from services.party.operations.base import Answer, Desk, Work, present
from services.party.runtime import SessionChannel
from services.party.store.base import ModelRecord, Publish, Withdraw


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
        elements = share.elements(field_of(parse_program(header).q))
        weights = Secret(elements.tobytes())
        record = ModelRecord(request.model, share.program, 1, request.sent_unix_ms, weights)
        return Work(request, digest, write=Publish(record))

    async def perform(self, desk: Desk, work: Work, channel: SessionChannel, kits: list[Kit]) -> Answer:
        """See Job."""
        assert work.write is not None
        await desk.write(work, channel, work.write)
        return Answer(model=await desk.models.get(work.request.model))

    def repeated(self, desk: Desk, request: common_pb2.Request, digest: bytes) -> Answer:
        """See Job."""
        return Answer(model=desk.models.known(request.model))


class WithdrawModel:
    """Remove a model that has no references."""

    def exclusive(self, request: common_pb2.Request) -> bool:
        """Nobody may enrol with it meanwhile."""
        return True

    async def prepare(self, desk: Desk, request: common_pb2.Request, digest: bytes, deposit: Deposit | None) -> Work:
        """See Job."""
        model = await desk.models.get(request.model)
        if await desk.store.subjects(request.model, 1, ""):
            raise FailedPrecondition(f"model {request.model!r} has references: delete their subjects first")
        return Work(request, digest, model=model, write=Withdraw(request.model))

    async def perform(self, desk: Desk, work: Work, channel: SessionChannel, kits: list[Kit]) -> Answer:
        """See Job."""
        assert work.write is not None
        await desk.write(work, channel, work.write)
        return Answer()

    def repeated(self, desk: Desk, request: common_pb2.Request, digest: bytes) -> Answer:
        """See Job."""
        return Answer()
