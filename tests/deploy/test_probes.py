"""The manifests' probes, asked of running services: without a certificate, and with the answers that Kubernetes acts on."""

import signal
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from visard.cluster import Cluster

from tests.deploy.manifests import labels_of, pod_of
from tests.deploy.test_manifests import config_of, services

KINDS = ("startupProbe", "livenessProbe", "readinessProbe")
NAMES = {"gateway": "gateway", "dealer": "dealer", "party": "party1"}
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


def probes() -> Iterator[Any]:
    """Of each role once: its name, the kind of probe, what it asks, and the port of its health in the configuration."""
    seen = set()
    for manifest in services("try"):
        role = labels_of(manifest)["app.kubernetes.io/name"]
        (container,) = pod_of(manifest)["containers"]
        for kind in KINDS if role not in seen else ():
            port = int(config_of(manifest, "try")["health_listen"].rpartition(":")[2])
            yield pytest.param(NAMES[role], container[kind]["grpc"], port, id=f"{role}-{kind}")
        seen.add(role)


def answer(cluster: Cluster, name: str, probe: dict[str, Any], seconds: float = 60) -> int:
    """What the kubelet would be told."""
    with grpc.insecure_channel(cluster.health_address(name)) as channel:
        request = health_pb2.HealthCheckRequest(service=probe.get("service", ""))
        return int(health_pb2_grpc.HealthStub(channel).Check(request, timeout=seconds).status)


@pytest.mark.parametrize(("name", "probe", "port"), list(probes()))
def probe__should_be_answered_without_a_certificate(
    cluster: Cluster, name: str, probe: dict[str, Any], port: int
) -> None:
    assert probe["port"] == port
    assert answer(cluster, name, probe) == SERVING


async def party_without_peers__should_live_and_not_be_ready(cluster: Cluster) -> None:
    cluster.kill("party2")
    try:
        while answer(cluster, "party1", {}) != NOT_SERVING:
            pass
        assert answer(cluster, "party1", {"service": "live"}) == SERVING
    finally:
        cluster.start(["party2"])
    while answer(cluster, "party1", {}) != SERVING:
        pass


def stuck_service__should_not_live(cluster: Cluster) -> None:
    cluster.processes["dealer"].send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(grpc.RpcError, match="DEADLINE_EXCEEDED"):
            answer(cluster, "dealer", {"service": "live"}, 0.5)
    finally:
        cluster.processes["dealer"].send_signal(signal.SIGCONT)
