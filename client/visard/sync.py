"""The client without async: one event loop in a thread of its own, the same methods, blocking."""

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from visard.capture import Source
from visard.client import DEFAULT_DEADLINE, DEFAULT_MODEL, Client, Connection, Photo
from visard.results import Enrolment, Identification, Output, StoredReference, SubjectCount, Verification
from visard.v1 import common_pb2, gateway_pb2

T = TypeVar("T")


class SyncClient:
    """See visard.Client; use it as ``with``. Safe to share between threads."""

    def __init__(
        self, connection: Connection, *, model: str = DEFAULT_MODEL, deadline: float = DEFAULT_DEADLINE
    ) -> None:
        self._client = Client(connection, model=model, deadline=deadline)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="visard", daemon=True)

    def __enter__(self) -> Self:
        """Open the channel."""
        self._thread.start()
        self._run(self._client.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the channel and end the thread."""
        self._run(self._client.__aexit__(kind, error, trace))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

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
        )
        return self._run(work)

    def verify(self, subject: str, photo: Photo, *, operating_point: str = "", largest: bool = False) -> Verification:
        """See Client.verify."""
        return self._run(self._client.verify(subject, photo, operating_point=operating_point, largest=largest))

    def identify(self, photo: Photo, *, operating_point: str = "", largest: bool = False) -> Identification:
        """See Client.identify."""
        return self._run(self._client.identify(photo, operating_point=operating_point, largest=largest))

    def compare(self, photo: Photo, other: Photo, *, operating_point: str = "", largest: bool = False) -> Verification:
        """See Client.compare."""
        return self._run(self._client.compare(photo, other, operating_point=operating_point, largest=largest))

    def run(self, image: Source, *more: Source) -> Output:
        """See Client.run."""
        return self._run(self._client.run(image, *more))

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

    def models(self) -> list[common_pb2.ModelInfo]:
        """See Client.models."""
        return self._run(self._client.models())

    def status(self) -> gateway_pb2.GetStatusResponse:
        """See Client.status."""
        return self._run(self._client.status())

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()
