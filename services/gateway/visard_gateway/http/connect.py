"""The services as connectrpc serves them: Connect and gRPC-Web, whose frames and errors it knows, in front of our handlers."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from connectrpc.code import Code
from connectrpc.errors import ConnectError
from connectrpc.method import IdempotencyLevel, MethodInfo, StreamType
from connectrpc.request import RequestContext
from connectrpc.server import ConnectASGIApplication, Endpoint
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass
from visard_common.errors import ResourceExhausted
from visard_common.lifecycle import Interceptors
from visard_common.limits import MAX_REQUEST, RETRY_SECONDS
from visard_common.rpc import abort

from visard_gateway.http.calls import EXCHANGE, Call, Context, Dispatch, Handlers
from visard_gateway.http.faults import Binary, Ended, Json
from visard_gateway.http.proofs import Caller, Proofs

# the caller's fault is told by the handler; after these there is nobody to tell it to
_GONE = (Code.CANCELED, Code.DEADLINE_EXCEEDED)


class Collected:
    """Takes what is added to a server of gRPC: handlers, by their method's full name."""

    def __init__(self) -> None:
        self.handlers: dict[str, Any] = {}

    def add_generic_rpc_handlers(self, handlers: Any) -> None:
        """Nothing: the same handlers are registered by name."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        """Keep them."""
        self.handlers |= {f"/{service}/{method}": handler for method, handler in handlers.items()}


class Judge:
    """Begins each call before its request is read: whoever may not call is told so at once."""

    def __init__(self, dispatch: Dispatch, proofs: Proofs, total: int) -> None:
        self._dispatch = dispatch
        self._proofs = proofs
        self._total = total
        self.active = 0

    async def on_start(self, ctx: RequestContext[Any, Any]) -> Call:
        """Begin the call; raises ConnectError."""
        exchange, method = EXCHANGE.get(), ctx.method
        metadata = tuple((str(key), str(value)) for key, value in ctx.request_headers.allitems())
        header, path = ctx.request_headers.get("authorization") or "", f"/{method.service_name}/{method.name}"
        caller = Caller(lambda: self._proofs.peer(exchange.peer, header, path))
        context = Context(caller, metadata, lambda: _seconds(ctx))
        if self.active >= self._total:
            await _too_many(context)
        self.active += 1
        call = self._dispatch.begin(path, context)
        try:
            await call.begin()
        except BaseException:
            self.active -= 1
            await call.end()
            raise
        exchange.call = call
        return call

    async def on_end(self, token: Call, ctx: RequestContext[Any, Any], error: Exception | None, /) -> None:
        """End the call, however it went."""
        self.active -= 1
        if error is None or (isinstance(error, ConnectError) and error.code in _GONE):
            await token.end()
        else:
            await token.fail(error)


async def _too_many(context: Context) -> None:
    try:
        await abort(context, ResourceExhausted("too many calls at a time", retry_after=RETRY_SECONDS))  # type: ignore[arg-type]
    except Ended as aborted:
        raise aborted.error from aborted


def _seconds(ctx: RequestContext[Any, Any]) -> float | None:
    return None if ctx.timeout_ms is None else ctx.timeout_ms / 1000


class Services(ConnectASGIApplication[Any]):
    """All methods of some services, as one ASGI application."""

    def __init__(
        self,
        services: Sequence[ServiceDescriptor],
        handlers: Handlers,
        interceptors: Interceptors,
        proofs: Proofs,
        total: int,
    ) -> None:
        endpoints = {
            f"/{service.full_name}/{method.name}": _endpoint(service, method)
            for service in services
            for method in service.methods
            if not method.server_streaming
        }
        self.judge = Judge(Dispatch(handlers, interceptors), proofs, total)
        super().__init__(
            service=None,
            endpoints=lambda _: endpoints,
            interceptors=[self.judge],
            read_max_bytes=MAX_REQUEST,
            compressions=(),  # a small message would become a large one in our memory
            codecs=[Binary(), Json()],
        )

    @property
    def path(self) -> str:
        """Where it is mounted."""
        return "/"


def _endpoint(service: ServiceDescriptor, method: MethodDescriptor) -> Any:
    info: MethodInfo[Any, Any] = MethodInfo(
        name=method.name,
        service_name=service.full_name,
        input=GetMessageClass(method.input_type),
        output=GetMessageClass(method.output_type),
        idempotency_level=IdempotencyLevel.UNKNOWN,  # so that none can be asked by GET, which any page may send
        stream_type=StreamType.CLIENT_STREAM if method.client_streaming else StreamType.UNARY,
    )
    if method.client_streaming:
        return Endpoint.client_stream(info, _stream)
    return Endpoint.unary(info, _unary)


async def _stream(messages: AsyncIterator[Any], ctx: RequestContext[Any, Any]) -> Any:
    return await _call().answer(messages)


async def _unary(message: Any, ctx: RequestContext[Any, Any]) -> Any:
    async def one() -> AsyncIterator[Any]:
        yield message

    return await _call().answer(one())


def _call() -> Call:
    call = EXCHANGE.get().call
    assert call is not None  # Judge has begun it
    return call
