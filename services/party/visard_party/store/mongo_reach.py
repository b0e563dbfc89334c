"""Operations on a MongoDB server that may go away: tried again while a primary is elected, given up in time, never queued up.

The first operation that finds the server away looks for it for some seconds. From then on one task alone looks, and whatever
comes meanwhile hears at once that the store is away: it may hold a lock, behind which others would wait for ever longer.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

from pymongo.errors import AutoReconnect, ConnectionFailure, OperationFailure, PyMongoError

from visard_party.errors import StoreAway, StoreBusy, StoreError, StoreRefused

TIMEOUT_SECONDS = 30.0
_PAUSE = 0.2  # seconds before an operation is tried again while a primary is elected
_LOOK = 0.2  # seconds that an operation waits for a server that was away
_DENIED = (13, 18)  # what the user may not do, and who it is
_REFUSED = "store: the server refuses user or password"
_AWAY = "store: the server cannot be reached"

T = TypeVar("T")


class Reach:
    """What is done at a server, through its client."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._looking: asyncio.Task[bool] | None = None  # while the server is away

    async def do(self, work: Callable[[], Awaitable[T]], seconds: float = TIMEOUT_SECONDS) -> T:
        """Do what may be repeated, again and again while a primary is being elected; raises StoreError."""
        try:
            async with asyncio.timeout(seconds):
                await self._look()
                return await self._persistently(work)
        except TimeoutError as error:
            raise StoreBusy(f"store: no answer within {seconds:.0f} s") from error
        except OperationFailure as error:
            if error.code in _DENIED:
                raise StoreRefused(_REFUSED) from error
            raise StoreError(f"store: {error.code}") from error
        except ConnectionFailure as error:
            if _denied(error):
                raise StoreRefused(_REFUSED) from error
            self._begin_to_look()
            raise StoreAway(_why(error)) from error
        except PyMongoError as error:
            raise StoreError(f"store: {type(error).__name__}") from error

    def close(self) -> None:
        """Look no more."""
        if self._looking is not None:
            self._looking.cancel()

    async def _persistently(self, work: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                return await work()
            except AutoReconnect as error:
                if _denied(error) or not await self._selectable():
                    raise
                await asyncio.sleep(_PAUSE)

    async def _look(self) -> None:
        """Nothing, unless the server was away the last time; raises StoreAway while it is."""
        if (looking := self._looking) is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(_LOOK):
                if await asyncio.shield(looking):
                    self._looking = None
                    return
                self._begin_to_look()
        raise StoreAway(_AWAY)

    def _begin_to_look(self) -> None:
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._selectable())

    async def _selectable(self) -> bool:
        """Whether the server answers within the client's time for that."""
        try:
            await self._client.admin.command("ping")
        except ConnectionFailure:
            return False
        except PyMongoError:  # it answers; the operation itself will hear what it does not like
            return True
        return True


def _why(error: ConnectionFailure) -> str:
    """What an operator wants to know; of a certificate what is wrong with it, and never the URI."""
    wrong = re.search(r"certificate verify failed: ([^(,]+)", str(error))
    return f"store: the server's certificate is not accepted: {wrong[1].strip()}" if wrong else _AWAY


def _denied(error: ConnectionFailure) -> bool:
    return "authentication" in str(error).lower()
