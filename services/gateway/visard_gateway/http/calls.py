"""A call over HTTP, made one of gRPC: the same handler within the same interceptors begins when the call does.

So whether its caller may call, and has a place, is judged before anything of the request is read; and how long a message may
take, what is counted, logged and traced, and what a fault becomes, is said once for both ports.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any, Never

import grpc
from visard_common.errors import InvalidArgument
from visard_common.lifecycle import Interceptors

from visard_gateway.http.faults import Ended, fault_from
from visard_gateway.http.peers import Peer

Handlers = Mapping[str, Any]  # "/visard.v1.FaceMatching/Verify" to what answers it
Pairs = tuple[tuple[str, str | bytes], ...]

FAIL_SECONDS = 1.0  # for a handler whose request could not be read: it has nothing to wait for


@dataclass(frozen=True)
class Details:
    """What an interceptor is told of a call, as grpc.HandlerCallDetails."""

    method: str
    invocation_metadata: Pairs


class Context:
    """What handlers and interceptors use of grpc.aio.ServicerContext."""

    def __init__(self, caller: Callable[[], Peer], metadata: Pairs, seconds_left: Callable[[], float | None]) -> None:
        self._caller = caller
        self._metadata = metadata
        self._seconds_left = seconds_left
        self._code: grpc.StatusCode | None = None

    def auth_context(self) -> Peer:
        """The names and certificates of who calls; raises ServiceFault for a proof of role that is none."""
        return self._caller()

    def invocation_metadata(self) -> Pairs:
        """The request's headers."""
        return self._metadata

    def time_remaining(self) -> float | None:
        """Seconds until the caller's deadline; None where it has none."""
        return self._seconds_left()

    def code(self) -> grpc.StatusCode | None:
        """The status that the call was ended with."""
        return self._code

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: Pairs = ()) -> Never:
        """End the call; always raises."""
        self._code = code
        status = dict(trailing_metadata).get("grpc-status-details-bin", b"")
        raise Ended(code, details, status if isinstance(status, bytes) else status.encode())


class Requests:
    """A call's messages: one at a time, when the handler asks for it. Its wait is the caller's, whom it holds up."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self._messages: asyncio.Queue[Any] = asyncio.Queue(1)
        self._ended = False

    def __aiter__(self) -> "Requests":
        return self

    async def __anext__(self) -> Any:
        if self._ended:
            raise StopAsyncIteration
        self.asked.set()
        message = await self._messages.get()
        if isinstance(message, BaseException):
            self._ended = True
            raise message
        return message

    async def give(self, message: Any) -> None:
        """The next message, or an exception: what was wrong with it, or StopAsyncIteration."""
        await self._messages.put(message)

    def fail(self, error: Exception) -> bool:
        """The same for an exception, if nothing is on its way before it."""
        with suppress(asyncio.QueueFull):
            self._messages.put_nowait(error)
            return True
        return False


class Call:
    """A call under way, in a task of its own."""

    def __init__(self, answer: Callable[[Requests], Awaitable[Any]]) -> None:
        self.handed = False  # whether the handler reads by itself, and so reads on where it refuses
        self._requests = Requests()
        self._task: asyncio.Task[Any] = asyncio.ensure_future(answer(self._requests))

    async def begin(self) -> None:
        """Wait until the handler asks for a message; raises ConnectError where the call was refused before."""
        asking = asyncio.ensure_future(self._requests.asked.wait())
        try:
            await asyncio.wait((asking, self._task), return_when=asyncio.FIRST_COMPLETED)
        finally:
            asking.cancel()
        self.check()

    def check(self) -> None:
        """Raises ConnectError where the call has failed."""
        if self._task.done() and not self._task.cancelled() and (error := self._task.exception()):
            raise _told(error) from error

    async def beside(self, reading: Awaitable[Any]) -> Any:
        """Read on while the call goes on; raises ConnectError when it fails first."""
        task = asyncio.ensure_future(reading)
        try:
            await asyncio.wait((task, self._task), return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                self.check()
            return await task
        finally:
            task.cancel()

    async def answer(self, messages: AsyncIterator[Any]) -> Any:
        """Hand on the messages as they come; the answer. Raises ConnectError."""
        self.handed = True
        feeding = asyncio.ensure_future(self._feed(messages))
        try:
            await asyncio.wait((self._task,))
        finally:
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)
            await self.end()
        self.check()
        return self._task.result()

    async def fail(self, error: Exception) -> None:
        """Tell a handler that still waits for its request that it could not be read, so that this is counted; then end."""
        if self._requests.fail(fault_from(error)):
            await asyncio.wait((self._task,), timeout=FAIL_SECONDS)
        await self.end()

    async def end(self) -> None:
        """Cancel what still runs, and wait for it."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _feed(self, messages: AsyncIterator[Any]) -> None:
        try:
            async for message in messages:
                await self._requests.give(message)
        except Exception as error:  # it ends in the handler, and there becomes a status
            await self._requests.give(fault_from(error))
        else:
            await self._requests.give(StopAsyncIteration())


def _told(error: BaseException) -> BaseException:
    return error.error if isinstance(error, Ended) else error


class Dispatch:
    """Begins calls: finds the handler of a method, within a server's interceptors."""

    def __init__(self, handlers: Handlers, interceptors: Interceptors) -> None:
        self._handlers = handlers
        chain: Any = self._found
        for interceptor in reversed(interceptors):
            chain = partial(interceptor.intercept_service, chain)
        self._chain = chain

    def begin(self, method: str, context: Context) -> Call:
        """Start a call of a method that there is."""

        async def answer(requests: Requests) -> Any:
            # here, and not before: an interceptor sets what is for the task of a call
            handler = await self._chain(Details(method, context.invocation_metadata()))
            if handler.stream_unary:
                return await handler.stream_unary(requests, context)
            return await handler.unary_unary(await _only(requests), context)

        return Call(answer)

    async def _found(self, details: Details) -> Any:
        return self._handlers[details.method]


async def _only(requests: Requests) -> Any:
    async for message in requests:
        return message
    raise InvalidArgument.of("message", "exactly one")


@dataclass
class Exchange:
    """One HTTP request, from its headers to the last byte of the response, and its call once that has begun."""

    peer: Peer
    call: Call | None = None


EXCHANGE: ContextVar[Exchange] = ContextVar("exchange")
