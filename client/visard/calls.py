"""Between a method of the client and the wire: the channel, the parties' keys, deadlines, and what is sent again how."""

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeVar

import grpc
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from visard_wire import limits, tracing
from visard_wire.callers import Signer
from visard_wire.limits import MAX_INSTEAD, REQUEST_ID_BYTES
from visard_wire.v1 import common_pb2, gateway_pb2, gateway_pb2_grpc

from visard import opening
from visard.connection import Connection, read_trust
from visard.envelopes import NO_SHARES, SealedRequest, seal
from visard.errors import (
    DeadlineExceeded,
    Deviated,
    Exhausted,
    InvalidRequest,
    NotOpen,
    StaleKey,
    Unavailable,
    Undone,
    Unreachable,
    UntrustedKey,
    from_rpc,
)
from visard.seen import SeenSerials
from visard.trust import TrustedKeys, trusted

Operation = common_pb2.Operation
Request = common_pb2.Request
Outcome = common_pb2.Outcome
T = TypeVar("T")

DEFAULT_MODEL = "face"
DEFAULT_GALLERY = limits.DEFAULT_GALLERY
# what is asked about subjects, or of one who may be any of them: these are in a gallery
_IN_GALLERY = frozenset(
    {
        Operation.OPERATION_ENROL,
        Operation.OPERATION_VERIFY,
        Operation.OPERATION_IDENTIFY,
        Operation.OPERATION_MIGRATE,
        Operation.OPERATION_DELETE,
        Operation.OPERATION_REVIEW,
        Operation.OPERATION_RENAME,
        Operation.OPERATION_GRANT,
        Operation.OPERATION_REVOKE,
        Operation.OPERATION_EXPORT,
        Operation.OPERATION_IMPORT,
        Operation.OPERATION_UNLOCK,
    }
)
DEFAULT_DEADLINE = 60.0  # seconds
_LIFETIME_MS = 300_000
_PAUSES = (0.3, 5.0)  # seconds before a call is made again: at first, at most
_DEVIATIONS = 1  # of a party, after which a call is made again
_FIRST_CONTACT_SECONDS = 5.0  # who has never been reached in this time is not there

Shares = Callable[[], Sequence[bytes]]
Send = Callable[[SealedRequest, float], Awaitable[T]]


class Change(Protocol):
    """The answer to a write without a share."""

    @property
    def results(self) -> Sequence[common_pb2.SealedResult]:
        """What each party has sealed for us."""


C = TypeVar("C", bound=Change)
M = TypeVar("M", bound=Message)


class Caller:
    """A caller of the gateway, with one channel: what the client and its parts stand on. Errors are those of visard.errors.

    Messages go in here and messages come out: what leaves the package is made of them in visard.received.
    """

    def __init__(self, connection: Connection, model: str, deadline: float, *, retry: bool) -> None:
        if not isinstance(deadline, int | float) or not 0 < deadline < float("inf"):
            raise InvalidRequest("deadline: seconds, more than 0")
        self.model = model
        self.gallery = DEFAULT_GALLERY
        self.deadline = deadline
        self._connection = connection
        self._retry = retry
        self._roots, self._pem = connection.read()
        self._trust = read_trust(connection.ca)
        self._signer = Signer.read(connection.cert, connection.key)
        self._keys: TrustedKeys | None = None
        self._seen = SeenSerials(connection.seen)
        self._places: asyncio.Semaphore | None = None
        self._fetching = asyncio.Lock()  # calls that begin together fetch keys and models once
        self._channel: grpc.aio.Channel | None = None
        self._reached = False

    async def open(self) -> None:
        """Open the channel; nobody is called yet."""
        credentials = grpc.ssl_channel_credentials(self._roots, *self._pem)
        connection = self._connection
        self._channel = grpc.aio.secure_channel(
            connection.gateway, credentials, options=connection.options(), interceptors=tracing.interceptors()
        )

    async def close(self) -> None:
        """Close the channel; raises NotOpen where there is none."""
        channel, self._channel = self._open_channel(), None
        await channel.close(None)

    def _open_channel(self) -> grpc.aio.Channel:
        if self._channel is None:
            raise NotOpen("this client is not open: use it as `async with visard.Client(...) as client`")
        return self._channel

    @property
    def matching(self) -> "gateway_pb2_grpc.FaceMatchingAsyncStub":
        """What everybody calls; raises NotOpen."""
        return gateway_pb2_grpc.FaceMatchingStub(self._open_channel())

    @property
    def registry(self) -> "gateway_pb2_grpc.ModelRegistryAsyncStub":
        """What owners call; raises NotOpen."""
        return gateway_pb2_grpc.ModelRegistryStub(self._open_channel())

    @property
    def admin(self) -> "gateway_pb2_grpc.AdminAsyncStub":
        """What administrators call; raises NotOpen."""
        return gateway_pb2_grpc.AdminStub(self._open_channel())

    def request(
        self,
        operation: int,
        subject: str = "",
        operating_point: str = "",
        images: int = 0,
        *,
        model: str | None = None,
        gallery: str | None = None,
        **options: Any,
    ) -> Request:
        """A request that begins now; raises InvalidRequest for what does not fit into its fields."""
        now = _now_ms()
        if gallery is None:
            gallery = named(self.gallery) if operation in _IN_GALLERY else ""
        return filled(
            Request(request_id=os.urandom(REQUEST_ID_BYTES), sent_unix_ms=now, expires_unix_ms=now + _LIFETIME_MS),
            operation=operation,
            subject=subject,
            model=self.model if model is None else model,
            images=images,
            operating_point=operating_point,
            gallery=gallery,
            **options,
        )

    async def change(self, method: Callable[..., Awaitable[C]], ask: Callable[..., Any], request: Request) -> int:
        """A write without a share; how many references it names, as all three parties say."""

        def send(sealed: SealedRequest, left: float) -> Awaitable[C]:
            return method(ask(request=sealed.request, envelopes=sealed.envelopes), timeout=left)

        response, sent = await self.write(request, lambda: NO_SHARES, send)
        return opening.changed(opening.open_all(response.results, sent.context, sent.reply_keys))

    async def write(self, request: Request, shares: Shares, send: Send[T]) -> tuple[T, SealedRequest]:
        """A write: the very same again when its answer is lost, and under a fresh id when it was undone.

        Its id stands for what was handed in: sealed anew under the same id it would be refused, had it been made before. And
        nobody vouches for an error: the new request names the earlier ones, so that at most one of them is ever made.
        """
        sealed: SealedRequest | None = None

        async def once(left: float) -> tuple[T, SealedRequest]:
            nonlocal sealed
            handed_in = sealed = sealed or await self.sealed(request, shares())
            try:
                return await self.call(lambda: send(handed_in, left)), handed_in
            except Undone:
                if len(request.instead_of) < MAX_INSTEAD:  # after so many the last is sent again as it is
                    request.instead_of.append(request.request_id)
                    request.request_id, sealed = os.urandom(REQUEST_ID_BYTES), None
                raise
            except StaleKey:
                sealed = None
                raise

        return await self._with_fresh_keys(once)

    async def read(self, request: Callable[[], Request], shares: Shares, send: Send[T]) -> tuple[T, SealedRequest]:
        """A request that changes nothing: another one, with fresh shares, whenever it is sent again."""

        async def once(left: float) -> tuple[T, SealedRequest]:
            sealed = await self.sealed(request(), shares())
            return await self.call(lambda: send(sealed, left)), sealed

        return await self._with_fresh_keys(once)

    async def sealed(self, request: Request, shares: Sequence[bytes]) -> SealedRequest:
        """A request signed, and each share sealed to its party; raises UntrustedKey. Asks for the parties' keys if need be."""
        return seal(request, shares, await self.party_keys(), self._signer)

    async def party_keys(self) -> list[bytes]:
        """The parties' sealing keys, for which each vouches, and which are in use now; raises UntrustedKey."""
        async with self._fetching:
            if self._keys is None or _now_ms() >= self._keys.until_unix_ms:
                _, self._keys = await self._fetched_keys()
            return self._keys.public

    async def offered_keys(self) -> Sequence[common_pb2.PartyKey]:
        """The same as the parties offer them now, each with its party's statement; raises UntrustedKey."""
        async with self._fetching:
            offered, self._keys = await self._fetched_keys()
            return offered

    async def _fetched_keys(self) -> tuple[Sequence[common_pb2.PartyKey], TrustedKeys]:
        try:
            return await self._fetched_once()
        except UntrustedKey:
            # a party may have changed its key since it answered, and another program of ours have seen that
            return await self._fetched_once()

    async def _fetched_once(self) -> tuple[Sequence[common_pb2.PartyKey], TrustedKeys]:
        ask = gateway_pb2.GetPartiesRequest()
        response = await self.again(lambda left: self.matching.GetParties(ask, timeout=left))
        self._places = self._places or asyncio.Semaphore(response.requests_at_a_time or _AT_A_TIME)
        return response.parties, await asyncio.to_thread(trusted, self._trust, response.parties, self._seen, _now_ms())

    async def _with_fresh_keys(self, once: Callable[[float], Awaitable[T]]) -> T:
        """Work that seals, done once more when a party has another key by now: a refused share was not looked at."""
        try:
            return await self.again(once, queue=True)
        except StaleKey:
            self._keys = None
            return await self.again(once, queue=True)

    async def call(self, call: Callable[[], Awaitable[T]]) -> T:
        """One call, its failure as one of our errors."""
        try:
            answer = await call()
        except grpc.aio.AioRpcError as error:
            failure = from_rpc(error, self._connection.gateway)
            self._reached = self._reached or not isinstance(failure, Unavailable | DeadlineExceeded)
            raise failure from error
        self._reached = True
        return answer

    async def again(self, call: Callable[[float], Awaitable[T]], *, queue: bool = False) -> T:
        """A call, repeated while the service is exhausted or away, until the deadline, which all attempts share.

        But a party's deviation is met a second time only: whoever lies would be given ever more runs to lie in. With ``queue`` it
        waits for its turn first where the gateway takes only so many of a caller's requests at a time.
        """
        started, deviations = time.monotonic(), 0
        async with within(self.deadline):
            for attempt in range(1 << 30):
                left = max(started + self.deadline - time.monotonic(), 0.001)
                try:
                    async with self._turn(queue):
                        return await self.call(lambda left=left: call(left))  # type: ignore[misc]
                except (Exhausted, Unavailable, Undone) as error:
                    pause, deviations = _pause(error, attempt), deviations + isinstance(error, Deviated)
                    if (
                        not self._retry
                        or deviations > _DEVIATIONS
                        or time.monotonic() + pause > started + self._patience(error)
                    ):
                        raise
                    await asyncio.sleep(pause)
        raise AssertionError("unreachable")

    def _patience(self, error: Exception) -> float:
        """Seconds for which a failed call is made again."""
        return self.deadline if self._reached or not isinstance(error, Unreachable) else _FIRST_CONTACT_SECONDS

    @asynccontextmanager
    async def _turn(self, queue: bool) -> AsyncIterator[None]:
        if not queue:
            yield
            return
        await self.party_keys()  # which bring the number of places
        assert self._places is not None
        async with self._places:
            yield


def named(gallery: str) -> str:
    """A gallery as a request names it: the one that always is goes without a name."""
    return "" if gallery == DEFAULT_GALLERY else gallery


def _now_ms() -> int:
    return int(time.time() * 1000)


_AT_A_TIME = 16  # of a gateway that says nothing


def _pause(error: Exception, attempt: int) -> float:
    """Seconds until the next attempt: what the service says, or ever more, and never the same for all who wait."""
    if isinstance(error, Exhausted):
        return error.retry_after * random.uniform(1.0, 1.2)
    return min(_PAUSES[0] * (1 << min(attempt, 10)), _PAUSES[1]) * random.uniform(0.7, 1.0)


@asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    """Bound a block in time; raises DeadlineExceeded."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise DeadlineExceeded(f"no answer within {seconds:g} s") from error


_KINDS = {
    FieldDescriptor.TYPE_STRING: "text that UTF-8 can write",
    FieldDescriptor.TYPE_BYTES: "bytes",
    FieldDescriptor.TYPE_UINT32: "a whole number from 0 to 4294967295",
    FieldDescriptor.TYPE_BOOL: "True or False",
    FieldDescriptor.TYPE_DOUBLE: "a number",
}


def filled(message: M, **fields: Any) -> M:
    """The message with these fields set; raises InvalidRequest that names the first one that does not take its value."""
    for name, value in fields.items():
        field = message.DESCRIPTOR.fields_by_name[name]
        try:
            if field.is_repeated and field.message_type is not None:
                getattr(message, name).extend(value)
            elif field.is_repeated:
                getattr(message, name)[:] = list(value)
            else:
                setattr(message, name, value)
        except (TypeError, ValueError, AttributeError) as error:
            many = "a list, each " if field.is_repeated else ""
            raise InvalidRequest(f"{name}: {many}{_KINDS.get(field.type, 'a whole number, not negative')}") from error
    return message
