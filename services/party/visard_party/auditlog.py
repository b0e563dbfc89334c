"""This party's log of who asked for what: written down before the answer leaves, as a chain of hashes (visard_wire.chain).

Whatever comes while a write is under way goes into the next one: under load one write to the store carries many entries.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace

import structlog
from visard_common.background import Background
from visard_common.errors import Internal
from visard_common.operations import word
from visard_wire.chain import OK, Entry
from visard_wire.v1 import common_pb2

from visard_party.errors import StoreError
from visard_party.faults import known
from visard_party.metrics import SIGNED
from visard_party.store.base import Store
from visard_party.store.contents import Link

DAY_MS = 86_400_000
PRUNE_SECONDS = 3600.0
CANCELLED = "CANCELLED"
_AT_ONCE = 256  # entries in one write to the store

log = structlog.get_logger()


def _milliseconds() -> int:
    return time.time_ns() // 1_000_000


@dataclass
class _Waiting:
    """An entry, but for its number and time, and whoever waits until it is written down."""

    entry: Entry
    written: "asyncio.Future[None]"


class AuditLog:
    """Appends to the log and prunes it. Goes on from what the store has."""

    def __init__(self, store: Store, days: int, clock: Callable[[], int] = _milliseconds) -> None:
        self._store = store
        self._keep_ms = days * DAY_MS
        self._clock = clock
        self._head: Link | None = None  # not known: to be read
        self._waiting: list[_Waiting] = []
        self._writer: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def noting(
        self, request: common_pb2.Request, caller: str, *, failures_only: bool = False
    ) -> AsyncIterator[None]:
        """Note what becomes of a request whose signature is ``caller``'s; raises StoreError where that cannot be done."""
        try:
            yield
        except asyncio.CancelledError:  # the caller has gone away
            with suppress(StoreError):
                await asyncio.shield(self.note(request, caller, CANCELLED))
            raise
        except Exception as error:
            await self.note(request, caller, (known(error) or Internal).code)
            raise
        if not failures_only:
            await self.note(request, caller, OK)

    async def note(self, request: common_pb2.Request, caller: str, code: str) -> None:
        """Write down that a request was answered with a status, durably; nothing where nobody signed it. Raises StoreError."""
        if not caller:
            return
        entry = entry_of(request, caller, code)
        SIGNED.labels(entry.operation, code).inc()
        waiting = _Waiting(entry, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())
        await waiting.written

    async def _write(self) -> None:
        """Write what waits, until nothing does."""
        while self._waiting:
            batch, self._waiting = self._waiting[:_AT_ONCE], self._waiting[_AT_ONCE:]
            failure: Exception | None = None
            try:
                await self._append([waiting.entry for waiting in batch])
            except Exception as error:
                failure, self._head = error, None  # it may have been written all the same
            for waiting in batch:
                if waiting.written.cancelled():
                    continue
                waiting.written.set_exception(failure) if failure else waiting.written.set_result(None)

    async def _append(self, entries: list[Entry]) -> None:
        head = self._head or await self._store.audit_head()
        linked: list[tuple[Entry, bytes]] = []
        for entry in entries:
            now = max(self._clock(), head.time_unix_ms)  # a clock that goes back does not put entries out of order
            fixed = replace(entry, sequence=head.sequence + 1, time_unix_ms=now)
            head = Link(fixed.sequence, now, fixed.link(head.hash))
            linked.append((fixed, head.hash))
        await self._store.audit_append(linked)
        self._head = head

    def keep(self, work: Background) -> None:
        """Begin what is done by itself: forgetting what is too old."""
        work.every(PRUNE_SECONDS, "audit log", self.look)

    async def look(self) -> None:
        """Forget entries whose time is over."""
        try:
            await self._store.audit_prune(self._clock() - self._keep_ms)
        except StoreError as error:
            log.warning("pruning waits for the store", reason=str(error))


def entry_of(request: common_pb2.Request, caller: str, code: str) -> Entry:
    """What is noted of a request; number and time are given when it is written."""
    names = (request.model, request.subject, request.new_subject, request.grantee)
    return Entry(
        0, 0, caller, word(request.operation), *names, request.request_id, code, detail_of(request), request.gallery
    )


def detail_of(request: common_pb2.Request) -> str:
    """Which program a request publishes or changes, and the points that it gives it: NAME=DISTANCE@RATE, 0 for unknown.

    Of a gallery its rules: MAY=CALLERS. Of a subject that is to be moved the model that it is moved to. Of references that go to
    another deployment, or come from one, that one's name.
    """
    moved = [f"to {request.new_model}"] if request.new_model else []
    program = [f"program {request.program_digest.hex()}"] if request.program_digest else []
    points = sorted(f"{point.name}={point.distance!r}@{point.false_match_rate!r}" for point in request.points)
    rules = sorted(f"{rule.may}={rule.callers}" for rule in request.rules)
    return " ".join([*program, *points, *rules, *moved, *([request.deployment] if request.deployment else [])])
