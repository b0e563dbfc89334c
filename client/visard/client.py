"""The client: photos in, answers out. Shares are made and sealed here; nobody else can put them together."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Self

from google.protobuf import json_format
from visard_wire.v1 import gateway_pb2

from visard import looking, migration, opening
from visard.admin import Admin
from visard.asking import Asking, Photo
from visard.bulk import Bulk
from visard.calls import (
    DEFAULT_DEADLINE,
    DEFAULT_GALLERY,
    DEFAULT_MODEL,
    Caller,
    Operation,
    Outcome,
)
from visard.capture import Source, capture_all
from visard.connection import Connection
from visard.errors import InvalidRequest
from visard.galleries import Galleries
from visard.migration import Migration, MigrationStatus
from visard.registry import Models
from visard.results import (
    Enrolment,
    Identification,
    Output,
    Report,
    Status,
    StoredReference,
    SubjectCount,
    Verification,
)

__all__ = ["DEFAULT_DEADLINE", "DEFAULT_MODEL", "Client", "Connection", "Photo"]


UPLOADED = ("enrol", "verify", "identify", "compare")


class Client:
    """An asynchronous client; use it as ``async with``. Errors are those of visard.errors.

    What owners of networks ask is in ``models``, what administrators ask in ``admin``, who may do what where in ``galleries``,
    work on many photos in ``bulk``.

    ``deadline`` bounds every call in seconds; while the services are exhausted or away a call is made again until then, unless
    ``retry`` is False. Calls may run at the same time: those for which the gateway has no place wait here, oldest first.
    ``operating_point`` is that of every call that compares and names none itself. Subjects are those of ``gallery``, which have
    nothing to do with others of the same name; one in which the client may not do what it asks is to it as if it were not there
    (NotFound).
    """

    models: Models
    galleries: Galleries
    admin: Admin
    bulk: Bulk

    def __init__(
        self,
        connection: Connection,
        *,
        model: str = DEFAULT_MODEL,
        deadline: float = DEFAULT_DEADLINE,
        retry: bool = True,
        operating_point: str = "",
        gallery: str = DEFAULT_GALLERY,
    ) -> None:
        self.operating_point = operating_point
        self._caller = Caller(connection, model, deadline, retry=retry)
        self.gallery = gallery
        self.models = Models(self._caller)
        self._asking = Asking(self._caller, self.models)
        self.galleries = Galleries(self._caller)
        self.admin = Admin(self._caller)
        self.bulk = Bulk(self, self._caller)

    async def __aenter__(self) -> Self:
        """Open the channel; nobody is called yet."""
        await self._caller.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the channel; what is under way ends with an error. Raises NotOpen where it is not open."""
        await self._caller.close()

    @property
    def model(self) -> str:
        """The name of the model that is asked; it may be set between calls."""
        return self._caller.model

    @model.setter
    def model(self, name: str) -> None:
        self._caller.model = name

    @property
    def gallery(self) -> str:
        """The name of the gallery that subjects are in; it may be set between calls. Raises InvalidRequest for no name."""
        return self._caller.gallery

    @gallery.setter
    def gallery(self, name: str) -> None:
        if not isinstance(name, str) or not name:
            raise InvalidRequest("gallery: the name of one")
        self._caller.gallery = name

    @property
    def deadline(self) -> float:
        """Seconds that a call may take in all, however often it is made again; it may be set between calls."""
        return self._caller.deadline

    @deadline.setter
    def deadline(self, seconds: float) -> None:
        self._caller.deadline = seconds

    @property
    def operating_point(self) -> str:
        """The name of the threshold at which calls compare that name none, empty for what each has of its own.

        It may be set between calls.
        """
        return self._operating_point

    @operating_point.setter
    def operating_point(self, name: str) -> None:
        if not isinstance(name, str):
            raise InvalidRequest("operating_point: the name of one, or empty")
        self._operating_point = name

    async def enrol(
        self,
        subject: str,
        photos: Sequence[Photo],
        *,
        largest: bool = False,
        replace: bool = False,
        unique: bool = False,
        review: bool = False,
        ttl_seconds: int = 0,
        metadata: bytes = b"",
        force: bool = False,
    ) -> Enrolment:
        """Store one reference a photo under a subject. Stored at all three parties or at none.

        A photo that is not good enough to be compared with for long is refused (QualityError), unless ``force`` is set.

        ``replace`` erases the subject's earlier references in the same step. ``unique`` refuses somebody who is enrolled
        under another name (AlreadyExists). With ``review`` the references wait, and the answer names others whom the photos
        may show; where there are none they are accepted at once, else somebody decides (``Client.review``). ``ttl_seconds``
        erases the references after so long; 0 is never. ``metadata``, at most 4096 bytes, is kept as it is, readable by
        gateway and parties.
        """
        options = {
            "replace": replace,
            "unique": unique,
            "review": review,
            "ttl_seconds": ttl_seconds,
            "metadata": metadata,
        }
        outcomes, report = await self._asking.photos(
            self._caller.matching.Enrol,
            (Operation.OPERATION_ENROL, subject, ""),
            photos,
            largest=largest,
            force=force,
            options=options,
            writes=True,
        )
        ids = opening.reference_ids(outcomes)
        if not review:
            return Enrolment(subject, ids, report)
        candidates, more = opening.others(outcomes, len(photos))
        if not candidates and not more:
            await self.review(subject, accept=True, reference_ids=ids)
        return Enrolment(subject, ids, report, bool(candidates or more), candidates, more)

    async def review(self, subject: str, *, accept: bool, reference_ids: Sequence[str] = ()) -> int:
        """Accept references that wait, or erase them; all of a subject's, or those named; how many. Raises NotFound.

        For whoever enrolled them, and administrators.
        """
        request = self._caller.request(Operation.OPERATION_REVIEW, subject, reference_ids=reference_ids, accept=accept)
        return await self._caller.change(self._caller.matching.Review, gateway_pb2.ReviewRequest, request)

    async def verify(
        self, subject: str, photo: Photo, *, operating_point: str = "", largest: bool = False, force: bool = False
    ) -> Verification:
        """Whether a photo shows an enrolled subject; raises NotFound for one who is not enrolled.

        ``operating_point`` names a threshold of the model, empty for the client's, or else the model's default. With ``largest``
        the largest of several faces is taken; without it they are an error (SeveralFaces). A photo of too poor quality is
        refused (QualityError; stricter points ask for more), unless ``force`` is set.
        """
        outcomes, report = await self._asking.photos(
            self._caller.matching.Verify,
            (Operation.OPERATION_VERIFY, subject, self._at(operating_point)),
            [photo],
            largest=largest,
            force=force,
        )
        return Verification(opening.match_bit(outcomes), report, opening.operating_point(outcomes))

    async def identify(
        self,
        photo: Photo,
        *,
        operating_point: str = "",
        models: Sequence[str] = (),
        largest: bool = False,
        allow_large_gallery: bool = False,
        nearest: bool = False,
        force: bool = False,
    ) -> Identification:
        """Which enrolled subject a photo shows, if any; ``largest`` and ``force`` as for ``verify``.

        With ``models`` among those who are enrolled with any of these, in a request each; those of whom none is are passed over.
        A candidate is then a person, at the point that lets the fewest strangers in; strangers have a chance with each model.

        All references that are near enough are candidates, each at the strictest of up to three points; with ``nearest`` the one
        that is nearest alone, by a tournament, which takes many more rounds, and the names of all who are enrolled.

        Where neither the call nor the client names an ``operating_point`` the parties take the loosest one whose false match rate
        times the references that they search is at most 1 %: its name is in the answer. Where no point carries the gallery they
        refuse (FailedPrecondition), but with ``allow_large_gallery`` search at the strictest one.
        """
        wishes = {"largest": largest, "force": force, "allow_large_gallery": allow_large_gallery}
        if not isinstance(nearest, bool):
            raise InvalidRequest("nearest: True or False")
        if not isinstance(models, tuple) or models:
            if nearest:
                raise InvalidRequest("models: not with nearest")
            (chip,) = await asyncio.to_thread(capture_all, [photo], largest=largest)
            return await migration.together(
                models, lambda name: self._identify([chip], operating_point, name, **wishes), self.models.info
            )
        if not nearest:
            (answer,) = await self.identify_each([photo], operating_point=operating_point, **wishes)
            return answer
        outcomes, report = await self._search([photo], operating_point, self.model, **wishes, nearest=nearest)
        return Identification(opening.matched_subject(outcomes), report, opening.operating_point(outcomes))

    async def identify_each(
        self,
        photos: Sequence[Photo],
        *,
        operating_point: str = "",
        largest: bool = False,
        allow_large_gallery: bool = False,
        force: bool = False,
    ) -> list[Identification]:
        """Search for each of 1 to 16 photos in one request, which all succeed or none; options as for ``identify``."""
        wishes = {"largest": largest, "force": force, "allow_large_gallery": allow_large_gallery}
        return await self._identify(photos, operating_point, self.model, **wishes)

    async def _identify(
        self, photos: Sequence[Photo], operating_point: str, model: str, **wishes: bool
    ) -> list[Identification]:
        outcomes, report = await self._search(photos, operating_point, model, **wishes)
        point = opening.operating_point(outcomes)
        return [
            Identification(opening.only_subject(found), report, point, found, more)
            for found, more in opening.candidates(outcomes, len(photos))
        ]

    async def _search(
        self, photos: Sequence[Photo], point: str, model: str, *, largest: bool, force: bool, **options: bool
    ) -> tuple[list[Outcome], Report]:
        return await self._asking.photos(
            self._caller.matching.Identify,
            (Operation.OPERATION_IDENTIFY, "", self._at(point)),
            photos,
            largest=largest,
            force=force,
            options={"model": model, **options},
        )

    async def migrate(
        self,
        subject: str,
        photo: Photo,
        to: str,
        *,
        operating_point: str = "",
        keep: bool = False,
        largest: bool = False,
        force: bool = False,
    ) -> Migration:
        """If a photo shows an enrolled subject, enrol it with the model ``to`` in the same request; if not, store nothing.

        The new reference has note and enroller of the subject's newest one, and lives as long as that which lives longest. The
        model's own references are erased in the same step, which needs a right to them, unless ``keep`` is set.
        ``operating_point`` and ``largest`` as for ``verify``; quality as for ``enrol``. Raises NotFound.
        """
        if not isinstance(to, str) or not to:
            raise InvalidRequest("to: the name of a model")
        outcomes, report = await self._asking.photos(
            self._caller.matching.Migrate,
            (Operation.OPERATION_MIGRATE, subject, self._at(operating_point)),
            [photo],
            largest=largest,
            force=force,
            options={"new_model": to, "keep": keep},
            writes=True,
        )
        return Migration(subject, to, *opening.moved(outcomes), report, opening.operating_point(outcomes))

    async def migration(self, to: str) -> MigrationStatus:
        """How far the client's gallery is on its way from the client's model to another, for who may list both."""
        old, new = [(name, await looking.subjects(self._caller, name)) for name in (self.model, to)]
        return migration.compared(self.gallery, old, new)

    async def compare(
        self, photo: Photo, other: Photo, *, operating_point: str = "", largest: bool = False
    ) -> Verification:
        """Whether two photos show the same person; nothing is stored. ``operating_point`` and ``largest`` as for ``verify``.

        They are taken as they are: neither can be replaced by a better one, as a probe can.
        """
        outcomes, report = await self._asking.photos(
            self._caller.matching.Compare,
            (Operation.OPERATION_COMPARE, "", self._at(operating_point)),
            [photo, other],
            largest=largest,
        )
        return Verification(opening.match_bit(outcomes), report, opening.operating_point(outcomes))

    async def run(self, image: Source, *more: Source, largest: bool = False) -> Output:
        """What the model makes of an image, or of a pair for one that judges pairs; nobody else sees either.

        Images are brought to the model's size; of one that wants faces cut for it, their faces are (``largest`` as for
        ``verify``). Only for models whose owner opens their output; raises FailedPrecondition
        for others.
        """
        asked = (Operation.OPERATION_RUN, "", "")
        outcomes, report = await self._asking.whole(self._caller.matching.Run, asked, (image, *more), largest=largest)
        return Output(*opening.output(outcomes, (await self.models.info()).field_bits), report)

    async def delete(self, subject: str, reference_ids: Sequence[str] = ()) -> int:
        """Forget a subject with all its references, or with ``reference_ids`` only those; how many. Raises NotFound."""
        request = self._caller.request(Operation.OPERATION_DELETE, subject, reference_ids=reference_ids)
        return await self._caller.change(self._caller.matching.Delete, gateway_pb2.DeleteRequest, request)

    async def rename(self, subject: str, new_subject: str) -> int:
        """Give a subject another name, which must be free; how many references moved."""
        request = self._caller.request(Operation.OPERATION_RENAME, subject, new_subject=new_subject)
        return await self._caller.change(self._caller.matching.Rename, gateway_pb2.RenameRequest, request)

    async def references(self, subject: str, *, waiting: bool = False) -> list[StoredReference]:
        """What is kept about a subject; raises NotFound. No biometric plaintext is kept anywhere, so none can be had.

        With ``waiting`` those references that wait for a review, instead.
        """
        return await looking.references(self._caller, subject, waiting=waiting)

    async def subjects(self, *, waiting: bool = False) -> list[SubjectCount]:
        """Everybody who is enrolled with the client's model in its gallery, in order of name; or who waits for a review."""
        return await looking.subjects(self._caller, self.model, waiting=waiting)

    async def status(self, *, layers: bool = False) -> Status:
        """How the services are, as the gateway and the three parties tell it; with ``layers`` the costs of models by layer."""
        return await looking.status(self._caller, layers=layers)

    async def upload(
        self, operation: str, photos: Sequence[Photo], *, subject: str = "", largest: bool = False, force: bool = False
    ) -> AsyncIterator[str]:
        """The messages of "enrol", "verify", "identify" or "compare", sealed, for another tool to send: each as JSON.

        The keys to its answer are thrown away: the tool sees that there is one, and what it cost.
        """
        if not isinstance(operation, str) or operation not in UPLOADED:
            raise InvalidRequest(f"operation: one of {', '.join(UPLOADED)}")
        kind = Operation.Value(f"OPERATION_{operation.upper()}")
        point = self.operating_point if operation != "enrol" else ""
        sealed = await self._asking.sealed((kind, subject, point), photos, largest=largest, force=force)
        return (json_format.MessageToJson(message, indent=None) async for message in sealed.upload())

    def _at(self, point: str) -> str:
        """The point that a call names, or else the client's."""
        return self.operating_point if isinstance(point, str) and not point else point
