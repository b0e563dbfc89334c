"""One verification is one trace through gateway and parties, a kit's another through party and dealer; no span names a person."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.sdk.trace import TracerProvider
from visard.client import Client, Connection
from visard.cluster import Cluster, free_port_base
from visard.errors import NotFound

from tests.conftest import publish_face
from tests.waiting import PATIENCE


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """A genuine OTLP receiver that keeps what it gets."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Any]] = []

    async def Export(self, request: Any, context: Any) -> Any:
        for resource in request.resource_spans:
            (service,) = (a.value.string_value for a in resource.resource.attributes if a.key == "service.name")
            self.spans += [(service, span) for scope in resource.scope_spans for span in scope.spans]
        return trace_service_pb2.ExportTraceServiceResponse()

    def of(self, trace_id: int) -> set[tuple[str, str]]:
        """Who did what in one trace."""
        return {(service, span.name) for service, span in self.spans if span.trace_id == trace_id.to_bytes(16, "big")}


@pytest.fixture
async def collector(traced: Cluster) -> AsyncIterator[Collector]:
    server, collector = grpc.aio.server(), Collector()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call]
    server.add_insecure_port(traced.traces)
    await server.start()
    yield collector
    await server.stop(0)


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    base = free_port_base()
    cluster = Cluster(tmp_path_factory.mktemp("traced"), base, traces=f"127.0.0.1:{base + 9}")
    cluster.prepare()
    try:
        cluster.start()
        publish_face(cluster.home)
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(scope="module", autouse=True)
def client_traces() -> None:
    """The application's own choice: a client's spans are recorded, whoever exports them."""
    trace.set_tracer_provider(TracerProvider())


async def verification__should_be_one_trace(traced: Cluster, collector: Collector, photos: dict[str, Path]) -> None:
    async with Client(Connection.from_home(traced.home)) as client:
        await client.enrol("ada-lovelace", [photos["obama"]])
        with trace.get_tracer("test").start_as_current_span("test") as root:
            assert (await client.verify("ada-lovelace", photos["obama2"])).match
            with pytest.raises(NotFound):
                await client.verify("grace-hopper", photos["obama2"])
        wanted = {("visard-gateway", "visard.v1.FaceMatching/Verify"), ("visard-gateway", "deposit")}
        for party in range(3):
            wanted |= {(f"visard-party{party}", name) for name in ("visard.v1.Party/Run", "agreement", "engine")}
        async with asyncio.timeout(PATIENCE):  # spans are sent every five seconds
            while not wanted <= collector.of(root.get_span_context().trace_id):
                await asyncio.sleep(0.2)
    told = " ".join(str(span) for _, span in collector.spans)
    assert "NOT_FOUND" in told
    assert not any(name in told for name in ("ada-lovelace", "grace-hopper"))


async def kit__should_be_a_trace_from_party_to_dealer(
    traced: Cluster, collector: Collector, photos: dict[str, Path]
) -> None:
    async with Client(Connection.from_home(traced.home)) as client:
        await client.compare(photos["obama"], photos["obama2"])
    async with asyncio.timeout(PATIENCE):
        while True:
            traces = {span.trace_id for service, span in collector.spans if service == "visard-dealer"}
            if any(
                s.startswith("visard-party") and n == "kit"
                for t in traces
                for s, n in collector.of(int.from_bytes(t, "big"))
            ):
                return
            await asyncio.sleep(0.2)
