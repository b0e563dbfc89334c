"""The client without async: one event loop in a thread of its own, the same methods, blocking."""

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from visard_wire.limits import DEFAULT_GALLERY

from visard.capture import Source
from visard.client import DEFAULT_DEADLINE, DEFAULT_MODEL, Client, Connection, Photo
from visard.errors import NotOpen
from visard.migration import Migration, MigrationStatus
from visard.results import (
    Enrolment,
    Identification,
    Output,
    Status,
    StoredReference,
    SubjectCount,
    Verification,
)
from visard.sync.parts import SyncAdmin, SyncBulk, SyncGalleries, SyncModels

__all__ = ["SyncAdmin", "SyncBulk", "SyncClient", "SyncGalleries", "SyncModels"]

T = TypeVar("T")


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
        review: bool = False,
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
            review=review,
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
        models: Sequence[str] = (),
        largest: bool = False,
        allow_large_gallery: bool = False,
        nearest: bool = False,
        force: bool = False,
    ) -> Identification:
        """See Client.identify."""
        work = self._client.identify(
            photo,
            operating_point=operating_point,
            models=models,
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

    def migrate(
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
        """See Client.migrate."""
        work = self._client.migrate(
            subject, photo, to, operating_point=operating_point, keep=keep, largest=largest, force=force
        )
        return self._run(work)

    def migration(self, to: str) -> MigrationStatus:
        """See Client.migration."""
        return self._run(self._client.migration(to))

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

    def review(self, subject: str, *, accept: bool, reference_ids: Sequence[str] = ()) -> int:
        """See Client.review."""
        return self._run(self._client.review(subject, accept=accept, reference_ids=reference_ids))

    def references(self, subject: str, *, waiting: bool = False) -> list[StoredReference]:
        """See Client.references."""
        return self._run(self._client.references(subject, waiting=waiting))

    def subjects(self, *, waiting: bool = False) -> list[SubjectCount]:
        """See Client.subjects."""
        return self._run(self._client.subjects(waiting=waiting))

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
