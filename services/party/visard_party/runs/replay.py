"""Requests that come again: which were made, which were refused for good, which can never be made any more."""

import hashlib
import time

import structlog
from visard_common.errors import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ServiceFault,
    Unavailable,
)
from visard_common.limits import MAX_EXPIRY_MS, RETRY_SECONDS

from visard_party.errors import StoreError
from visard_party.intake.asked import Asked
from visard_party.operations import OPERATIONS
from visard_party.operations.prepared import Outcome
from visard_party.operations.resources import Resources
from visard_party.store.contents import State

# what the caller is told is over, and does not send again by itself
_FINAL = frozenset(
    fault.code for fault in (AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, PermissionDenied)
)

log = structlog.get_logger()


class Replay:
    """What the store knows of requests."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._store = resources.store
        self._writes = resources.writes

    async def made_before(self, asked: Asked) -> bool:
        """Whether this very write is committed; raises ServiceFault for another one, and for one that was undone."""
        entry = await self._store.entry(asked.request.request_id)
        if entry is None:
            return False
        state = await self._writes.settled(asked.request.request_id, asked.seconds)
        if state is State.DROPPED:
            raise Aborted("the write was undone or refused: nothing is stored; send it with a fresh request id")
        if not entry.digest.startswith(asked.signed):
            raise AlreadyExists("this request id stands for another write")
        if state is State.PENDING:
            raise Unavailable("the write waits for a party that is away", retry_after=RETRY_SECONDS)
        return True

    async def again(self, asked: Asked) -> Outcome:
        """The outcome of a write that was made before: the same as the first time; raises StoreError."""
        entry = await self._store.entry(asked.request.request_id)
        outcome = OPERATIONS[asked.request.operation].repeated(self._resources, asked)
        outcome.counts(entry.changes if entry is not None else 0)
        return outcome

    async def foreclose(self, earlier: bytes, seconds: float) -> None:
        """See to it that an earlier request is never made; raises AlreadyExists when it was, Unavailable while it may be."""
        state = (await self._store.states([earlier]))[earlier]
        if state is State.PENDING:
            state = await self._writes.settled(earlier, seconds)
        if state is State.COMMITTED:
            raise AlreadyExists("the request that this one stands for was made")
        if state is State.PENDING:
            raise Unavailable("the request that this one stands for waits for a party", retry_after=RETRY_SECONDS)
        if state is State.UNKNOWN:
            await self._store.drop(earlier, _now_ms() + MAX_EXPIRY_MS)

    async def refused(self, asked: Asked, fault: ServiceFault) -> None:
        """A write's caller was told no: whoever kept the request cannot have it run when it would be granted.

        What is staged here is left to recovery: another party may have staged it too.
        """
        if fault.code not in _FINAL or not asked.declared.writes or asked.deposit is None:
            return
        request_id = asked.request.request_id
        try:
            if (await self._store.states([request_id]))[request_id] is State.UNKNOWN:
                await self._store.drop(request_id, asked.request.expires_unix_ms)
        except StoreError as error:
            log.warning("a refused write was not noted", request=request_id.hex(), reason=str(error))

    async def first_time(self, asked: Asked) -> bool:
        """Note that this attempt is made; whether none was made like it before."""
        now, seen = _now_ms(), asked.request.request_id
        if asked.declared.writes:  # an id may come again, an attempt may not: it names the session
            seen = hashlib.sha256(b"visard attempt" + asked.request.request_id + asked.attempt).digest()[: len(seen)]
        return await self._store.remember(seen, now, now + 2 * MAX_EXPIRY_MS)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
