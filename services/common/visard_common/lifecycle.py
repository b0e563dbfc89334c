"""The life of a server process: start, health, reflection, drain."""

import asyncio
import math
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from typing import Any, Protocol

import grpc
import structlog
import uvloop
from grpc_health.v1 import health as health_service
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from visard_common.address import CannotListen, listening
from visard_common.arrival import Access, ArrivalInterceptor
from visard_common.background import Background, HopelessError, background
from visard_common.config import ServiceConfig
from visard_common.memory import give_back_large_arrays
from visard_common.metrics import CountInterceptor, exposed
from visard_common.probes import probed
from visard_common.rpc import FaultInterceptor, Known, nothing_known
from visard_common.secrecy import keep_memory_private
from visard_common.tls import SERVER_OPTIONS
from visard_common.tracing import server_interceptors
from visard_common.vouching import VouchingInterceptor

log = structlog.get_logger()
Options = Sequence[tuple[str, int]]
Interceptors = Sequence["grpc.aio.ServerInterceptor[Any, Any]"]


class Door(Protocol):
    """Another port of a service, for the same calls within the same interceptors."""

    async def open(self, interceptors: Interceptors, health: Any) -> None:
        """Begin to serve; raises CannotListen."""

    async def close(self, seconds: float) -> None:
        """Take nothing new; what is under way has so long."""


class Stopped(Exception):
    """The service was told to stop before it had begun to serve."""


class _Stop:
    """That the service was told to stop, and when."""

    def __init__(self) -> None:
        self.told = asyncio.Event()
        self.at = math.inf

    def tell(self) -> None:
        self.at = min(self.at, time.monotonic())
        self.told.set()


_stop: ContextVar[_Stop] = ContextVar("stop")


LIVE = "live"  # asked for by this name, health says that the event loop turns, whether the service is ready or not


class Health:
    """What the health service says: serving, if the service is ready and its background work goes well."""

    def __init__(self, background: Background) -> None:
        self.servicer = health_service.aio.HealthServicer()  # type: ignore[attr-defined]
        self._background = background
        self._ready = False
        background.on_change(self._show)

    async def set(self, ready: bool) -> None:
        """Say whether the service is ready; health is SERVING only while no background loop fails, too."""
        self._ready = ready
        await self._show()

    async def _show(self) -> None:
        serving = self._ready and self._background.well
        status = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        await self.servicer.set("", status)

    async def live(self) -> None:
        """Say so for ever under the name LIVE."""
        await self.servicer.set(LIVE, health_pb2.HealthCheckResponse.SERVING)


def interceptors(config: ServiceConfig, access: Access, known: Known = nothing_known) -> Interceptors:
    """What every call goes through, the outermost first."""
    arrival = ArrivalInterceptor(access, config.max_calls, config.max_calls_per_caller)
    faults, vouching = FaultInterceptor(known), VouchingInterceptor(config.tls)
    return [*server_interceptors(), CountInterceptor(), faults, vouching, arrival]


@asynccontextmanager
async def running(
    config: ServiceConfig,
    access: Access,
    add: Callable[[grpc.aio.Server], None],
    options: Options = (),
    work: Background | None = None,
    known: Known = nothing_known,
    door: Door | None = None,
) -> AsyncIterator[Health]:
    """A started server with health and, if configured, reflection; on leaving, calls in flight are drained.

    ``access`` says who may call what, and so which services reflection lists; ``options`` are further ones of gRPC; health
    follows the service's background ``work``; ``known`` says which status the service's own exceptions mean;
    ``door`` is a further port. Raises CannotListen.
    """
    if work is None:
        async with background() as nothing, running(config, access, add, options, nothing, known, door) as health:
            yield health
        return
    within = interceptors(config, access, known)
    server = grpc.aio.server(
        interceptors=within,
        options=[*SERVER_OPTIONS, *options],
        maximum_concurrent_rpcs=config.max_calls,
    )
    health = Health(work)
    await health.live()
    await health.set(False)
    add(server)
    health_pb2_grpc.add_HealthServicer_to_server(health.servicer, server)
    if config.reflection:
        services = {name.partition("/")[0] for name in access}
        names = [*sorted(services), health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, reflection.SERVICE_NAME]
        reflection.enable_server_reflection(names, server)
    with listening(config.listen):
        server.add_secure_port(config.listen, config.tls.server_credentials())
    async with probed(config.health_listen, health.servicer), exposed(config.metrics_listen):
        await server.start()
        log.info("listening", address=config.listen)
        try:
            if door is not None:
                await door.open(within, health.servicer)
            yield health
        finally:
            await health.set(False)
            closing = [] if door is None else [door.close(left(config.drain_seconds))]
            await asyncio.gather(server.stop(left(config.drain_seconds)), *closing)
    log.info("stopped")


async def until_stopped() -> None:
    """Wait for SIGTERM or SIGINT or, with VISARD_LIFELINE=stdin, for the end of whoever started us."""
    await _stop.get().told.wait()
    log.info("stopping")


async def pause(seconds: float) -> None:
    """Wait before something is tried again; raises Stopped when the service is told to stop."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await _stop.get().told.wait()
            raise Stopped


def left(seconds: float) -> float:
    """What is left of a time that began when the service was told to stop; all of it if it was not."""
    stop = _stop.get(None)
    return seconds if stop is None else max(0.0, min(seconds, stop.at + seconds - time.monotonic()))


def _watch_for_the_end() -> None:
    """From here on a signal ends the service in order, however far it has come with starting."""
    stop, loop = _Stop(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.tell)
    if os.environ.get("VISARD_LIFELINE") == "stdin":
        loop.add_reader(sys.stdin.fileno(), _ended, stop)
    _stop.set(stop)


def _ended(stop: _Stop) -> None:
    stop.tell()
    # the end of a pipe can be read for ever: without this the drain would compete with a busy loop
    asyncio.get_running_loop().remove_reader(sys.stdin.fileno())


def run(main: Callable[[], Awaitable[None]]) -> None:
    """Run a service to its end on uvloop, its memory kept private."""
    keep_memory_private()
    give_back_large_arrays()

    async def body() -> None:
        _watch_for_the_end()
        try:
            await main()
        except* (HopelessError, CannotListen) as errors:
            log.critical("the service cannot go on", reason="; ".join(map(str, errors.exceptions)))
            sys.exit(1)
        except* Stopped:
            log.info("stopped")

    uvloop.run(body())
