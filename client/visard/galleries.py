"""Galleries: references apart from others, each with its own list of who may do what. ``galleries`` of a client."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from visard_wire.limits import MAX_LOCK_AFTER
from visard_wire.v1 import common_pb2, gateway_pb2

from visard import received
from visard.calls import Caller, filled
from visard.errors import InvalidRequest
from visard.results import Gallery

Operation = common_pb2.Operation
Callers = Iterable[str]
Listed = list[Gallery]  # a method is called list


@dataclass(frozen=True)
class ExportedGallery:
    """What a file holds: how many references of which gallery and model, in how many pages."""

    gallery: str
    model: str
    references: int
    pages: int


@dataclass(frozen=True)
class ImportedGallery:
    """What became of a file: of its references ``stored`` were stored now; others are here already, or were erased or over."""

    references: int
    stored: int
    pages: int


class Galleries:
    """Looking at galleries, for everybody; making, changing and deleting them is for administrators (PermissionDenied).

    Callers are named as in their certificates, "enroller/kiosk-7", where * stands for any letters: "enroller/kiosk-*", or "*" for
    everybody whose role allows it. Who may enrol may also list, rename and delete.
    """

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def list(self) -> Listed:
        """The galleries in which the client may do something, in order of name; administrators see all."""
        return await self._told("")

    async def describe(self, name: str) -> Gallery:
        """One of them; raises NotFound, also where the client may do nothing in it."""
        if not isinstance(name, str) or not name:
            raise InvalidRequest("gallery: the name of one")
        (found,) = await self._told(name)
        return found

    async def _told(self, name: str) -> Listed:
        ask = filled(gateway_pb2.ListGalleriesRequest(), gallery=name)
        response = await self._caller.again(lambda left: self._caller.matching.ListGalleries(ask, timeout=left))
        return [received.gallery(told) for told in response.galleries]

    async def create(
        self, name: str, *, enrol: Callers = (), verify: Callers = (), search: Callers = (), lock_after: int = 0
    ) -> None:
        """Make a gallery; raises AlreadyExists. Whoever is not named can do nothing in it, and does not hear of it.

        With ``lock_after``, 1 to 100, so many verifications of a subject that fail in a row lock it (``SubjectLocked``), until an
        administrator unlocks it: 5 is what NIST SP 800-63B asks for. None do with 0.
        """
        request = self._stating(Operation.OPERATION_CREATE_GALLERY, name, enrol, verify, search, lock_after)
        await self._caller.change(self._caller.admin.CreateGallery, gateway_pb2.GalleryRequest, request)

    async def change(
        self, name: str, *, enrol: Callers = (), verify: Callers = (), search: Callers = (), lock_after: int = 0
    ) -> None:
        """Say anew who may do what in a gallery, all of it; raises NotFound. Holds for every request that begins later.

        ``lock_after`` as well: where it is left out, the gallery locks no more.
        """
        request = self._stating(Operation.OPERATION_CHANGE_GALLERY, name, enrol, verify, search, lock_after)
        await self._caller.change(self._caller.admin.ChangeGallery, gateway_pb2.GalleryRequest, request)

    async def delete(self, name: str) -> None:
        """Remove a gallery and every right in it; raises FailedPrecondition where it has references, NotFound."""
        request = self._caller.request(Operation.OPERATION_DELETE_GALLERY, model="", gallery=name)
        await self._caller.change(self._caller.admin.DeleteGallery, gateway_pb2.GalleryRequest, request)

    def _stating(
        self, operation: int, name: str, enrol: Callers, verify: Callers, search: Callers, lock_after: int
    ) -> common_pb2.Request:
        rules = [
            filled(common_pb2.GalleryRule(), may=may, callers=callers)
            for may, some in (("enrol", enrol), ("verify", verify), ("search", search))
            for callers in _several(may, some)
        ]
        return self._caller.request(operation, model="", gallery=name, rules=[*rules, *_lock(lock_after)])


def _lock(after: int) -> Iterator[common_pb2.GalleryRule]:
    if isinstance(after, bool) or not isinstance(after, int) or not 0 <= after <= MAX_LOCK_AFTER:
        raise InvalidRequest(f"lock_after: 1 to {MAX_LOCK_AFTER} failures in a row, or 0 for none")
    if after:
        yield common_pb2.GalleryRule(may="lock", callers=str(after))


def _several(may: str, callers: Callers) -> Callers:
    if isinstance(callers, str) or not isinstance(callers, Iterable):
        raise InvalidRequest(f'{may}: a list of callers, each as in "enroller/kiosk-7"')
    return callers
