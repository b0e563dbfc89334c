"""The life of a server process: start, health, reflection, drain."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import grpc
import structlog
import uvloop
from grpc_health.v1 import health as health_service
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from services.common.config import ServiceConfig
from services.common.metrics import CountInterceptor, exposed
from services.common.probes import probed
from services.common.rpc import FaultInterceptor
from services.common.tls import SERVER_OPTIONS
from services.common.tracing import server_interceptors

log = structlog.get_logger()
_stop: ContextVar[asyncio.Event] = ContextVar("stop")


class Health:
    """What the health service says: serving or not."""

    def __init__(self) -> None:
        self.servicer = health_service.aio.HealthServicer()  # type: ignore[attr-defined]
        self.serving = False

    async def set(self, serving: bool) -> None:
        """Say so for the whole server."""
        self.serving = serving
        status = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        await self.servicer.set("", status)


@asynccontextmanager
async def running(
    config: ServiceConfig, services: dict[str, Any], add: Callable[[grpc.aio.Server], None]
) -> AsyncIterator[Health]:
    """A started server with health and, if configured, reflection; on leaving, calls in flight are drained.

    ``services`` are the full names that reflection lists.
    """
    server = grpc.aio.server(
        interceptors=[*server_interceptors(), CountInterceptor(), FaultInterceptor()], options=SERVER_OPTIONS
    )
    health = Health()
    await health.set(False)
    add(server)
    health_pb2_grpc.add_HealthServicer_to_server(health.servicer, server)
    if config.reflection:
        names = [*services, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, reflection.SERVICE_NAME]
        reflection.enable_server_reflection(names, server)
    if not server.add_secure_port(config.listen, config.tls.server_credentials()):
        raise OSError(f"cannot listen on {config.listen}")
    async with probed(config.health_listen, health.servicer), exposed(config.metrics_listen):
        await server.start()
        log.info("listening", address=config.listen)
        try:
            yield health
        finally:
            await health.set(False)
            await server.stop(config.drain_seconds)
    log.info("stopped")


async def until_stopped() -> None:
    """Wait for SIGTERM or SIGINT or, with VISARD_LIFELINE=stdin, for the end of whoever started us."""
    await _stop.get().wait()
    log.info("stopping")


def _watch_for_the_end() -> None:
    """From here on a signal ends the service in order, however far it has come with starting."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if os.environ.get("VISARD_LIFELINE") == "stdin":
        loop.add_reader(sys.stdin.fileno(), _ended, stop)
    _stop.set(stop)


def _ended(stop: asyncio.Event) -> None:
    stop.set()
    # the end of a pipe can be read for ever: without this the drain would compete with a busy loop
    asyncio.get_running_loop().remove_reader(sys.stdin.fileno())


def run(main: Callable[[], Awaitable[None]]) -> None:
    """Run a service to its end on uvloop."""

    async def body() -> None:
        _watch_for_the_end()
        await main()

    uvloop.run(body())
