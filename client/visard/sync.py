"""The client without async: one event loop in a thread of its own, the same methods, blocking."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt
from visard_wire.limits import DEFAULT_GALLERY

from visard.admin import Admin
from visard.auditlog import PartyLog
from visard.bulk import MAX_BATCH, Bulk, BulkEnrolment, BulkItem, SearchedFace, SearchedPhoto, Told
from visard.capture import Source
from visard.client import DEFAULT_DEADLINE, DEFAULT_MODEL, Client, Connection, Photo
from visard.errors import NotOpen
from visard.galleries import Callers, Galleries, Listed
from visard.registry import Models
from visard.results import (
    Audit,
    Enrolment,
    Gallery,
    Holdings,
    Identification,
    ModelInfo,
    Output,
    Right,
    Status,
    StoredReference,
    SubjectCount,
    Verification,
)

T = TypeVar("T")
Infos = list[ModelInfo]


class Run(Protocol):
    """What waits for work of the asynchronous client, in its loop; raises NotOpen where there is none."""

    def __call__(self, work: Coroutine[Any, Any, T], /) -> T:
        """The work's answer, or its error."""


class SyncModels:
    """See visard.registry.Models."""

    def __init__(self, models: Models, run: Run) -> None:
        self._models = models
        self._run = run

    def list(self, *, layers: bool = False) -> Infos:
        """See Models.list."""
        return self._run(self._models.list(layers=layers))

    def info(self) -> ModelInfo:
        """See Models.info."""
        return self._run(self._models.info())

    def publish(self, name: str, program: bytes, digest: bytes, weights: npt.NDArray[np.int64], q: int) -> None:
        """See Models.publish."""
        self._run(self._models.publish(name, program, digest, weights, q))

    def set_points(
        self,
        name: str,
        points: Mapping[str, float],
        rates: Mapping[str, float] | None = None,
        *,
        allow_loose: bool = False,
    ) -> None:
        """See Models.set_points."""
        self._run(self._models.set_points(name, points, rates, allow_loose=allow_loose))

    def withdraw(self, name: str) -> None:
        """See Models.withdraw."""
        self._run(self._models.withdraw(name))


class SyncGalleries:
    """See visard.galleries.Galleries."""

    def __init__(self, galleries: Galleries, run: Run) -> None:
        self._galleries = galleries
        self._run = run

    def list(self) -> Listed:
        """See Galleries.list."""
        return self._run(self._galleries.list())

    def describe(self, name: str) -> Gallery:
        """See Galleries.describe."""
        return self._run(self._galleries.describe(name))

    def create(self, name: str, *, enrol: Callers = (), verify: Callers = (), search: Callers = ()) -> None:
        """See Galleries.create."""
        self._run(self._galleries.create(name, enrol=enrol, verify=verify, search=search))

    def change(self, name: str, *, enrol: Callers = (), verify: Callers = (), search: Callers = ()) -> None:
        """See Galleries.change."""
        self._run(self._galleries.change(name, enrol=enrol, verify=verify, search=search))

    def delete(self, name: str) -> None:
        """See Galleries.delete."""
        self._run(self._galleries.delete(name))


class SyncAdmin:
    """See visard.admin.Admin."""

    def __init__(self, admin: Admin, run: Run) -> None:
        self._admin = admin
        self._run = run

    def audit(self) -> Audit:
        """See Admin.audit."""
        return self._run(self._admin.audit())

    def holdings(self, prefixes: Sequence[str]) -> list[list[Holdings]]:
        """See Admin.holdings."""
        return self._run(self._admin.holdings(prefixes))

    def refresh(self) -> int:
        """See Admin.refresh."""
        return self._run(self._admin.refresh())

    def recover(self, party: int) -> int:
        """See Admin.recover."""
        return self._run(self._admin.recover(party))

    def grant(self, grantee: str, subject: str = "") -> None:
        """See Admin.grant."""
        self._run(self._admin.grant(grantee, subject))

    def revoke(self, grantee: str, subject: str = "") -> None:
        """See Admin.revoke."""
        self._run(self._admin.revoke(grantee, subject))

    def rights(self) -> list[Right]:
        """See Admin.rights."""
        return self._run(self._admin.rights())

    def audit_log(self, since_unix_ms: int = 0) -> list[PartyLog]:
        """See Admin.audit_log."""
        return self._run(self._admin.audit_log(since_unix_ms))


class SyncBulk:
    """See visard.bulk.Bulk."""

    def __init__(self, bulk: Bulk, run: Run) -> None:
        self._bulk = bulk
        self._run = run

    def enrol(
        self,
        source: Path | str | Sequence[BulkItem],
        *,
        journal: Path | None = None,
        largest: bool = False,
        force: bool = False,
        replace: bool = False,
        unique: bool = False,
        batch: int = MAX_BATCH,
        at_once: int = 0,
        told: Told | None = None,
    ) -> BulkEnrolment:
        """See Bulk.enrol; ``told`` is called in the client's thread."""
        work = self._bulk.enrol(
            source,
            journal=journal,
            largest=largest,
            force=force,
            replace=replace,
            unique=unique,
            batch=batch,
            at_once=at_once,
            told=told,
        )
        return self._run(work)

    def identify(
        self,
        files: Sequence[Path],
        *,
        operating_point: str = "",
        largest: bool = False,
        allow_large_gallery: bool = False,
        nearest: bool = False,
        force: bool = False,
        at_once: int = 0,
    ) -> Iterator[SearchedPhoto]:
        """See Bulk.identify."""
        answers = self._bulk.identify(
            files,
            operating_point=operating_point,
            largest=largest,
            allow_large_gallery=allow_large_gallery,
            nearest=nearest,
            force=force,
            at_once=at_once,
        )

        async def following() -> SearchedPhoto | None:
            return await anext(answers, None)

        try:
            while (answer := self._run(following())) is not None:
                yield answer
        finally:
            self._run(answers.aclose())

    def faces(
        self,
        photo: Photo,
        *,
        operating_point: str = "",
        allow_large_gallery: bool = False,
        nearest: bool = False,
        force: bool = False,
        at_once: int = 0,
    ) -> list[SearchedFace]:
        """See Bulk.faces."""
        work = self._bulk.faces(
            photo,
            operating_point=operating_point,
            allow_large_gallery=allow_large_gallery,
            nearest=nearest,
            force=force,
            at_once=at_once,
        )
        return self._run(work)


class SyncClient:
    """See visard.Client; use it as ``with``, as often as you like. Safe to share between threads, not between processes."""

    models: SyncModels
    galleries: SyncGalleries
    admin: SyncAdmin
    bulk: SyncBulk

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
        self._client = Client(
            connection, model=model, deadline=deadline, retry=retry, operating_point=operating_point, gallery=gallery
        )
        self.models = SyncModels(self._client.models, self._run)
        self.galleries = SyncGalleries(self._client.galleries, self._run)
        self.admin = SyncAdmin(self._client.admin, self._run)
        self.bulk = SyncBulk(self._client.bulk, self._run)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @property
    def model(self) -> str:
        """See Client.model."""
        return self._client.model

    @model.setter
    def model(self, name: str) -> None:
        self._client.model = name

    @property
    def gallery(self) -> str:
        """See Client.gallery."""
        return self._client.gallery

    @gallery.setter
    def gallery(self, name: str) -> None:
        self._client.gallery = name

    @property
    def deadline(self) -> float:
        """See Client.deadline."""
        return self._client.deadline

    @deadline.setter
    def deadline(self, seconds: float) -> None:
        self._client.deadline = seconds

    @property
    def operating_point(self) -> str:
        """See Client.operating_point."""
        return self._client.operating_point

    @operating_point.setter
    def operating_point(self, name: str) -> None:
        self._client.operating_point = name

    def __enter__(self) -> Self:
        """Start a thread with a loop, and open the channel; raises NotOpen where it is open already."""
        if self._thread is not None and self._thread.is_alive():
            raise NotOpen("this client is open already")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="visard", daemon=True)
        self._thread.start()
        self._run(self._client.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the channel and end the thread."""
        self._run(self._client.__aexit__(kind, error, trace))
        assert self._loop is not None
        assert self._thread is not None
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._loop = self._thread = None

    def enrol(
        self,
        subject: str,
        photos: Sequence[Photo],
        *,
        largest: bool = False,
        replace: bool = False,
        unique: bool = False,
        ttl_seconds: int = 0,
        metadata: bytes = b"",
        force: bool = False,
    ) -> Enrolment:
        """See Client.enrol."""
        work = self._client.enrol(
            subject,
            photos,
            largest=largest,
            replace=replace,
            unique=unique,
            ttl_seconds=ttl_seconds,
            metadata=metadata,
            force=force,
        )
        return self._run(work)

    def verify(
        self, subject: str, photo: Photo, *, operating_point: str = "", largest: bool = False, force: bool = False
    ) -> Verification:
        """See Client.verify."""
        work = self._client.verify(subject, photo, operating_point=operating_point, largest=largest, force=force)
        return self._run(work)

    def identify(
        self,
        photo: Photo,
        *,
        operating_point: str = "",
        largest: bool = False,
        allow_large_gallery: bool = False,
        nearest: bool = False,
        force: bool = False,
    ) -> Identification:
        """See Client.identify."""
        work = self._client.identify(
            photo,
            operating_point=operating_point,
            largest=largest,
            allow_large_gallery=allow_large_gallery,
            nearest=nearest,
            force=force,
        )
        return self._run(work)

    def identify_each(
        self,
        photos: Sequence[Photo],
        *,
        operating_point: str = "",
        largest: bool = False,
        allow_large_gallery: bool = False,
        force: bool = False,
    ) -> list[Identification]:
        """See Client.identify_each."""
        work = self._client.identify_each(
            photos,
            operating_point=operating_point,
            largest=largest,
            allow_large_gallery=allow_large_gallery,
            force=force,
        )
        return self._run(work)

    def compare(self, photo: Photo, other: Photo, *, operating_point: str = "", largest: bool = False) -> Verification:
        """See Client.compare."""
        return self._run(self._client.compare(photo, other, operating_point=operating_point, largest=largest))

    def run(self, image: Source, *more: Source, largest: bool = False) -> Output:
        """See Client.run."""
        return self._run(self._client.run(image, *more, largest=largest))

    def delete(self, subject: str, reference_ids: Sequence[str] = ()) -> int:
        """See Client.delete."""
        return self._run(self._client.delete(subject, reference_ids))

    def rename(self, subject: str, new_subject: str) -> int:
        """See Client.rename."""
        return self._run(self._client.rename(subject, new_subject))

    def references(self, subject: str) -> list[StoredReference]:
        """See Client.references."""
        return self._run(self._client.references(subject))

    def subjects(self) -> list[SubjectCount]:
        """See Client.subjects."""
        return self._run(self._client.subjects())

    def status(self, *, layers: bool = False) -> Status:
        """See Client.status."""
        return self._run(self._client.status(layers=layers))

    def upload(
        self, operation: str, photos: Sequence[Photo], *, subject: str = "", largest: bool = False, force: bool = False
    ) -> list[str]:
        """See Client.upload; all messages at once."""

        async def whole() -> list[str]:
            messages = await self._client.upload(operation, photos, subject=subject, largest=largest, force=force)
            return [message async for message in messages]

        return self._run(whole())

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        loop, thread = self._loop, self._thread
        if loop is None or thread is None or not thread.is_alive():  # closed, or we are a child that was forked
            work.close()
            raise NotOpen("this client is not open in this process: use it as `with visard.SyncClient(...) as client`")
        future = asyncio.run_coroutine_threadsafe(work, loop)
        try:
            return future.result()
        except KeyboardInterrupt as interrupt:
            future.cancel()
            interrupt.add_note("the request was under way: what it writes may have been stored")
            raise
