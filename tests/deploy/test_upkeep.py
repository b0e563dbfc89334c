"""What is upgraded, drained, scaled, pruned and applied again is so that this ends well."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.deploy.manifests import (
    OVERLAYS,
    WORKLOADS,
    Manifest,
    containers_of,
    labels_of,
    name_of,
    of_kind,
    pod_of,
    rendered,
    selects,
)

PART_OF = "app.kubernetes.io/part-of"
NAME = "app.kubernetes.io/name"
# lists that an API server merges by these fields: two entries of one key are one, or an error
KEYS = {
    "containers": ("name",),
    "initContainers": ("name",),
    "env": ("name",),
    "volumeMounts": ("mountPath",),
    "volumes": ("name",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
    "imagePullSecrets": ("name",),
}
CPUS = 2000  # of the smallest node, in thousandths
OF_THE_SYSTEM = 850  # what minikube's own pods ask for, with the metrics server


@pytest.mark.parametrize("overlay", OVERLAYS)
def object__should_say_what_it_is_and_of_what(overlay: str) -> None:
    """So that ``kubectl apply --prune -l app.kubernetes.io/part-of=visard`` finds all of them."""
    for manifest in rendered(overlay):
        labels = manifest["metadata"].get("labels", {})
        assert labels.get(PART_OF) == "visard", name_of(manifest)
        assert labels.get(NAME), name_of(manifest)
    for manifest in of_kind(rendered(overlay), *WORKLOADS):
        assert labels_of(manifest)[PART_OF] == "visard", name_of(manifest)
        assert labels_of(manifest)[NAME] == manifest["metadata"]["labels"][NAME]
        assert PART_OF not in manifest["spec"]["selector"]["matchLabels"], "it can never be changed again"


def lists(found: Any, name: str = "") -> Iterator[tuple[str, list[Any]]]:
    """Every list in an object, with the field that it is in."""
    if isinstance(found, list):
        yield name, found
    for key, value in found.items() if isinstance(found, dict) else ((name, v) for v in found):
        if isinstance(value, (dict, list)):
            yield from lists(value, key)


def twice(manifest: Manifest) -> list[str]:
    """Lists of an object in which a key comes twice."""
    keys = dict(KEYS)
    if manifest["kind"] == "Service":
        keys["ports"] = ("port", "protocol")
    if manifest["kind"] in WORKLOADS:
        keys["ports"] = ("containerPort", "protocol")
    found = []
    for name, entries in lists(manifest):
        values = [tuple(entry.get(field) for field in keys[name]) for entry in entries if name in keys]
        found += [name] if len(values) != len(set(values)) else []
    return found


@pytest.mark.parametrize("overlay", OVERLAYS)
def lists_that_are_merged__should_have_each_key_once(overlay: str) -> None:
    assert [(name_of(m), twice(m)) for m in rendered(overlay) if twice(m)] == []
    names = [(m["kind"], m["metadata"].get("namespace"), m["metadata"]["name"]) for m in rendered(overlay)]
    assert len(names) == len(set(names))


def key_that_comes_twice__should_be_noticed() -> None:
    (broken, *_) = of_kind(rendered("try"), "StatefulSet")
    (container,) = pod_of(broken)["containers"]
    container["ports"].append(dict(container["ports"][0]))
    assert twice(broken) == ["ports"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def apply__should_meet_nothing_that_cannot_be_changed(overlay: str) -> None:
    """A Job is immutable: a new image would end every later apply and diff."""
    assert of_kind(rendered(overlay), "Job", "Pod", "ReplicaSet") == []


@pytest.mark.parametrize("overlay", OVERLAYS)
def party_and_database__should_be_replaced_by_hand_only(overlay: str) -> None:
    for manifest in of_kind(rendered(overlay), "StatefulSet"):
        assert manifest["spec"]["updateStrategy"] == {"type": "OnDelete"}, (
            "else an apply restarts three parties at once"
        )
        assert manifest["spec"]["podManagementPolicy"] == "Parallel", "else a broken pod outlives the revert"
        several = labels_of(manifest)[NAME] == "worker"
        assert manifest["spec"]["replicas"] == (2 if several else 1), "a kit, and a write, is one process' matter"


def budgets_of(manifest: Manifest, manifests: list[Manifest]) -> list[Manifest]:
    namespace, labels = manifest["metadata"]["namespace"], labels_of(manifest)
    return [
        budget
        for budget in of_kind(manifests, "PodDisruptionBudget")
        if budget["metadata"]["namespace"] == namespace and selects(budget["spec"]["selector"], labels)
    ]


@pytest.mark.parametrize("overlay", OVERLAYS)
def pod__should_have_one_budget_that_lets_a_drain_end(overlay: str) -> None:
    """Two budgets for one pod are an error whenever it is to be evicted; none is for who may go at any time."""
    manifests = rendered(overlay)
    for manifest in of_kind(manifests, *WORKLOADS):
        budgets = budgets_of(manifest, manifests)
        assert len(budgets) == (manifest["metadata"]["name"] != "certificates"), name_of(manifest)
        for spec in (budget["spec"] for budget in budgets):
            assert spec["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
            assert spec["maxUnavailable"] in (1, "100%")
            assert "minAvailable" not in spec


def one_party_of_three__should_be_away_at_a_time() -> None:
    manifests = rendered("try")
    parties = [m for m in of_kind(manifests, "StatefulSet") if labels_of(m)[NAME] == "party"]
    (budget,) = {budgets_of(m, manifests)[0]["metadata"]["name"] for m in parties}
    (found,) = [b for b in of_kind(manifests, "PodDisruptionBudget") if b["metadata"]["name"] == budget]
    assert len(parties) == 3
    assert found["spec"]["maxUnavailable"] == 1


@pytest.mark.parametrize("overlay", OVERLAYS)
def pods_of_one_kind__should_be_spread(overlay: str) -> None:
    workloads = of_kind(rendered(overlay), *WORKLOADS)
    for manifest in (m for m in workloads if m["metadata"]["name"] != "certificates"):
        (spread,) = pod_of(manifest)["topologySpreadConstraints"]
        assert spread["topologyKey"] == "kubernetes.io/hostname"
        alike = [m for m in workloads if selects(spread["labelSelector"], labels_of(m))]
        assert {labels_of(m)[NAME] for m in alike} == {labels_of(manifest)[NAME]}
        if "party" in name_of(manifest) and overlay == "try":
            assert len(alike) == 3, "the three parties keep away from each other"


def gateway__should_be_scaled_by_its_load_and_by_nothing_else() -> None:
    manifests = rendered("try")
    (scaler,) = of_kind(manifests, "HorizontalPodAutoscaler")
    target = scaler["spec"]["scaleTargetRef"]
    assert target == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "gateway"}
    (gateway,) = [m for m in of_kind(manifests, "Deployment") if m["metadata"]["name"] == "gateway"]
    assert "replicas" not in gateway["spec"], "each apply would take the autoscaler's number back"


def offered(overlay: str) -> dict[str, Manifest]:
    """The Services for Prometheus."""
    services = of_kind(rendered(overlay), "Service")
    return {
        s["metadata"]["name"]: s
        for s in services
        if s["metadata"]["labels"].get("app.kubernetes.io/component") == "metrics"
    }


@pytest.mark.parametrize(
    ("overlay", "count"),
    [("try", 5), ("scale", 8), ("operator", 1)],
)
def metrics__should_be_offered_by_services_of_their_own(overlay: str, count: int) -> None:
    found = offered(overlay)
    assert len(found) == count
    for service in found.values():
        spec = service["spec"]
        assert spec["clusterIP"] == "None", "nothing outside is offered them, and each pod is asked by itself"
        assert [port["name"] for port in spec["ports"]] == ["metrics"]
        behind = [
            m
            for m in of_kind(rendered(overlay), *WORKLOADS)
            if selects({"matchLabels": spec["selector"]}, labels_of(m))
        ]
        (container, *_) = pod_of(behind[0])["containers"]
        assert len(behind) == 1
        assert {"name": "metrics", "containerPort": spec["ports"][0]["port"]} in container["ports"]
    for service in of_kind(rendered(overlay), "Service"):
        if service["metadata"]["name"] not in found:
            assert "metrics" not in {port["name"] for port in service["spec"]["ports"]}


def thousandths(quantity: str | int) -> int:
    text = str(quantity)
    return int(text.removesuffix("m")) if text.endswith("m") else int(text) * 1000


def asked(manifest: Manifest) -> int:
    """The CPU that the scheduler keeps for a pod, in thousandths."""
    own = [thousandths(c["resources"]["requests"]["cpu"]) for c in pod_of(manifest)["containers"]]
    before = [thousandths(c["resources"]["requests"]["cpu"]) for c in pod_of(manifest).get("initContainers", ())]
    return max(sum(own), *before, 0)


def most_pods(manifest: Manifest, manifests: list[Manifest]) -> int:
    """How many pods of a workload there are at most at a time."""
    scalers = of_kind(manifests, "HorizontalPodAutoscaler")
    most = {scaler["spec"]["scaleTargetRef"]["name"]: scaler["spec"]["maxReplicas"] for scaler in scalers}
    surge = manifest["spec"].get("strategy", {}).get("rollingUpdate", {}).get("maxSurge", 0)
    return int(most.get(manifest["metadata"]["name"], manifest["spec"].get("replicas", 1)) + surge)


@pytest.mark.parametrize(("overlay", "cpus"), [("try", CPUS), ("scale", 2 * CPUS)])
def trial__should_fit_its_node_whatever_comes_first(overlay: str, cpus: int) -> None:
    """Also while gateway and dealer are upgraded, which begins one pod more of each."""
    manifests = rendered(overlay)
    total = sum(asked(m) * most_pods(m, manifests) for m in of_kind(manifests, *WORKLOADS))
    assert total <= cpus - OF_THE_SYSTEM
    assert all("cpu" not in c["resources"]["limits"] for m in of_kind(manifests, *WORKLOADS) for c in containers_of(m))
