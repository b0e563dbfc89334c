"""The client without async: one event loop in a thread of its own, the same methods, blocking."""

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np
import numpy.typing as npt
from visard_wire.v1 import common_pb2, gateway_pb2

from visard.capture import Source
from visard.client import DEFAULT_DEADLINE, DEFAULT_MODEL, Client, Connection, Photo
from visard.errors import NotOpen
from visard.results import Enrolment, Identification, Output, Right, StoredReference, SubjectCount, Verification

T = TypeVar("T")


class SyncClient:
    """See visard.Client; use it as ``with``, as often as you like. Safe to share between threads, not between processes."""

    def __init__(
        self,
        connection: Connection,
        *,
        model: str = DEFAULT_MODEL,
        deadline: float = DEFAULT_DEADLINE,
        retry: bool = True,
    ) -> None:
        self._client = Client(connection, model=model, deadline=deadline, retry=retry)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Start the loop and open the channel."""
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

    def model_info(self) -> common_pb2.ModelInfo:
        """See Client.model_info."""
        return self._run(self._client.model_info())

    def publish(self, name: str, program: bytes, digest: bytes, weights: npt.NDArray[np.int64], q: int) -> None:
        """See Client.publish."""
        self._run(self._client.publish(name, program, digest, weights, q))

    def withdraw(self, name: str) -> None:
        """See Client.withdraw."""
        self._run(self._client.withdraw(name))

    def audit_nodes(self, prefixes: Sequence[str]) -> list[list[gateway_pb2.AuditNode]]:
        """See Client.audit_nodes."""
        return self._run(self._client.audit_nodes(prefixes))

    def refresh(self) -> int:
        """See Client.refresh."""
        return self._run(self._client.refresh())

    def recover(self, party: int) -> int:
        """See Client.recover."""
        return self._run(self._client.recover(party))

    def grant(self, grantee: str, subject: str = "") -> None:
        """See Client.grant."""
        self._run(self._client.grant(grantee, subject))

    def revoke(self, grantee: str, subject: str = "") -> None:
        """See Client.revoke."""
        self._run(self._client.revoke(grantee, subject))

    def rights(self) -> list[Right]:
        """See Client.rights."""
        return self._run(self._client.rights())

    def audit_log_page(
        self, party: int, after: int = 0, since_unix_ms: int = 0, page_size: int = 0
    ) -> gateway_pb2.AuditLogResponse:
        """See Client.audit_log_page."""
        return self._run(self._client.audit_log_page(party, after, since_unix_ms, page_size))

    def upload(
        self, operation: str, photos: Sequence[Photo], *, subject: str = "", largest: bool = False
    ) -> list[common_pb2.Upload]:
        """See Client.upload; all messages at once."""

        async def whole() -> list[common_pb2.Upload]:
            return [
                message
                async for message in await self._client.upload(operation, photos, subject=subject, largest=largest)
            ]

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
