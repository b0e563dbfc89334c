"""Many readers, or one writer; and one at a time for each name. In one event loop."""

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary


class Gate:
    """Many readers, or one writer."""

    def __init__(self) -> None:
        self._readers = 0
        self._changed = asyncio.Condition()
        self._writer = asyncio.Lock()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        """Among other readers; waits for a writer to end, and for one that waits already."""
        async with self._writer:
            self._readers += 1
        try:
            yield
        finally:
            async with self._changed:
                self._readers -= 1
                self._changed.notify_all()

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        """Alone; waits for all readers to end, and lets none begin meanwhile."""
        async with self._writer:
            async with self._changed:
                await self._changed.wait_for(lambda: self._readers == 0)
            yield


class Turns:
    """One at a time for each name, in the order in which they came."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[Hashable, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def of(self, name: Hashable) -> AsyncIterator[None]:
        """While nobody else has a turn under this name."""
        lock = self._locks.setdefault(name, asyncio.Lock())
        async with lock:
            yield
