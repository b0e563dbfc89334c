"""Metrics: one registry a process, Prometheus over HTTP.

Labels are methods, statuses, stages, party numbers, names of operations and prefixes of plan digests: never a subject, a
request id, or anything else that belongs to a person. Each role has a module ``metrics`` of its own beside its code.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any

import grpc
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from visard_wire import tracing

from visard_common.address import host_and_port, listening
from visard_common.rpc import rewrap

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter says nothing new
REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)  # memory, CPU, open files

_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_READ_SECONDS = 2.0  # a loop that is busy for longer shows no gauges this time

REQUESTS = Counter("visard_requests", "Finished calls, by method and status.", ["method", "status"], registry=REGISTRY)
SECONDS = Histogram("visard_request_seconds", "How long calls took.", ["method"], registry=REGISTRY, buckets=_BUCKETS)
OPEN = Gauge("visard_requests_open", "Calls and streams in progress.", ["method"], registry=REGISTRY)
STAGES = Histogram("visard_stage_seconds", "How long each stage took.", ["stage"], registry=REGISTRY, buckets=_BUCKETS)

_OURS = "visard.v1."
# asked every second by whoever watches
_LOOKS = frozenset({"visard.v1.FaceMatching/GetStatus", "visard.v1.Party/GetStatus", "visard.v1.Party/GetKey"})

log = structlog.get_logger()


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Time and trace a stage that ends well; one that fails says nothing about speed."""
    started = time.monotonic()
    with tracing.span(name):
        yield
    STAGES.labels(name).observe(time.monotonic() - started)


class CountInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]
    """Counts and logs calls by method and status. It goes outside of whatever turns faults into statuses."""

    async def intercept_service(self, continuation: Callable[..., Any], details: grpc.HandlerCallDetails) -> Any:
        """Wrap the handler of a call; methods that do not exist have none, and make no series."""
        handler = await continuation(details)
        return handler and rewrap(handler, partial(_counted, details.method.removeprefix("/")))


@asynccontextmanager
async def _counted(method: str, context: Any) -> AsyncIterator[None]:
    started, status = time.monotonic(), "OK"
    OPEN.labels(method).inc()
    try:
        yield
    except (asyncio.CancelledError, GeneratorExit):
        status = "CANCELLED"
        raise
    except BaseException:
        status = getattr(context.code(), "name", "UNKNOWN")
        raise
    finally:
        seconds = time.monotonic() - started
        OPEN.labels(method).dec()
        REQUESTS.labels(method, status).inc()
        SECONDS.labels(method).observe(seconds)
        say = log.debug if method in _LOOKS or not method.startswith(_OURS) else log.info
        say("call", method=method, status=status, seconds=round(seconds, 3))


def gauge(name: str, text: str, values: Iterable[tuple[str, float]], label: str = "") -> Metric:
    """A gauge as a reader returns it: one value for each value of a label, or one without a label."""
    family = GaugeMetricFamily(name, text, labels=[label] if label else None)
    for key, value in values:
        family.add_metric([key] if label else [], value)
    return family


class _OnLoop(Collector):
    """Gauges that are read on the event loop when somebody asks: the thread that serves HTTP touches nothing of it."""

    def __init__(self, read: Callable[[], list[Metric]]) -> None:
        self._read = read
        self._loop = asyncio.get_running_loop()

    def describe(self) -> list[Metric]:
        """Nothing: the registry must not ask before the loop runs."""
        return []

    def collect(self) -> list[Metric]:
        """Read, wherever the caller is."""
        future = asyncio.run_coroutine_threadsafe(self._once(), self._loop)
        try:
            return future.result(_READ_SECONDS)
        except TimeoutError:
            future.cancel()
            log.warning("the event loop is busy: no gauges this time")
            return []

    async def _once(self) -> list[Metric]:
        return self._read()


@contextmanager
def reading(read: Callable[[], list[Metric]]) -> Iterator[None]:
    """Offer the gauges that ``read`` returns, for as long as the block lasts."""
    collector = _OnLoop(read)
    REGISTRY.register(collector)
    try:
        yield
    finally:
        REGISTRY.unregister(collector)


def _loop() -> list[Metric]:
    return [gauge("visard_tasks", "Tasks of the event loop.", [("", len(asyncio.all_tasks()))])]


@asynccontextmanager
async def exposed(address: str | None) -> AsyncIterator[None]:
    """Serve /metrics at host:port while the block lasts, if there is an address; raises CannotListen."""
    if address is None:
        yield
        return
    host, port = host_and_port(address)
    with listening(address):
        server, _ = start_http_server(port, host, REGISTRY)
    try:
        with reading(_loop):
            yield
    finally:
        await asyncio.to_thread(server.shutdown)
        server.server_close()
