"""Grant and revoke: rights of callers to what others have enrolled."""

from visard_common.errors import AlreadyExists, NotFound
from visard_engine.kits import Kit
from visard_wire.v1 import common_pb2

from visard_party.intake.deposits import Deposit
from visard_party.operations.base import Answer, Desk, Work
from visard_party.peers.channel import SessionChannel
from visard_party.store.base import Grant, Revoke, Right


class _Ruling:
    """A write to the rights."""

    def exclusive(self, request: common_pb2.Request) -> bool:
        """Nobody may be changing meanwhile what a right decides."""
        return True

    async def perform(self, desk: Desk, work: Work, channel: SessionChannel, kits: list[Kit]) -> Answer:
        """See Job."""
        assert work.write is not None
        await desk.write(work, channel, work.write)
        return Answer()

    def repeated(self, desk: Desk, request: common_pb2.Request, digest: bytes) -> Answer:
        """See Job."""
        return Answer()


class GrantRight(_Ruling):
    """Give a caller a right to a subject, enrolled or not yet, or to every subject of a model."""

    async def prepare(self, desk: Desk, request: common_pb2.Request, digest: bytes, deposit: Deposit | None) -> Work:
        """See Job."""
        await desk.models.get(request.model)
        right = _right(request)
        if await desk.store.rights_by_ids([right.right_id]):
            raise AlreadyExists(f"{right.grantee} has this right already")
        return Work(request, digest, write=Grant(right))


class RevokeRight(_Ruling):
    """Take a right back, also one to a model that was withdrawn."""

    async def prepare(self, desk: Desk, request: common_pb2.Request, digest: bytes, deposit: Deposit | None) -> Work:
        """See Job."""
        right = _right(request)
        if not await desk.store.rights_by_ids([right.right_id]):
            raise NotFound(f"{right.grantee} has no such right: see visard admin rights")
        return Work(request, digest, names=[right.name], write=Revoke(right))


def _right(request: common_pb2.Request) -> Right:
    return Right(request.model, request.subject, request.grantee)
