"""Many readers, or one writer, in one event loop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Gate:
    """Many readers, or one writer."""

    def __init__(self) -> None:
        self._readers = 0
        self._changed = asyncio.Condition()
        self._writer = asyncio.Lock()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        """Among readers."""
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
        """Alone."""
        async with self._writer:
            async with self._changed:
                await self._changed.wait_for(lambda: self._readers == 0)
            yield
