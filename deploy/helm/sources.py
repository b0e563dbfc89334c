"""What the chart is made of: the kustomize base as kubectl renders it, piece by piece."""

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from deploy.helm.emit import Node, changed, place

ROOT = Path(__file__).parents[2]
K8S = ROOT / "deploy" / "k8s"
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yaml"
DASHBOARD = ROOT / "deploy" / "grafana" / "visard.json"
PARTIES = range(3)
Manifest = dict[str, Any]
# the number of a party, in a template
NUMBER = place("$n")


@cache
def _text(folder: Path) -> str:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        raise SystemExit("kubectl is needed to render the base")
    command = [kubectl, "kustomize", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def rendered(folder: Path) -> list[Manifest]:
    """What kubectl makes of a kustomization."""
    return [manifest for manifest in yaml.load_all(_text(folder), yaml.CSafeLoader) if manifest]


def piece(name: str) -> list[Manifest]:
    """A piece of the base, with names of ConfigMaps that follow from what is in them in the chart as well."""
    return with_names_by_content(rendered(K8S / "base" / name))


def party() -> list[Manifest]:
    """A party of any number; raises ValueError where the three differ in more than that."""
    first, *others = (piece(f"party-{number}") for number in PARTIES)
    found: list[Manifest] = _common(first, others[0])
    for number, other in enumerate(others, 1):
        if _numbered(found, number) != other:
            raise ValueError(f"party {number} differs from party 0 in more than its number")
    return found


def images() -> dict[str, dict[str, str]]:
    """The images as the base names them: by the name in the manifests, repository and digest."""
    read = yaml.safe_load((K8S / "base" / "kustomization.yaml").read_text())
    return {entry["name"]: {"repository": entry["newName"], "digest": entry["digest"]} for entry in read["images"]}


def with_names_by_content(manifests: list[Manifest]) -> list[Manifest]:
    """The same, each hash at the end of a ConfigMap's name a place for the hash that Helm computes."""
    names = {}
    for manifest in manifests:
        name = manifest["metadata"]["name"]
        if manifest["kind"] == "ConfigMap" and re.search("-[0-9a-z]{10}$", name):
            names[name] = f"{name[:-11]}-{place(hash_of(name[:-11]))}"
    return [changed(manifest, lambda text: names.get(text, text)) for manifest in manifests]


def hash_of(name: str) -> str:
    """The expression for the hash of a ConfigMap that had this name."""
    return f"${re.sub('-[0-9]$', '', name).replace('-', '_')} | sha256sum | trunc 10"


def _common(one: Node, other: Node) -> Node:
    """Two renderings of the same length in all their parts, with a place where a character differs."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return {key: _common(value, other[key]) for key, value in one.items()}
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [_common(*pair) for pair in zip(one, other, strict=True)]
    if isinstance(one, str) and isinstance(other, str) and len(one) == len(other):
        return "".join(a if a == b else NUMBER for a, b in zip(one, other, strict=True))
    if one != other:
        raise ValueError(f"parties differ: {one!r}, {other!r}")
    return one


def _numbered(node: Node, number: int) -> Node:
    return changed(node, lambda text: text.replace(NUMBER, str(number)))
