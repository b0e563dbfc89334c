"""A stand-in for services that keep what is enrolled, as three parties would: of a request and those that it names, one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from visard.client import Connection
from visard_common import errors as faults
from visard_party.operations.references import reference_ids
from visard_wire.sealing import Context
from visard_wire.v1 import common_pb2, gateway_pb2

from tests.client.double import Double, Outcomes, running


class Keeping(Double):
    """``kept``: references a subject. ``lost``: so many answers do not arrive after the write was made; ``hidden``: so many
    listings are of a moment before; ``refuses``: requests with a photo whose pixels have such a sum are refused."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.kept: dict[str, list[common_pb2.Request]] = {}
        self.made: set[bytes] = set()
        self.struck: set[bytes] = set()
        self.lost = self.hidden = 0
        self.refuses: frozenset[int] = frozenset()

    def outcomes(self, request: common_pb2.Request) -> Outcomes:
        """Made here, where it is an enrolment."""
        found = super().outcomes(request)
        if request.operation != common_pb2.OPERATION_ENROL:
            return found
        if self.made & set(request.instead_of):
            raise faults.AlreadyExists("the request that this one stands for was made")
        self.struck |= set(request.instead_of)
        if request.request_id in self.struck:
            raise faults.Aborted("undone")
        if self.refuses & {int(image.sum()) for image in self.received[-1].secret.reshape(request.images, -1)}:
            raise faults.InvalidArgument.of("request.images", "another face")
        if request.request_id not in self.made:
            self.made.add(request.request_id)
            own = [] if request.replace else self.kept.get(request.subject, [])
            self.kept[request.subject] = [*own, request]
        if self.lost:
            self.lost -= 1
            raise faults.Unavailable("lost a peer")
        for outcome in found:
            outcome.reference_ids[:] = ids(request)
        return found

    async def ListReferences(self, request: Any, context: Any) -> gateway_pb2.ListReferencesResponse:
        await self._begin("ListReferences", context)
        if request.subject not in self.kept:
            raise faults.NotFound(f"{request.subject!r} is not enrolled")
        if self.hidden:
            self.hidden -= 1
            return gateway_pb2.ListReferencesResponse()
        names = [name for one in self.kept[request.subject] for name in ids(one)]
        references = [gateway_pb2.ReferenceInfo(reference_id=name, metadata=b"") for name in names]
        return gateway_pb2.ListReferencesResponse(references=references)

    async def GetStatus(self, request: Any, context: Any) -> gateway_pb2.GetStatusResponse:
        await self._begin("GetStatus", context)
        return gateway_pb2.GetStatusResponse(ready=True, requests_at_a_time=self.places)

    def count(self) -> dict[str, int]:
        """References a subject."""
        return {subject: sum(one.images for one in own) for subject, own in self.kept.items()}


@asynccontextmanager
async def keeping(folder: Path) -> AsyncIterator[tuple[Keeping, Connection]]:
    """Such services, and the connection of a client to them."""
    async with running(folder, _keeping) as pair:
        yield pair


def _keeping(folder: Path) -> Keeping:
    return Keeping(folder)  # type: ignore[abstract]


def ids(request: common_pb2.Request) -> list[str]:
    """The references of a request, as the parties name them."""
    return reference_ids(Context.from_request(request).digest, request.images)
