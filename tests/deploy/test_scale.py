"""Workers in Kubernetes, of a trial and of an operator's own: each finds its like, and is called by a name of its certificate."""

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from cryptography import x509
from visard_party.config import PartyConfig
from visard_party.worker.config import WorkerConfig

from tests.deploy.certificates import Shelf, program
from tests.deploy.manifests import (
    K8S,
    WORKLOADS,
    Manifest,
    arrows,
    beyond,
    containers_of,
    labels_of,
    of_kind,
    pod_of,
    rendered,
    selects,
)
from tests.deploy.test_manifests import config_of

COUNT = 2


def sets(role: str) -> list[Manifest]:
    """The three parties' sets of a role, in order."""
    found = [m for m in of_kind(rendered("scale"), "StatefulSet") if labels_of(m)["app.kubernetes.io/name"] == role]
    return sorted(found, key=lambda manifest: labels_of(manifest)["visard.dev/party"])


def config_of_worker(manifest: Manifest, ordinal: int) -> WorkerConfig:
    return WorkerConfig(**config_of(manifest, "scale"), ordinal=ordinal)


def pods() -> list[list[str]]:
    """By party, the addresses that the cluster gives to its workers: the pod's name, in its set's headless Service."""
    services = {s["metadata"]["name"]: s["spec"] for s in of_kind(rendered("scale"), "Service")}
    found = []
    for manifest in sets("worker"):
        name, service = manifest["metadata"]["name"], services[manifest["spec"]["serviceName"]]
        assert selects({"matchLabels": service["selector"]}, labels_of(manifest))
        assert (service["clusterIP"], service["publishNotReadyAddresses"]) == ("None", True)
        (port,) = service["ports"]
        count = manifest["spec"]["replicas"]
        found.append([f"{name}-{k}.{manifest['spec']['serviceName']}:{port['port']}" for k in range(count)])
    return found


def workers__should_be_as_many_at_all_parties_and_known_to_their_own() -> None:
    for party, addresses in zip(sets("party"), pods(), strict=True):
        (container,) = pod_of(party)["containers"]
        environment = {entry["name"]: entry["value"] for entry in container["env"]}
        assert environment.keys() == {"VISARD_WORKERS"}
        told = PartyConfig(**config_of(party, "scale"), workers=json.loads(environment["VISARD_WORKERS"]))
        assert list(told.workers) == addresses
        assert len(addresses) == COUNT


def worker__should_find_those_of_its_ordinal() -> None:
    for manifest in sets("worker"):
        for ordinal in range(COUNT):
            config = config_of_worker(manifest, ordinal)
            assert list(config.addresses) == [addresses[ordinal] for addresses in pods()]
            assert str(config.index) == labels_of(manifest)["visard.dev/party"]


def ordinal__should_be_that_of_the_pod() -> None:
    for manifest in sets("worker"):
        (container,) = pod_of(manifest)["containers"]
        assert container["command"] == ["visard-worker"]
        (entry,) = container["env"]
        path = "metadata.labels['apps.kubernetes.io/pod-index']"
        assert entry == {"name": "VISARD_ORDINAL", "valueFrom": {"fieldRef": {"fieldPath": path}}}


def worker__should_have_its_partys_image_certificate_and_store() -> None:
    for party, worker in zip(sets("party"), sets("worker"), strict=True):
        assert {c["image"] for c in containers_of(party)} == {c["image"] for c in containers_of(worker)}
        secrets = [{v["name"]: v["secret"] for v in pod_of(m)["volumes"] if "secret" in v} for m in (party, worker)]
        assert secrets[0] == secrets[1]
        for key in ("securityContext", "terminationGracePeriodSeconds", "automountServiceAccountToken"):
            assert pod_of(party)[key] == pod_of(worker)[key]


@pytest.mark.parametrize("party", range(3))
def certificate__should_name_the_partys_workers(party: int, tmp_path: Path) -> None:
    shelf, keeper = Shelf(), program(tmp_path)
    assert keeper.look(shelf)
    certificate = x509.load_pem_x509_certificate(shelf.data[f"party-tls-{party}"]["tls.crt"])
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    known = names.get_values_for_type(x509.DNSName)
    assert {address.rpartition(":")[0] for address in pods()[party]} <= set(known)
    assert sum(name.endswith(f".worker-{party}") for name in known) == len(keeper.WORKERS), "room to grow"


@pytest.fixture(scope="module", params=range(3))
def operator(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[int, list[Manifest]]:
    """A party's number, and what its operator applies, with workers and with cert-manager, as the files say."""
    k8s = tmp_path_factory.mktemp("operator") / "k8s"
    shutil.copytree(K8S, k8s)
    own = k8s / "overlays" / "own"
    shutil.copytree(k8s / "overlays" / "operator", own)
    if number := request.param:
        texts = [path.read_text() for path in (own / "kustomization.yaml", own / "workers" / "kustomization.yaml")]
        for text in texts:
            (command,) = re.findall(r"# +the number.*? (sed .+)", text)
            wanted = command.replace("1", str(number)).replace(f"\\{number}-", "\\1-")
            subprocess.run(["sh", "-euc", wanted], cwd=own, check=True, timeout=60)
    path = own / "kustomization.yaml"
    path.write_text(re.sub("^# components: .*$", "components: [cert-manager, workers]", path.read_text(), flags=re.M))
    done = subprocess.run(["kubectl", "kustomize", own], capture_output=True, text=True, timeout=60, check=True)
    return number, [manifest for manifest in yaml.safe_load_all(done.stdout) if manifest]


def operators_workers__should_be_called_by_names_that_its_certificate_has(operator: tuple[int, list[Manifest]]) -> None:
    number, manifests = operator
    by_name = {(m["kind"], m["metadata"]["name"]): m for m in manifests}
    (namespace,) = {m["metadata"]["namespace"] for m in manifests if m["kind"] != "Namespace"}
    (container,) = pod_of(by_name["StatefulSet", f"party-{number}"])["containers"]
    told = json.loads(container["env"][0]["value"])
    name = f"worker-{number}"
    assert told == [f"{name}-{k}.{name}.{namespace}.svc:7320" for k in range(COUNT)]
    assert by_name["StatefulSet", name]["spec"]["replicas"] == COUNT
    (text,) = (m["data"]["worker.toml"] for m in of_kind(manifests, "ConfigMap") if "worker.toml" in m["data"])
    config = WorkerConfig(**tomllib.loads(text), ordinal=1)
    assert config.index == number
    assert list(config.addresses) == [f"worker-1.party{i}.example:7320" for i in range(3)]
    names = by_name["Certificate", f"party-tls-{number}"]["spec"]["dnsNames"]
    assert names == [f"party{number}.example", f"*.party{number}.example", f"*.{name}.{namespace}.svc"]
    for k in range(COUNT):
        spec = by_name["Service", f"{name}-{k}"]["spec"]
        assert spec["selector"] == {"statefulset.kubernetes.io/pod-name": f"{name}-{k}"}
        assert (spec["type"], spec["externalTrafficPolicy"]) == ("LoadBalancer", "Local")


def operators_workers__should_reach_networks_by_address_only(operator: tuple[int, list[Manifest]]) -> None:
    number, manifests = operator
    party, worker, database = (f"{kind}-{number}" for kind in ("party", "worker", "party-mongodb"))
    assert arrows(manifests) == {(party, worker, 7320), (party, database, 27017), (worker, database, 27017)}
    peers = ("198.51.100.0/28", "198.51.100.16/28", "203.0.113.0/28")
    assert {arrow for arrow in beyond(manifests) if arrow[0] == worker and "/" in arrow[2]} == {
        *((worker, direction, peer, 7320) for direction in ("ingress", "egress") for peer in peers),
        (worker, "egress", "192.0.2.16/28", 7301),
    }


def operators_workers__should_be_whole(operator: tuple[int, list[Manifest]]) -> None:
    _, manifests = operator
    for manifest in manifests:
        if "cert-manager" not in manifest["apiVersion"]:
            kubernetes_validate.validate(manifest, "1.32", strict=True)
    for manifest in of_kind(manifests, *WORKLOADS):
        assert all("registry.example" in c["image"] or "mongo" in c["image"] for c in containers_of(manifest))
        mounted = {v["name"] for c in containers_of(manifest) for v in c.get("volumeMounts", ())}
        assert mounted <= {v["name"] for v in pod_of(manifest)["volumes"]} | {"data"}
    for account in of_kind(manifests, "ServiceAccount"):
        assert account["imagePullSecrets"] == [{"name": "registry"}]
