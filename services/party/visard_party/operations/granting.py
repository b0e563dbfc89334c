"""Grant and revoke: rights of callers to what others have enrolled."""

from typing_extensions import override
from visard_common.errors import AlreadyExists, NotFound
from visard_engine.kits import Kit
from visard_wire.v1 import common_pb2

from visard_party.intake.asked import Asked
from visard_party.operations.base import Operation
from visard_party.operations.prepared import Outcome, Prepared
from visard_party.operations.resources import Resources
from visard_party.peers.channel import SessionChannel
from visard_party.store.base import Grant, Revoke, Right


class _Ruling(Operation):
    """A write to the rights."""

    @override
    def exclusive(self, request: common_pb2.Request) -> bool:
        """Nobody may be changing meanwhile what a right decides."""
        return True

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


class GrantRight(_Ruling):
    """Give a caller a right to a subject, enrolled or not yet, or to every subject of a model."""

    @override
    async def prepare(self, resources: Resources, asked: Asked) -> Prepared:
        request = asked.request
        await resources.models.get(request.model)
        right = _right(request)
        if await resources.store.rights_by_ids([right.right_id]):
            raise AlreadyExists(f"{right.grantee} has this right already")
        return Prepared(asked, write=Grant(right))


class RevokeRight(_Ruling):
    """Take a right back, also one to a model that was withdrawn."""

    @override
    async def prepare(self, resources: Resources, asked: Asked) -> Prepared:
        request = asked.request
        right = _right(request)
        if not await resources.store.rights_by_ids([right.right_id]):
            raise NotFound(f"{right.grantee} has no such right: see visard admin rights")
        return Prepared(asked, names=[right.name], write=Revoke(right))


def _right(request: common_pb2.Request) -> Right:
    return Right(request.model, request.subject, request.grantee)
