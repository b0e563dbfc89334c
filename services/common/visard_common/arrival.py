"""What happens to a call before anything of it is read: may its caller call this, is there a place, and does it say something?

gRPC calls a unary handler only when the message is there, so a call that never sends it would be seen by nobody and hold a
place for ever. Here every handler is one of a stream of requests, which begins when the call does; a unary one is given the
one message that came in time.
"""

import asyncio
import inspect
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import grpc

from visard_common.errors import DeadlineExceeded, InvalidArgument, PermissionDenied, ResourceExhausted, ServiceFault
from visard_common.identity import Role, peer_role
from visard_common.limits import ENDLESS, FIRST_SECONDS, IDLE_SECONDS, LOOKS, LOOKS_EACH, MAX_DRAINS, RETRY_SECONDS
from visard_common.rpc import Behaviour, handled, shape
from visard_common.uploads import refusing_politely

# which kinds of roles may call what: a service's full name, or for one of its methods that name, "/" and the method's
Access = Mapping[str, tuple[str, ...]]

# these are for every certificate of the deployment, and have few places of their own
OPEN = ("grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection")
_OF_SERVICES = ("gateway", "party")  # they ask for others, and are limited by what they let in themselves
_SHARE = 0.75  # of all places, for all certificates of one kind


class Places:
    """How many calls are under way: in all and of each caller, so that none can take every place. Pure."""

    def __init__(self, total: int, each: int) -> None:
        self._kind = int(total * _SHARE)
        self._each = each
        self._taken: Counter[tuple[str, ...]] = Counter()

    @contextmanager
    def of(self, role: Role, method: str) -> Iterator[None]:
        """A place for one call; raises ResourceExhausted when there is none."""
        if method.partition("/")[0] in OPEN:
            wanted = {("looks", method): LOOKS, ("looks", method, str(role)): LOOKS_EACH}
        elif role.kind in _OF_SERVICES:
            wanted = {}
        else:
            wanted = {("kind", role.kind): self._kind, ("caller", str(role)): self._each}
        if any(self._taken[key] >= most for key, most in wanted.items()):
            raise ResourceExhausted("too many calls at a time", retry_after=RETRY_SECONDS)
        self._taken.update(wanted.keys())
        try:
            yield
        finally:
            self._taken -= Counter(wanted.keys())  # keeps what is above zero

    @property
    def taken(self) -> int:
        """Calls that are limited here and under way."""
        return sum(n for (what, *_), n in self._taken.items() if what == "caller")


class Patient:
    """A stream of requests that may be silent for so long, and no longer; raises DeadlineExceeded."""

    def __init__(self, requests: AsyncIterator[Any], first: float, idle: float | None) -> None:
        self._requests = aiter(requests)
        self._seconds: float | None = first
        self._idle = idle

    def __aiter__(self) -> "Patient":
        return self

    async def __anext__(self) -> Any:
        try:
            async with asyncio.timeout(self._seconds):
                message = await anext(self._requests)
        except TimeoutError as error:
            raise DeadlineExceeded(f"no message came within {self._seconds:g} s") from error
        self._seconds = self._idle
        return message


async def only(requests: AsyncIterator[Any], seconds: float = FIRST_SECONDS) -> Any:
    """The one message of a unary call; raises InvalidArgument when there is none, DeadlineExceeded when it is late."""
    message = await anext(Patient(requests, seconds, None), None)
    if message is None:
        raise InvalidArgument.of("message", "exactly one")
    return message


@dataclass(frozen=True)
class _Call:
    """What a method is: its name, and whether its requests are many."""

    method: str
    many: bool


class ArrivalInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]
    """Lets in who may call, as long as there are places; goes inside of whatever turns faults into statuses."""

    def __init__(self, access: Access, total: int, each: int) -> None:
        self._access = access
        self.places = Places(total, each)
        self._draining = 0

    async def intercept_service(self, continuation: Callable[..., Any], details: grpc.HandlerCallDetails) -> Any:
        """Wrap the handler of a call."""
        handler = await continuation(details)
        return handler and arriving(handler, details.method.removeprefix("/"), self._arrived)

    @asynccontextmanager
    async def _arrived(self, call: _Call, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        """The request, or the stream of them, for as long as the call has a place."""
        with ExitStack() as stack:
            try:
                stack.enter_context(self.places.of(self._admit(call.method, context), call.method))
            except ServiceFault as fault:
                await self._turn_away(call, requests, fault)
                raise
            yield await _request(call, requests)

    def _admit(self, method: str, context: Any) -> Role:
        """The caller's role; raises PermissionDenied when it may not call this."""
        service = method.partition("/")[0]
        if service in OPEN:
            try:
                return peer_role(context)
            except PermissionDenied:
                return Role("nobody")
        role, kinds = peer_role(context), self._access.get(method, self._access.get(service, ()))
        if role.kind not in kinds:
            raise PermissionDenied(f"role {role.kind} may not call this: only {', '.join(kinds)}")
        return role

    async def _turn_away(self, call: _Call, requests: AsyncIterator[Any], fault: ServiceFault) -> None:
        """An upload is read on for a moment, so that its caller sees why; but not so many that they hold our places."""
        if not call.many or self._draining >= MAX_DRAINS:
            return
        self._draining += 1
        try:
            async with refusing_politely(requests):
                raise fault
        finally:
            self._draining -= 1


async def _request(call: _Call, requests: AsyncIterator[Any]) -> Any:
    if not call.many:
        return await only(requests)
    return requests if call.method in ENDLESS else Patient(requests, FIRST_SECONDS, IDLE_SECONDS)


Arrived = Callable[[_Call, AsyncIterator[Any], Any], Any]


def arriving(handler: Any, method: str, arrived: Arrived) -> Any:
    """The same for a stream of requests, each call within ``arrived``, which gives it its request."""
    kind = shape(handler)
    call, behaviour = _Call(method, kind.startswith("stream")), getattr(handler, kind)
    make = _generator if inspect.isasyncgenfunction(behaviour) else _coroutine
    return handled(handler, f"stream_{kind.partition('_')[2]}", make(behaviour, call, arrived))


def _coroutine(behaviour: Behaviour, call: _Call, arrived: Arrived) -> Behaviour:
    async def begin(requests: Any, context: Any) -> Any:
        async with arrived(call, requests, context) as request:
            return await behaviour(request, context)

    return begin


def _generator(behaviour: Behaviour, call: _Call, arrived: Arrived) -> Behaviour:
    async def begin(requests: Any, context: Any) -> AsyncIterator[Any]:
        async with arrived(call, requests, context) as request:
            async for message in behaviour(request, context):
                yield message

    return begin
