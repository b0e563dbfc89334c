"""OpenTelemetry traces (extra ``tracing``): which calls and stages one request leads to. Without the package nothing happens.

The interceptors are ours, because those of opentelemetry-instrumentation-grpc write the texts of errors into spans, and our
texts name subjects. A span says what was called, when, and with which status.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc

try:
    from opentelemetry import propagate, trace
except ImportError:
    AVAILABLE = False
else:
    AVAILABLE = True

NAME = "visard"


@contextmanager
def span(name: str, parent: Any = None, *, server: bool = False) -> Iterator[None]:
    """A span around a block, below the current one or below ``parent``; its failure is marked, not described."""
    if not AVAILABLE:
        yield
        return
    kind = trace.SpanKind.SERVER if server else trace.SpanKind.INTERNAL
    tracer = trace.get_tracer(NAME)
    with tracer.start_as_current_span(
        name, parent, kind=kind, record_exception=False, set_status_on_exception=False
    ) as current:
        try:
            yield
        except BaseException:
            current.set_status(trace.StatusCode.ERROR)
            raise


def note(key: str, value: str) -> None:
    """An attribute of the current span: names of statuses and operations only, nothing of a person."""
    if AVAILABLE:
        trace.get_current_span().set_attribute(key, value)


def parent_of(metadata: Any) -> Any:
    """The caller's span, from a call's metadata (W3C Trace Context)."""
    return propagate.extract({key: value for key, value in metadata or () if isinstance(value, str)})


def interceptors() -> list[Any]:
    """For a channel: every call says which span it belongs to."""
    return [_Unary(), _Upload(), _Download()] if AVAILABLE else []


def _with_span(details: grpc.aio.ClientCallDetails) -> grpc.aio.ClientCallDetails:
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    metadata = grpc.aio.Metadata(*tuple(details.metadata or ()), *carrier.items())
    return grpc.aio.ClientCallDetails(
        details.method, details.timeout, metadata, details.credentials, details.wait_for_ready
    )


class _Unary(grpc.aio.UnaryUnaryClientInterceptor):  # type: ignore[type-arg]
    async def intercept_unary_unary(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        return await continuation(_with_span(details), request)


class _Upload(grpc.aio.StreamUnaryClientInterceptor):  # type: ignore[type-arg]
    async def intercept_stream_unary(self, continuation: Callable[..., Any], details: Any, requests: Any) -> Any:
        return await continuation(_with_span(details), requests)


class _Download(grpc.aio.UnaryStreamClientInterceptor):  # type: ignore[type-arg]
    async def intercept_unary_stream(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        return await continuation(_with_span(details), request)
