"""Faults over the wire: statuses with google.rpc details on one side, faults again on the other."""

import inspect
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any, NoReturn, cast

import grpc
import structlog
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from visard_wire.errors import DEVIATES

from visard_common.errors import FAULTS, Deviated, Internal, ServiceFault, Unavailable, cut

# the fault that an exception of a service's own means; None for one that nobody foresaw
Known = Callable[[BaseException], ServiceFault | None]
Pairs = tuple[tuple[str, str | bytes], ...]

_DETAILS = "grpc-status-details-bin"
log = structlog.get_logger()


async def abort(context: "grpc.aio.ServicerContext[Any, Any]", fault: ServiceFault) -> NoReturn:
    """End a call with a fault's status and details."""
    code = grpc.StatusCode[fault.code]
    status = status_pb2.Status(code=code.value[0], message=fault.message, details=_details(fault))
    await context.abort(code, fault.message, trailing_metadata=((_DETAILS, status.SerializeToString()),))
    raise AssertionError("abort returned")


def _details(fault: ServiceFault) -> list[AnyMessage]:
    messages: list[Any] = []
    if fault.field is not None:
        violation = error_details_pb2.BadRequest.FieldViolation(field=fault.field, description=fault.allowed or "")
        messages.append(error_details_pb2.BadRequest(field_violations=[violation]))
    if fault.retry_after is not None:
        delay = Duration()
        delay.FromNanoseconds(int(fault.retry_after * 1e9))
        messages.append(error_details_pb2.RetryInfo(retry_delay=delay))
    if isinstance(fault, Deviated):
        messages.append(error_details_pb2.ErrorInfo(reason=DEVIATES, domain="visard"))
    packed = [AnyMessage() for _ in messages]
    for wrapper, message in zip(packed, messages, strict=True):
        wrapper.Pack(message)
    return packed


def fault_of(error: grpc.aio.AioRpcError, who: str) -> ServiceFault:
    """The fault that another service answered, its details kept; ``who`` is named where it is away."""
    code = error.code().name
    text = error.details() or code
    pairs = cast(Pairs, error.trailing_metadata() or ())
    details = [value for key, value in pairs if key == _DETAILS and isinstance(value, bytes)]
    if code in ("UNAVAILABLE", "CANCELLED"):
        # a service that answers says what is missing; a connection that fails knows only sockets
        known: ServiceFault = Unavailable(text if details else f"{who} is unavailable")
    else:
        known = FAULTS.get(code, Internal)(text if code in FAULTS else f"{who} answered {code}")
    statuses = [status_pb2.Status.FromString(value) for value in details]
    if code == Deviated.code and any(map(_deviates, statuses)):
        known = Deviated(text)
    for status in statuses:
        _restore(known, status)
    return known


def _deviates(status: status_pb2.Status) -> bool:
    info = error_details_pb2.ErrorInfo()
    return any(detail.Unpack(info) and info.reason == DEVIATES for detail in status.details)


def _restore(fault: ServiceFault, status: status_pb2.Status) -> None:
    bad, retry = error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
    for detail in status.details:
        if detail.Unpack(bad) and bad.field_violations:
            fault.field, fault.allowed = cut(bad.field_violations[0].field), cut(bad.field_violations[0].description)
        elif detail.Unpack(retry):
            fault.retry_after = retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9


def nothing_known(error: BaseException) -> ServiceFault | None:
    """What a service knows that raises nothing but faults."""
    return error if isinstance(error, ServiceFault) else None


class FaultInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]
    """Turns faults, and what is ``known`` to mean one, into statuses.

    Any other exception becomes INTERNAL with a number that the log explains.
    """

    def __init__(self, known: Known = nothing_known) -> None:
        self._known = known

    async def intercept_service(self, continuation: Callable[..., Any], details: grpc.HandlerCallDetails) -> Any:
        """Wrap the handler of a call."""
        handler = await continuation(details)
        return handler and rewrap(handler, partial(_guarded, details.method, self._known))


@asynccontextmanager
async def _guarded(method: str, known: Known, context: Any) -> AsyncIterator[None]:
    try:
        yield
    except Exception as error:
        await _end(context, error, method, known)


Around = Callable[[Any], AbstractAsyncContextManager[None]]
Behaviour = Callable[..., Any]

_handlers: dict[str, Callable[..., Any]] = {
    "unary_unary": grpc.unary_unary_rpc_method_handler,
    "stream_unary": grpc.stream_unary_rpc_method_handler,
    "unary_stream": grpc.unary_stream_rpc_method_handler,
    "stream_stream": grpc.stream_stream_rpc_method_handler,
}


def shape(handler: Any) -> str:
    """Which of the four kinds of call a handler answers, as in "unary_stream"."""
    return next(kind for kind in _handlers if getattr(handler, kind) is not None)


def handled(handler: Any, kind: str, behaviour: Behaviour) -> Any:
    """A handler of this kind, with the same messages as another."""
    return _handlers[kind](behaviour, handler.request_deserializer, handler.response_serializer)


def rewrap(handler: Any, around: Around) -> Any:
    """A handler whose behaviour runs within ``around(context)``, an asynchronous context manager.

    A behaviour is one of the three that grpc.aio has: a coroutine that returns the one answer, a coroutine that writes its
    answers with ``context.write`` and returns None, or an asynchronous generator. Raises TypeError for any other: grpc
    would run it in a thread, where its context is another one.
    """
    kind = shape(handler)
    behaviour = getattr(handler, kind)
    if inspect.isasyncgenfunction(behaviour) and kind.endswith("stream"):
        return handled(handler, kind, _generator(behaviour, around))
    if inspect.iscoroutinefunction(behaviour):
        return handled(handler, kind, _coroutine(behaviour, around))
    raise TypeError(f"{behaviour!r} is neither a coroutine nor an asynchronous generator that answers a {kind} call")


def _coroutine(behaviour: Behaviour, around: Around) -> Behaviour:
    async def call(request: Any, context: Any) -> Any:
        async with around(context):
            return await behaviour(request, context)

    return call


def _generator(behaviour: Behaviour, around: Around) -> Behaviour:
    async def call(request: Any, context: Any) -> AsyncIterator[Any]:
        async with around(context):
            async for message in behaviour(request, context):
                yield message

    return call


async def _end(context: Any, error: Exception, method: str, known: Known) -> NoReturn:
    if isinstance(error, grpc.aio.AbortError | grpc.aio.BaseError):
        raise error
    fault = known(error)
    if fault is None:
        number = uuid.uuid4().hex[:12]
        log.exception("internal error", method=method, number=number)
        fault = Internal(f"internal error {number}")
    elif fault is not error:
        log.error("a call failed", method=method, kind=type(error).__name__, reason=str(error))
    await abort(context, fault)
