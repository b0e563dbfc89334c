"""A connection of the HTTP port: hypercorn's, where nobody waits for a client that is gone, or that does not read.

hypercorn 0.18 waits for ever in four places: to write to a client that does not read; to hand on what comes for a request that
was answered; to say to an application that has ended that its client is gone; and in a pipeline whose client is gone. What
comes for a stream of HTTP/2 that was answered ends the connection there, and with it all other streams.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.h2 import H2Protocol
from visard_common.limits import IDLE_SECONDS

PARTING_SECONDS = 1.0  # for the client to say that it has heard of the end
PIECES = 2  # of a request's body, of 64 KiB at most, that wait for who reads them

Put = Callable[[Any], Awaitable[None]]


class Inbox:
    """What has come for an application: little of it, until its client is gone or it was answered, and then nothing more."""

    def __init__(self) -> None:
        self._events: deque[Any] = deque()
        self._changed = asyncio.Condition()
        self._ended = False

    async def put(self, event: Any) -> None:
        """Wait until there is room; never, where nobody will read."""
        async with self._changed:
            self._ended = self._ended or event["type"].endswith(".disconnect")
            await self._changed.wait_for(lambda: self._ended or len(self._events) < PIECES)
            if not self._ended or event["type"].endswith(".disconnect"):
                self._events.append(event)
            self._changed.notify_all()

    async def get(self) -> Any:
        """The next event."""
        async with self._changed:
            await self._changed.wait_for(lambda: bool(self._events))
            event = self._events.popleft()
            self._changed.notify_all()
            return event


class _Streams(dict[int, Any]):
    """Of an HTTP/2 connection. What still comes for one that was answered goes nowhere."""

    class _Gone:
        async def handle(self, event: Any) -> None:
            pass

    def __missing__(self, stream: int) -> "_Streams._Gone":
        return self._Gone()


class Connection(TCPServer):
    """A connection, from its handshake to its end."""

    _ended = False

    async def protocol_send(self, event: Event) -> None:
        """Write, or end the connection where that takes too long, or who waited for it has given up."""
        if self._ended and isinstance(event, Updated):
            return
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                await super().protocol_send(event)
        except TimeoutError:
            self.writer.transport.abort()
        except asyncio.CancelledError:
            if isinstance(event, RawData):
                self.writer.transport.abort()
            raise

    async def _read_data(self) -> None:
        if isinstance(protocol := self.protocol.protocol, H2Protocol):
            protocol.streams = _Streams()
        self._task_group.spawn_app = self._spawn_app  # type: ignore[method-assign]
        reading = asyncio.ensure_future(super()._read_data())
        lost = asyncio.ensure_future(self._lost())
        try:
            await asyncio.wait((reading, lost), return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait((reading,), timeout=PARTING_SECONDS)  # to see the end by itself
        finally:
            for task in (reading, lost):
                task.cancel()
            await asyncio.gather(reading, lost, return_exceptions=True)
            self._ended = True
            await self.protocol.handle(Closed())
            await self.idle_task.stop()  # or else it would stay here as long as one that is idle

    async def _lost(self) -> None:
        with suppress(OSError):
            await asyncio.shield(self.writer.wait_closed())

    async def _spawn_app(self, app: Any, config: Any, scope: Any, send: Callable[[Any], Awaitable[None]]) -> Put:
        inbox = Inbox()

        async def answer() -> None:
            try:
                await app(scope, inbox.get, send, None, None)
            finally:
                await send(None)

        self._task_group.spawn(answer)
        return inbox.put
