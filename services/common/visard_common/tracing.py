"""Traces of a service: spans for the calls it serves, sent to an OpenTelemetry collector (OTLP over gRPC)."""

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import grpc
from visard_wire import tracing

from visard_common.rpc import rewrap

EXPORT_SECONDS = 2.0
_OURS = "/visard.v1."
_NEVER_ENDING = "/visard.v1.Peer/Exchange"
_state = {"on": False}


def configure(role: str, collector: str | None) -> None:
    """Send spans to a collector at host:port, if there is one; ends the process where the packages are missing."""
    if collector is None:
        return
    try:
        from opentelemetry import trace  # noqa: PLC0415 -- an optional extra
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError:
        sys.exit("configuration: traces: needs the extra visard[tracing]")
    provider = TracerProvider(resource=Resource.create({"service.name": f"visard-{role}"}))
    exporter = OTLPSpanExporter(endpoint=collector, insecure=True, timeout=EXPORT_SECONDS)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    _state["on"] = True


def client_interceptors() -> list[Any]:
    """For this service's channels."""
    return tracing.interceptors() if _state["on"] else []


def server_interceptors() -> list[Any]:
    """For this service's server; the first of all."""
    return [TraceInterceptor()] if _state["on"] else []


class TraceInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]
    """A span for each call of ours that ends some day."""

    async def intercept_service(self, continuation: Callable[..., Any], details: grpc.HandlerCallDetails) -> Any:
        """Wrap the handler of a call."""
        handler = await continuation(details)
        method = details.method
        if handler is None or not method.startswith(_OURS) or method == _NEVER_ENDING:
            return handler
        parent = tracing.parent_of(details.invocation_metadata)
        return rewrap(handler, partial(_traced, method.removeprefix("/"), parent))


@asynccontextmanager
async def _traced(method: str, parent: Any, context: Any) -> AsyncIterator[None]:
    with tracing.span(method, parent, server=True):
        try:
            yield
        finally:
            tracing.note("rpc.grpc.status", getattr(context.code(), "name", "OK"))
