"""Grant and revoke: rights of callers to what others have enrolled."""

from typing_extensions import override
from visard_common.errors import AlreadyExists, NotFound
from visard_wire.v1 import common_pb2

from visard_party.intake.asked import Asked
from visard_party.operations.prepared import Prepared
from visard_party.operations.resources import Resources
from visard_party.operations.ruling import Ruling
from visard_party.store.contents import Place, Right, Rule


class GrantRight(Ruling):
    """Give a caller a right to a subject, enrolled or not yet, or to every subject of a model in a gallery."""

    @override
    async def prepare(self, resources: Resources, asked: Asked) -> Prepared:
        request = asked.request
        await resources.models.get(request.model)
        right = _right(request)
        if await resources.store.rights_by_ids([right.right_id]):
            raise AlreadyExists(f"{right.grantee} has this right already")
        return Prepared(asked, write=Rule(give=(right,)))


class RevokeRight(Ruling):
    """Take a right back, also one to a model that was withdrawn."""

    @override
    async def prepare(self, resources: Resources, asked: Asked) -> Prepared:
        request = asked.request
        right = _right(request)
        if not await resources.store.rights_by_ids([right.right_id]):
            raise NotFound(f"{right.grantee} has no such right: see visard admin rights")
        return Prepared(asked, names=[right.name], write=Rule(take=(right.right_id,)))


def _right(request: common_pb2.Request) -> Right:
    place = Place.of(request)
    return Right(place.model, request.subject, request.grantee, place.gallery)
