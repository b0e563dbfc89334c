"""The manifests as kubectl renders them, and what can be read off them."""

import copy
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

K8S = Path(__file__).parents[2] / "deploy" / "k8s"
OVERLAYS = ("try", "scale", "operator", "gateway", "dealer")
Manifest = dict[str, Any]
WORKLOADS = ("Deployment", "StatefulSet")


@cache
def _parsed(overlay: str) -> list[Manifest]:
    command = ["kubectl", "kustomize", str(K8S / "overlays" / overlay)]
    text = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    return [manifest for manifest in yaml.load_all(text, yaml.CSafeLoader) if manifest]


def rendered(overlay: str) -> list[Manifest]:
    """All objects of an overlay, fresh copies."""
    return copy.deepcopy(_parsed(overlay))


def of_kind(manifests: list[Manifest], *kinds: str) -> list[Manifest]:
    """The objects of these kinds."""
    return [manifest for manifest in manifests if manifest["kind"] in kinds]


def name_of(manifest: Manifest) -> str:
    """Kind and name, for messages."""
    return f"{manifest['kind']}/{manifest['metadata']['name']}"


def pod_of(manifest: Manifest) -> Manifest:
    """The pod's specification of a workload."""
    return manifest["spec"]["template"]["spec"]  # type: ignore[no-any-return]


def labels_of(manifest: Manifest) -> dict[str, str]:
    """The labels of a workload's pods."""
    return manifest["spec"]["template"]["metadata"]["labels"]  # type: ignore[no-any-return]


def containers_of(manifest: Manifest) -> list[Manifest]:
    """All containers of a workload's pods."""
    pod = pod_of(manifest)
    return [*pod.get("initContainers", ()), *pod["containers"]]


def secrets_of(manifest: Manifest) -> set[str]:
    """The Secrets that a workload's pods can read."""
    found = {volume["secret"]["secretName"] for volume in pod_of(manifest)["volumes"] if "secret" in volume}
    for container in containers_of(manifest):
        given = [v["valueFrom"] for v in container.get("env", ()) if "valueFrom" in v]
        found |= {value["secretKeyRef"]["name"] for value in given if "secretKeyRef" in value}
    return found


def selects(selector: Manifest | None, labels: dict[str, str]) -> bool:
    """Whether a label selector matches."""
    selector = selector or {}
    exact = all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())
    return exact and all(_holds(rule, labels) for rule in selector.get("matchExpressions", ()))


def _holds(rule: Manifest, labels: dict[str, str]) -> bool:
    assert rule["operator"] == "In", "the only operator that is used here"
    return labels.get(rule["key"]) in rule["values"]


def arrows(manifests: list[Manifest]) -> set[tuple[str, str, int]]:
    """Who can reach whom at which port: what both sides' policies allow, pods of one namespace only."""
    pods = [(m["metadata"]["name"], labels_of(m)) for m in of_kind(manifests, *WORKLOADS)]
    policies = of_kind(manifests, "NetworkPolicy")
    return {
        (source, target, port)
        for source, source_labels in pods
        for target, target_labels in pods
        for port in _allowed(policies, "Egress", source_labels, target_labels)
        & _allowed(policies, "Ingress", target_labels, source_labels)
    }


def beyond(manifests: list[Manifest]) -> set[tuple[str, str, str, int]]:
    """What policies allow with others than pods of one namespace: pod, direction, who, port."""
    found = set()
    for name, labels in ((m["metadata"]["name"], labels_of(m)) for m in of_kind(manifests, *WORKLOADS)):
        for spec in (
            p["spec"] for p in of_kind(manifests, "NetworkPolicy") if selects(p["spec"]["podSelector"], labels)
        ):
            for direction in ("ingress", "egress"):
                for rule in spec.get(direction, ()):
                    for who in filter(
                        None, map(_stranger, rule.get("to" if direction == "egress" else "from", [None]))
                    ):
                        found |= {(name, direction, who, port) for port in _ports(rule)}
    return found


def _stranger(peer: Manifest | None) -> str:
    """A peer of a rule that is no pod of the same namespace, in words; empty for one that is."""
    if peer is None:
        return "anybody"
    if "ipBlock" in peer:
        return str(peer["ipBlock"]["cidr"])
    if "namespaceSelector" not in peer:
        return ""
    wanted = [peer["namespaceSelector"], peer.get("podSelector", {})]
    pairs = {key: value for selector in wanted for key, value in _pairs(selector)}
    return " ".join(f"{key.rsplit('/')[-1]}={value}" for key, value in sorted(pairs.items()))


def _pairs(selector: Manifest) -> Iterator[tuple[str, str]]:
    yield from selector.get("matchLabels", {}).items()
    for rule in selector.get("matchExpressions", ()):
        yield rule["key"], "|".join(rule["values"])


_ANY = frozenset(range(1, 65536))


def _allowed(
    policies: list[Manifest], direction: str, own: dict[str, str], other: dict[str, str]
) -> set[int] | frozenset[int]:
    """Ports that the policies of a pod allow towards, or from, another pod."""
    mine = [
        p["spec"] for p in policies if direction in p["spec"]["policyTypes"] and selects(p["spec"]["podSelector"], own)
    ]
    if not mine:
        return _ANY
    rules = [rule for spec in mine for rule in spec.get(direction.lower(), ())]
    return {port for rule in rules if _names(rule, direction, other) for port in _ports(rule)}


def _names(rule: Manifest, direction: str, other: dict[str, str]) -> bool:
    peers = rule.get("to" if direction == "Egress" else "from")
    if peers is None:
        return True
    # a rule with a namespaceSelector means pods of other namespaces here; addresses mean nobody in this namespace
    return any("podSelector" in p and "namespaceSelector" not in p and selects(p["podSelector"], other) for p in peers)


def _ports(rule: Manifest) -> Iterator[int]:
    yield from (entry["port"] for entry in rule["ports"])
