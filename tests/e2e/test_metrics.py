"""Every service shows what an operator needs, the figures move with the work, and no label says who was asked about."""

import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client.parser import text_string_to_metric_families
from visard.client import Client, Connection
from visard.cluster import SERVICES, Cluster
from visard_wire.v1 import gateway_pb2, gateway_pb2_grpc

from tests.e2e import raw
from tests.waiting import at_rest, until

SUBJECT = "canary.metrics@example"
SAMPLES = {
    "gateway": ("visard_uploads_active", "visard_party_reachable", "visard_relayed_bytes_total"),
    "dealer": (
        "visard_kits_dealt_total",
        "visard_kits_waiting",
        "visard_kit_cache_bytes",
        "visard_delivered_bytes_total",
    ),
    "party": (
        "visard_runs_total",
        "visard_rounds_total",
        "visard_sent_bytes_total",
        "visard_kit_bytes_total",
        "visard_store_seconds_count",
        "visard_kits_available",
        "visard_kits_target",
        "visard_runs_active",
        "visard_queue_length",
        "visard_peer_connected",
        "visard_peer_models_differ",
        "visard_peer_set_differs",
        "visard_attempts_refused_total",
        "visard_shares_accepted_total",
        "visard_deviations_total",
        "visard_unvouched_certificates_total",
    ),
}
EVERYWHERE = (
    "visard_requests_total",
    "visard_request_seconds_count",
    "visard_requests_open",
    "visard_stage_seconds_count",
    "visard_tasks",
    "process_resident_memory_bytes",
)
Figures = dict[str, dict[str, float]]


def page(cluster: Cluster, name: str) -> str:
    with urllib.request.urlopen(f"http://{cluster.metrics_address(name)}/metrics", timeout=60) as answer:
        return str(answer.read().decode())


def figures(cluster: Cluster) -> Figures:
    """By service, then by sample name and labels."""

    def samples(name: str) -> Iterator[tuple[str, float]]:
        for family in text_string_to_metric_families(page(cluster, name)):
            for sample in family.samples:
                labels = ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items()))
                yield f"{sample.name}{{{labels}}}", sample.value

    return {name: dict(samples(name)) for name in SERVICES}


async def metrics__should_move_with_the_work_and_name_nobody(cluster: Cluster, photos: dict[str, Path]) -> None:
    asked: list[bytes] = []
    async with Client(Connection.from_home(cluster.home)) as client:
        await client.enrol(SUBJECT, [photos["obama"]])
        await at_rest(client)
        before = figures(cluster)
        real = client._caller.request
        client._caller.request = lambda *a, **k: asked.append((r := real(*a, **k)).request_id) or r  # type: ignore[method-assign, func-returns-value]
        await client.verify(SUBJECT, photos["obama2"])
        await client.delete(SUBJECT)
    after = figures(cluster)

    def moved(name: str, sample: str) -> float:
        return after[name].get(sample, 0) - before[name].get(sample, 0)

    def counted() -> bool:
        """A call is counted when it has ended, which its caller may know a little earlier."""
        nonlocal after
        after = figures(cluster)
        kinds = (
            f"visard_requests_total{{method=visard.v1.FaceMatching/{name},status=OK}}" for name in ("Verify", "Delete")
        )
        resting = all(after[f"party{party}"]["visard_runs_active{}"] == 0 for party in range(3))
        return resting and [moved("gateway", kind) for kind in kinds] == [1, 1]

    await until(counted)
    pages = {name: page(cluster, name) for name in SERVICES}
    assert moved("gateway", "visard_relayed_bytes_total{party=2}") > 3 * 150 * 150 * 4
    for party in ("party0", "party1", "party2"):
        assert moved(party, "visard_runs_total{operation=verify}") == 1
        assert moved(party, "visard_rounds_total{}") >= 119
        assert moved(party, "visard_sent_bytes_total{}") > 1e6
        assert moved(party, "visard_stage_seconds_count{stage=engine}") == 2
        assert moved(party, "visard_stage_seconds_sum{stage=engine}") > 0
        assert moved(party, "visard_store_seconds_count{call=references}") >= 2
        assert after[party]["process_resident_memory_bytes{}"] > 50e6
        assert [v for k, v in after[party].items() if k.startswith("visard_peer_connected")] == [1, 1]
    assert (
        moved("party0", "visard_stage_seconds_count{stage=queue}") >= 2
    )  # the search for expired references queues, too
    assert len(asked) == 2
    for name, text in pages.items():
        for sample in EVERYWHERE + SAMPLES[name.rstrip("012")]:
            assert re.search(rf"^{sample}[ {{]", text, re.MULTILINE), (name, sample)
        assert SUBJECT not in text
        assert "canary" not in text
        assert not [r for r in asked if r.hex() in text]
        assert not re.search(r"[0-9a-f]{13,}", "".join(re.findall(r"\{.*\}", text))), "only prefixes of digests"


async def refused_call__should_be_counted_by_its_status(cluster: Cluster) -> None:
    sample = "visard_requests_total{method=visard.v1.FaceMatching/Delete,status=INVALID_ARGUMENT}"
    before = figures(cluster)["gateway"].get(sample, 0)
    connection = Connection.from_home(cluster.home)
    pem = [path.read_bytes() for path in (connection.ca, connection.key, connection.cert)]
    async with grpc.aio.secure_channel(connection.gateway, grpc.ssl_channel_credentials(*pem)) as channel:
        with pytest.raises(grpc.aio.AioRpcError):
            await gateway_pb2_grpc.FaceMatchingStub(channel).Delete(gateway_pb2.DeleteRequest(), timeout=60)
        with pytest.raises(grpc.aio.AioRpcError):
            await raw.unary(channel, "/visard.v1.FaceMatching/Nonsense")
    await until(lambda: figures(cluster)["gateway"].get(sample) == before + 1)
    assert "Nonsense" not in page(cluster, "gateway")


@pytest.mark.parametrize("name", SERVICES)
async def health_port__should_answer_health_without_tls_and_nothing_else(cluster: Cluster, name: str) -> None:
    async with grpc.aio.insecure_channel(cluster.health_address(name)) as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=60)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        for method in ("/visard.v1.FaceMatching/GetStatus", "/visard.v1.Party/GetStatus", "/visard.v1.Dealer/Fetch"):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await raw.unary(channel, method)
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
