"""What kubectl would apply is valid, locked down, and keeps the parties apart."""

import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from services.common.config import ServiceConfig, read
from services.dealer.config import DealerConfig
from services.gateway.config import GatewayConfig
from services.party.config import PartyConfig
from tests.deploy.manifests import (
    K8S,
    OVERLAYS,
    WORKLOADS,
    Manifest,
    arrows,
    containers_of,
    labels_of,
    name_of,
    of_kind,
    pod_of,
    rendered,
    secrets_of,
    selects,
)

CELL = {
    *((("gateway", f"party-{i}", 7310)) for i in range(3)),
    *((f"party-{i}", f"party-{j}", 7310) for i in range(3) for j in range(3)),
    *((f"party-{i}", "dealer", 7301) for i in range(3)),
    *((f"party-{i}", f"party-mongodb-{i}", 27017) for i in range(3)),
}
CONFIGS: dict[str, type[ServiceConfig]] = {"gateway": GatewayConfig, "dealer": DealerConfig, "party": PartyConfig}


def workloads(overlay: str) -> list[Manifest]:
    return of_kind(rendered(overlay), *WORKLOADS)


def services(overlay: str) -> list[Manifest]:
    return [
        m for m in workloads(overlay) if m["metadata"]["name"].split("-")[0] in CONFIGS and "mongodb" not in name_of(m)
    ]


@pytest.mark.parametrize("overlay", OVERLAYS)
def objects__should_fit_the_schemas_of_kubernetes(overlay: str) -> None:
    ours = [m for m in rendered(overlay) if m["apiVersion"] != "cert-manager.io/v1"]
    assert len(ours) > 8
    for manifest in ours:
        kubernetes_validate.validate(manifest, "1.32", strict=True)


def misspelt_field__should_not_fit() -> None:
    (broken, *_) = workloads("try")
    pod_of(broken)["terminationGraceSeconds"] = 90
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, "1.32", strict=True)


def mixed_secrets(manifests: list[Manifest]) -> list[str]:
    """Workloads that read what belongs to several parties, or to a party that is not theirs."""
    found = []
    for manifest in of_kind(manifests, *WORKLOADS):
        owners = {s[-1] for s in secrets_of(manifest) if s.startswith("party-")}
        if owners - {labels_of(manifest).get("visard.dev/party", "")}:
            found.append(name_of(manifest))
    return found


@pytest.mark.parametrize("overlay", OVERLAYS)
def pod__should_read_the_secrets_of_one_party_at_most(overlay: str) -> None:
    assert mixed_secrets(rendered(overlay)) == []
    readers = [
        (s, name_of(m), m["metadata"]["namespace"]) for m in workloads(overlay) for s in secrets_of(m) if "sealing" in s
    ]
    assert len(readers) == len({(s, namespace) for s, _, namespace in readers}) > 0


def pod_with_another_partys_secret__should_be_noticed() -> None:
    manifests = rendered("try")
    (gateway,) = [m for m in manifests if name_of(m) == "Deployment/gateway"]
    pod_of(gateway)["volumes"].append({"name": "x", "secret": {"secretName": "party-sealing-1"}})
    assert mixed_secrets(manifests) == ["Deployment/gateway"]


def policies__should_allow_the_arrows_of_the_architecture_and_no_others() -> None:
    assert arrows(rendered("try")) == CELL


@pytest.mark.parametrize("cell", ["visard-cell-a", "visard-cell-b"])
def policies_of_a_cell__should_allow_the_same(cell: str) -> None:
    assert arrows([m for m in rendered("scale") if m["metadata"].get("namespace") == cell]) == CELL


def operators_party__should_reach_its_database_and_networks_by_address_only() -> None:
    manifests = rendered("operator")
    assert arrows(manifests) == {("party-0", "party-mongodb-0", 27017)}
    (party,) = [m for m in of_kind(manifests, "NetworkPolicy") if m["metadata"]["name"] == "party-0"]
    sources = [peer for rule in party["spec"]["ingress"] for peer in rule["from"]]
    assert sum("ipBlock" in peer for peer in sources) == 3
    assert not any(peer.get("ipBlock", {}).get("cidr") == "0.0.0.0/0" for peer in sources)


def wider_rules__should_be_noticed() -> None:
    manifests = rendered("try")
    policies = {m["metadata"]["name"]: m["spec"] for m in of_kind(manifests, "NetworkPolicy")}
    del policies["party-mongodb-0"]["ingress"][0]["from"]
    assert arrows(manifests) == CELL, "nobody else may send: it takes both sides"
    (to,) = policies["party-1"]["egress"][2]["to"]
    del to["podSelector"]["matchLabels"]["visard.dev/party"]
    assert arrows(manifests) == CELL | {("party-1", "party-mongodb-0", 27017)}


def missing_policies__should_be_noticed() -> None:
    manifests = rendered("try")
    kept = [
        m for m in manifests if m["kind"] != "NetworkPolicy" or m["metadata"]["name"] not in ("dealer", "default-deny")
    ]
    assert ("dealer", "gateway", 7300) in arrows(kept) - CELL


@pytest.mark.parametrize("overlay", OVERLAYS)
def pods__should_pass_restricted_pod_security(overlay: str) -> None:
    for manifest in workloads(overlay):
        pod = pod_of(manifest)
        assert pod["securityContext"]["runAsNonRoot"] is True, name_of(manifest)
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name_of(manifest)
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        assert all(set(v) & {"configMap", "secret", "emptyDir"} for v in pod["volumes"]), name_of(manifest)
        for container in containers_of(manifest):
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["readOnlyRootFilesystem"] is True
            assert context["capabilities"] == {"drop": ["ALL"]}
    for namespace in of_kind(rendered(overlay), "Namespace"):
        assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


@pytest.mark.parametrize("overlay", OVERLAYS)
def containers__should_be_bounded_probed_and_pinned(overlay: str) -> None:
    for manifest in workloads(overlay):
        for container in containers_of(manifest):
            assert {"requests", "limits"} <= container["resources"].keys(), name_of(manifest)
            assert "memory" in container["resources"]["limits"]
            assert "@sha256:" in container["image"], container["image"]
        if manifest["kind"] != "Job":
            for container in pod_of(manifest)["containers"]:
                assert {"startupProbe", "livenessProbe", "readinessProbe"} <= container.keys(), name_of(manifest)


@pytest.mark.parametrize("overlay", OVERLAYS)
def tokens__should_be_for_the_certificates_job_alone(overlay: str) -> None:
    for manifest in workloads(overlay):
        pod = pod_of(manifest)
        assert pod["automountServiceAccountToken"] is (manifest["kind"] == "Job")
        account = next(
            a
            for a in of_kind(rendered(overlay), "ServiceAccount")
            if a["metadata"]["name"] == pod["serviceAccountName"]
        )
        assert account["automountServiceAccountToken"] is False
    for role in of_kind(rendered(overlay), "Role", "ClusterRole"):
        assert role["kind"] == "Role"
        assert role["rules"] == [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]}]


def config_of(manifest: Manifest, overlay: str) -> dict[str, Any]:
    """The TOML that a service's container is given."""
    (volume,) = [v for v in pod_of(manifest)["volumes"] if v["name"] == "config"]
    maps = [
        m
        for m in of_kind(rendered(overlay), "ConfigMap")
        if (m["metadata"]["name"], m["metadata"]["namespace"])
        == (volume["configMap"]["name"], manifest["metadata"]["namespace"])
    ]
    (text,) = maps[0]["data"].values()
    return tomllib.loads(text)


@pytest.mark.parametrize("overlay", OVERLAYS)
def configurations__should_be_taken_by_the_services(
    overlay: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VISARD_STORE", "mongodb://party:secret@party-mongodb-0:27017/visard")
    found = services(overlay)
    assert found
    for manifest in found:
        values = config_of(manifest, overlay)
        if "party" not in name_of(manifest):
            monkeypatch.delenv("VISARD_STORE", raising=False)
        config = read(CONFIGS[manifest["metadata"]["name"].split("-")[0]], None, **values)
        assert pod_of(manifest)["terminationGracePeriodSeconds"] > config.drain_seconds + 10
        ports = {p["name"]: p["containerPort"] for p in pod_of(manifest)["containers"][0]["ports"]}
        for name, address in (
            ("grpc", config.listen),
            ("health", config.health_listen),
            ("metrics", config.metrics_listen),
        ):
            assert str(address) == f"0.0.0.0:{ports[name]}"
        if isinstance(config, PartyConfig):
            assert labels_of(manifest)["visard.dev/party"] == str(config.index)
        assert config.reflection is False
        monkeypatch.setenv("VISARD_STORE", "mongodb://party:secret@party-mongodb-0:27017/visard")


@pytest.mark.parametrize("overlay", ["try", "scale"])
def services_in_configurations__should_exist_with_their_port(overlay: str) -> None:
    for manifest in services(overlay):
        namespace = manifest["metadata"]["namespace"]
        offered = {
            f"{s['metadata']['name']}:{s['spec']['ports'][0]['port']}": s
            for s in of_kind(rendered(overlay), "Service")
            if s["metadata"]["namespace"] == namespace
        }
        config = config_of(manifest, overlay)
        for address in [*config.get("parties", ()), *config.get("peers", ()), *filter(None, [config.get("dealer")])]:
            selector = {"matchLabels": offered[address]["spec"]["selector"]}
            behind = [
                m
                for m in services(overlay)
                if m["metadata"]["namespace"] == namespace and selects(selector, labels_of(m))
            ]
            assert [m["metadata"]["name"] for m in behind] == [address.split(":")[0]]


def tree__should_hold_no_secret() -> None:
    assert all(not of_kind(rendered(overlay), "Secret") for overlay in OVERLAYS)
    for path in K8S.rglob("*"):
        if path.is_file():
            assert "PRIVATE KEY" not in path.read_text()
            assert "kind: Secret" not in path.read_text()
