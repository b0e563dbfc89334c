"""What kubectl would apply is valid, locked down, and keeps the parties apart."""

import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from visard_common.config import ServiceConfig, read
from visard_dealer.config import DealerConfig
from visard_gateway.config import GatewayConfig
from visard_party.config import PartyConfig
from visard_party.runs.runner import _PARTING_SECONDS

from tests.deploy.manifests import (
    K8S,
    OVERLAYS,
    WORKLOADS,
    Manifest,
    arrows,
    beyond,
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
        (s, name_of(m), m["metadata"]["namespace"])
        for m in workloads(overlay)
        for s in secrets_of(m)
        if "party-tls" in s
    ]
    assert len(readers) == len({(s, namespace) for s, _, namespace in readers}) > 0


def pod_with_another_partys_secret__should_be_noticed() -> None:
    manifests = rendered("try")
    (gateway,) = [m for m in manifests if name_of(m) == "Deployment/gateway"]
    pod_of(gateway)["volumes"].append({"name": "x", "secret": {"secretName": "party-tls-1"}})
    assert mixed_secrets(manifests) == ["Deployment/gateway"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def root_of_a_database__should_be_known_to_its_pod_alone(overlay: str) -> None:
    for manifest in workloads(overlay):
        roots = {secret for secret in secrets_of(manifest) if "mongodb-root" in secret}
        number = labels_of(manifest).get("visard.dev/party")
        assert roots == ({f"party-mongodb-root-{number}"} if "mongodb" in name_of(manifest) else set())


@pytest.mark.parametrize("overlay", OVERLAYS)
def container_that_rotates__should_know_no_other_password(overlay: str) -> None:
    for manifest in (m for m in workloads(overlay) if "mongodb" in name_of(m)):
        (container,) = (c for c in pod_of(manifest)["containers"] if c["name"] == "certificate")
        mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        assert mounts.keys() == {"/pki", "/rotation-password", "/rotation", "/tmp"}
        (script,) = (v["configMap"]["name"] for v in pod_of(manifest)["volumes"] if v["name"] == mounts["/rotation"])
        given = [m["data"] for m in of_kind(rendered(overlay), "ConfigMap") if m["metadata"]["name"] == script]
        assert {frozenset(data) for data in given} == {frozenset({"rotate.sh", "rotate.js"})}


@pytest.mark.parametrize("overlay", OVERLAYS)
def database__should_make_its_users_when_it_is_empty(overlay: str) -> None:
    for manifest in (m for m in workloads(overlay) if "mongodb" in name_of(m)):
        (container,) = (c for c in pod_of(manifest)["containers"] if c["name"] == "mongodb")
        mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        volumes = {volume["name"]: volume for volume in pod_of(manifest)["volumes"]}
        keys = {item["key"] for item in volumes[mounts["/password"]]["secret"]["items"]}
        assert keys == {"username", "password"}
        name = volumes[mounts["/docker-entrypoint-initdb.d"]]["configMap"]["name"]
        given = [m["data"] for m in of_kind(rendered(overlay), "ConfigMap") if m["metadata"]["name"] == name]
        assert {frozenset(data) for data in given} == {frozenset({"user.js", "user.json", "rotation.js"})}
        number = labels_of(manifest)["visard.dev/party"]
        rotation = volumes[mounts["/rotation-password"]]["secret"]["secretName"]
        assert rotation == f"party-mongodb-rotation-{number}"
        roots = {v["value"] for v in container["env"]}
        assert roots == {"/root-password/username", "/root-password/password"}
        assert "/root-password" in mounts


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


DNS = "k8s-app=kube-dns metadata.name=kube-system"
PROMETHEUS = "metrics=true"
OUTSIDE = {
    ("gateway", "ingress", "anybody", 7300),
    *((name, "ingress", PROMETHEUS, 7391) for name in ("gateway", "dealer", "party-0", "party-1", "party-2")),
    *((name, "egress", DNS, 53) for name in ("gateway", "party-0", "party-1", "party-2")),
}


def policies__should_open_a_cell_to_callers_prometheus_and_names_only() -> None:
    job = {("certificates", "egress", "anybody", port) for port in (443, 6443)} | {("certificates", "egress", DNS, 53)}
    assert beyond(rendered("try")) == OUTSIDE | job
    for cell in ("visard-cell-a", "visard-cell-b"):
        assert beyond([m for m in rendered("scale") if m["metadata"].get("namespace") == cell]) == OUTSIDE


def operators_party__should_be_open_to_these_networks_only() -> None:
    peers = ("198.51.100.0/28", "203.0.113.0/28")
    assert beyond(rendered("operator")) == {
        *(("party-0", direction, peer, 7310) for direction in ("ingress", "egress") for peer in peers),
        ("party-0", "ingress", "192.0.2.0/28", 7310),
        ("party-0", "egress", "192.0.2.16/28", 7301),
        ("party-0", "ingress", PROMETHEUS, 7391),
        ("party-0", "egress", DNS, 53),
    }


def rule_that_opens_more__should_be_noticed() -> None:
    manifests = rendered("try")
    policies = {m["metadata"]["name"]: m["spec"] for m in of_kind(manifests, "NetworkPolicy")}
    policies["dealer"]["egress"] = [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}], "ports": [{"port": 443}]}]
    assert ("dealer", "egress", "0.0.0.0/0", 443) in beyond(manifests) - OUTSIDE


@pytest.mark.parametrize("overlay", OVERLAYS)
def every_pod__should_have_a_budget_and_be_spread(overlay: str) -> None:
    for manifest in of_kind(rendered(overlay), "Deployment", "StatefulSet"):
        namespace, labels = manifest["metadata"]["namespace"], labels_of(manifest)
        budgets = [
            b
            for b in of_kind(rendered(overlay), "PodDisruptionBudget")
            if b["metadata"]["namespace"] == namespace and selects(b["spec"]["selector"], labels)
        ]
        assert len(budgets) == 1, name_of(manifest)
        (spread,) = pod_of(manifest)["topologySpreadConstraints"]
        assert spread["topologyKey"] == "kubernetes.io/hostname"
        alike = [m for m in workloads(overlay) if selects(spread["labelSelector"], labels_of(m))]
        assert {labels_of(m)["app.kubernetes.io/name"] for m in alike} == {labels["app.kubernetes.io/name"]}
        if "party" in name_of(manifest) and overlay == "try":
            assert len(alike) == 3, "the three parties keep away from each other"


def gateway__should_scale_with_its_load_and_nothing_else_should() -> None:
    (scaler,) = of_kind(rendered("try"), "HorizontalPodAutoscaler")
    assert scaler["spec"]["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "gateway"}
    assert len(of_kind(rendered("scale"), "HorizontalPodAutoscaler")) == 2
    for manifest in of_kind(rendered("scale"), "StatefulSet"):
        assert manifest["spec"]["replicas"] == 1, "a kit, and a write, is one process' matter"


def operators_certificates__should_name_role_and_addresses() -> None:
    manifests = rendered("operator")
    certificates = {c["spec"]["secretName"]: c["spec"] for c in of_kind(manifests, "Certificate")}
    wanted = {s for m in of_kind(manifests, "StatefulSet") for s in secrets_of(m) if "-tls-" in s}
    assert certificates.keys() == wanted
    (party,) = services("operator")
    config = config_of(party, "operator")
    host = config["peers"][config["index"]].rpartition(":")[0]
    assert certificates["party-tls-0"]["uris"] == [f"visard://party/{config['index']}"]
    assert certificates["party-tls-0"]["dnsNames"] == [host]
    assert certificates["party-mongodb-tls-0"]["dnsNames"] == ["party-mongodb-0"]
    assert all(c["privateKey"]["algorithm"] == "ECDSA" for c in certificates.values())


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
    overlay: str,
) -> None:
    found = services(overlay)
    assert found
    for manifest in found:
        values = config_of(manifest, overlay)
        config = read(CONFIGS[manifest["metadata"]["name"].split("-")[0]], None, **values)
        assert pod_of(manifest)["terminationGracePeriodSeconds"] > config.drain_seconds + 10
        if isinstance(config, PartyConfig):
            assert config.drain_seconds > config.run_timeout + _PARTING_SECONDS
        if isinstance(config, GatewayConfig):
            assert config.drain_seconds > config.upload_timeout + config.run_timeout
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


@pytest.mark.parametrize("overlay", OVERLAYS)
def secrets__should_come_in_files_that_the_services_read(overlay: str, tmp_path: Path) -> None:
    (tmp_path / "visard_store").write_text("mongodb://party:hush@party-mongodb-0:27017/visard\n")
    for manifest in workloads(overlay):
        assert not any("valueFrom" in v for c in containers_of(manifest) for v in c.get("env", ())), name_of(manifest)
    for manifest in services(overlay):
        if manifest["kind"] == "StatefulSet":
            (container,) = pod_of(manifest)["containers"]
            directory = container["args"][container["args"].index("--secrets") + 1]
            (mount,) = [m["name"] for m in container["volumeMounts"] if m["mountPath"] == directory]
            (volume,) = [v["secret"] for v in pod_of(manifest)["volumes"] if v["name"] == mount]
            assert volume["items"] == [{"key": "uri", "path": "visard_store"}]
            config = read(PartyConfig, None, **config_of(manifest, overlay), _secrets_dir=tmp_path)
            assert config.store.startswith("mongodb://party:hush@")
            assert config.store.endswith("/visard")


def tree__should_hold_no_secret() -> None:
    assert all(not of_kind(rendered(overlay), "Secret") for overlay in OVERLAYS)
    for path in K8S.rglob("*"):
        if path.is_file():
            assert "PRIVATE KEY" not in path.read_text()
            assert "kind: Secret" not in path.read_text()
