"""Workers in Kubernetes: each finds its like, its party finds it, and its certificate has the name that both call it by."""

import json
from pathlib import Path

import pytest
from cryptography import x509
from visard_party.config import PartyConfig
from visard_party.worker.config import WorkerConfig

from tests.deploy.certificates import Shelf, program
from tests.deploy.manifests import Manifest, containers_of, labels_of, of_kind, pod_of, rendered, selects
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
