"""What kubectl would apply is valid, locked down, and keeps the parties apart."""

import re
import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from visard_common.config import ServiceConfig, read
from visard_dealer.config import DealerConfig
from visard_gateway.config import GatewayConfig
from visard_party.config import ComputingConfig, PartyConfig
from visard_party.runs.runner import PARTING_SECONDS
from visard_party.worker.config import WorkerConfig

from tests.deploy.manifests import (
    K8S,
    OVERLAYS,
    WORKLOADS,
    Manifest,
    containers_of,
    labels_of,
    name_of,
    of_kind,
    pod_of,
    rendered,
    secrets_of,
    selects,
)

CONFIGS: dict[str, type[ServiceConfig]] = {
    "gateway": GatewayConfig,
    "dealer": DealerConfig,
    "party": PartyConfig,
    "worker": WorkerConfig,
}
# what a pod is told besides its file
GIVEN: dict[str, dict[str, Any]] = {"worker": {"ordinal": 1}}


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
        (s, labels_of(m)["app.kubernetes.io/name"], m["metadata"]["namespace"])
        for m in workloads(overlay)
        for s in secrets_of(m)
        if "party-tls" in s
    ]
    assert len(readers) == len(set(readers))
    assert {role for _, role, _ in readers} <= {"party", "worker"}
    assert len(readers) == {"try": 3, "scale": 6, "operator": 1}.get(overlay, 0)


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
        for container in pod_of(manifest)["containers"]:
            assert {"startupProbe", "livenessProbe", "readinessProbe"} <= container.keys(), name_of(manifest)


@pytest.mark.parametrize("overlay", OVERLAYS)
def tokens__should_be_for_the_keeper_of_certificates_alone(overlay: str) -> None:
    for manifest in workloads(overlay):
        pod = pod_of(manifest)
        assert pod["automountServiceAccountToken"] is (manifest["metadata"]["name"] == "certificates")
        account = next(
            a
            for a in of_kind(rendered(overlay), "ServiceAccount")
            if a["metadata"]["name"] == pod["serviceAccountName"]
        )
        assert account["automountServiceAccountToken"] is False
    for role in of_kind(rendered(overlay), "Role", "ClusterRole"):
        assert name_of(role) == "Role/certificates"


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
        role = manifest["metadata"]["name"].split("-")[0]
        config = read(CONFIGS[role], None, **values, **GIVEN.get(role, {}))
        assert pod_of(manifest)["terminationGracePeriodSeconds"] > config.drain_seconds + 10
        if isinstance(config, ComputingConfig):
            assert config.drain_seconds > config.run_timeout + PARTING_SECONDS
        if isinstance(config, GatewayConfig):
            assert config.drain_seconds > config.upload_timeout + config.run_timeout
        ports = {p["name"]: p["containerPort"] for p in pod_of(manifest)["containers"][0]["ports"]}
        for name, address in (
            ("grpc", config.listen),
            ("health", config.health_listen),
            ("metrics", config.metrics_listen),
        ):
            assert str(address) == f"0.0.0.0:{ports[name]}"
        if isinstance(config, ComputingConfig):
            assert labels_of(manifest)["visard.dev/party"] == str(config.index)
        assert config.reflection is False


@pytest.mark.parametrize("overlay", ["try"])
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
        given = [v for c in containers_of(manifest) for v in c.get("env", ()) if "valueFrom" in v]
        assert all(v["valueFrom"].keys() == {"fieldRef"} for v in given), name_of(manifest)
    for manifest in services(overlay):
        if manifest["kind"] == "StatefulSet":
            (container,) = pod_of(manifest)["containers"]
            directory = container["args"][container["args"].index("--secrets") + 1]
            (mount,) = [m["name"] for m in container["volumeMounts"] if m["mountPath"] == directory]
            (volume,) = [v["secret"] for v in pod_of(manifest)["volumes"] if v["name"] == mount]
            assert volume["items"] == [{"key": "uri", "path": "visard_store"}]
            role = manifest["metadata"]["name"].split("-")[0]
            values = config_of(manifest, overlay) | GIVEN.get(role, {})
            config = read(CONFIGS[role], None, **values, _secrets_dir=tmp_path)
            assert isinstance(config, ComputingConfig)
            assert config.store.startswith("mongodb://party:hush@")
            assert config.store.endswith("/visard")


def tree__should_hold_no_secret() -> None:
    assert all(not of_kind(rendered(overlay), "Secret") for overlay in OVERLAYS)
    for path in K8S.rglob("*"):
        if path.is_file():
            assert "PRIVATE KEY" not in path.read_text()
            assert not re.search(r"kind: Secret$", path.read_text(), re.MULTILINE)
