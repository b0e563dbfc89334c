"""Withdraw: a write that removes a model."""

from typing_extensions import override
from visard_common.errors import FailedPrecondition, Unavailable
from visard_common.limits import RETRY_SECONDS
from visard_engine.kits import Kit
from visard_wire.v1 import common_pb2

from visard_party.intake.asked import Asked
from visard_party.operations.base import Operation
from visard_party.operations.prepared import Outcome, Prepared
from visard_party.operations.resources import Resources
from visard_party.peers.channel import SessionChannel
from visard_party.store.contents import Withdraw


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
        count = await resources.store.count(request.model)
        over = await resources.store.expired(request.model, request.sent_unix_ms, count) if count else []
        if len(over) < count:
            raise FailedPrecondition(f"model {request.model!r} has references: delete their subjects first")
        if count:  # without its model nobody would erase them
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
