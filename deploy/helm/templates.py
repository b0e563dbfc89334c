"""The base's objects with places for what an operator sets: which image, how large, how it is reached, by whom."""

import re
import tomllib
from typing import Any

from deploy.helm.emit import Filled, If, Node, action, place, plain, text_of
from deploy.helm.sources import NUMBER, Manifest

_PARTIES = place('join `", "` $root.Values.addresses.parties')
# lines of a service's TOML that follow from values of the whole chart
_ADDRESSES = {
    "peers": f'["{_PARTIES}"]',
    "parties": f'["{_PARTIES}"]',
    "dealer": f'"{place("$root.Values.addresses.dealer")}"',
}
# whose networks a rule means that names pods
_NETWORKS = {"gateway": "gateway", "party": "parties", "dealer": "dealer"}
# pods, and the part of the values that is theirs
WORKLOADS = {"gateway": "gateway", "dealer": "dealer", "party": "party", "party-mongodb": "mongodb"}
# images by their names in the base, and in the values
IMAGES = {"visard-gateway": "gateway", "visard-dealer": "dealer", "visard-party": "party", "mongodb": "mongodb"}


def template(manifests: list[Manifest]) -> tuple[str, str]:
    """The text for these objects, and the definitions of its ConfigMaps' data, which their names follow from."""
    maps = {_variable(m): m for m in manifests if m["kind"] == "ConfigMap"}
    head = "".join(f'{{{{- ${name} := include "visard.{name}" (dict "root" $root "n" $n) }}}}\n' for name in maps)
    text = "".join(f"---\n{text_of(filled(manifest))}" for manifest in manifests)
    defined = "".join(
        f'{{{{- define "visard.{name}" -}}}}\n{{{{- $root := .root }}}}\n{{{{- $n := .n }}}}\n'
        f"{text_of(_data(manifest['data']))}{{{{- end }}}}\n"
        for name, manifest in maps.items()
    )
    return head + text, defined


def filled(manifest: Manifest) -> Node:
    """One object with its places."""
    pod = manifest.get("spec", {}).get("template", {}).get("spec", {})
    for container in (*pod.get("initContainers", ()), *pod.get("containers", ())):
        where = f"$root.Values.images.{IMAGES[container['image']]}"
        container["image"] = f"{place(f'{where}.repository')}@{place(f'{where}.digest')}"
    fill = _FILLED.get(manifest["kind"])
    return manifest if fill is None else fill(manifest)


def _variable(manifest: Manifest) -> str:
    return re.sub("[-]+$", "", re.sub("-[0-9]$", "", plain(manifest["metadata"]["name"]))).replace("-", "_")


def _config_map(manifest: Manifest) -> Node:
    return manifest | {"data": Filled(f"${_variable(manifest)}")}


def _data(data: dict[str, str]) -> Node:
    return {
        name: _toml(text, name.removesuffix(".toml")) if name.endswith(".toml") else text for name, text in data.items()
    }


def _toml(text: str, service: str) -> str:
    """A service's configuration: addresses from the values, and what the operator adds, before any table."""
    for key, value in _ADDRESSES.items():
        text = re.sub(rf"^{key} = .*$", f"{key} = {value}", text, flags=re.MULTILINE)
    text = re.sub("^tls = .*$", lambda found: _tls(found[0]), text, flags=re.MULTILINE)
    loop = action(f"range $key, $value := $root.Values.{service}.config")
    return f"{loop}\n{place('$key')} = {place('$value | toJson')}\n{action('end')}\n{text}"


def _tls(line: str) -> str:
    """One authority for all, as in the base; or, where the values have roots, each for whom it vouches."""
    roots = place('include "visard.roots" $root')
    pinned = re.sub(r'ca = "[^"]*", (.*) }$', lambda found: f"{found[1]}, roots = {{ {roots} }} }}", line)
    if pinned == line:
        raise ValueError(f"no authority in {line}")
    return f"{action('if $root.Values.roots')}\n{pinned}\n{action('else')}\n{line}\n{action('end')}"


def toml(text: str) -> dict[str, Any]:
    """A configuration, a party's number, where it is a place, taken as 0."""
    return tomllib.loads(text.replace(NUMBER, "0"))


def role_of(manifest: Manifest) -> str:
    """The object's name without a number."""
    return plain(manifest["metadata"]["name"]).rstrip("-")


def _workload(manifest: Manifest) -> Node:
    part = f"$root.Values.{WORKLOADS[role_of(manifest)]}"
    pod = manifest["spec"]["template"]["spec"]
    for container in pod["containers"]:
        if container["name"] == part.rpartition(".")[2]:
            container["resources"] = Filled(f"toYaml {part}.resources")
            if container["name"] != "mongodb":
                mount = {"mountPath": "/trust", "name": "trust", "readOnly": True}
                container["volumeMounts"].append(If("$root.Values.roots", mount))
                pod["volumes"].append(If("$root.Values.roots", {"configMap": {"name": "trust"}, "name": "trust"}))
    for claim in manifest["spec"].get("volumeClaimTemplates", ()):
        claim["spec"]["resources"]["requests"]["storage"] = place(f"{part}.storage.size")
        claim["spec"]["storageClassName"] = If(f"{part}.storage.class", place(f"{part}.storage.class"))
    return manifest


def _service(manifest: Manifest) -> Node:
    if role_of(manifest) not in ("gateway", "dealer", "party"):
        return manifest
    part = f"$root.Values.{role_of(manifest)}.service"
    inside, outside = f'eq {part}.type "ClusterIP"', f'ne {part}.type "ClusterIP"'
    manifest["metadata"]["annotations"] = If(f"{part}.annotations", Filled(f"toYaml {part}.annotations"))
    spec = manifest["spec"]
    if "clusterIP" in spec:
        spec["clusterIP"] = If(inside, spec["clusterIP"])
    spec["type"] = If(outside, place(f"{part}.type"))
    if role_of(manifest) != "gateway":  # whose callers no policy looks at: the others name who comes by address
        spec["externalTrafficPolicy"] = If(outside, "Local")
    return manifest


def _policy(manifest: Manifest) -> Node:
    for direction, who in (("ingress", "from"), ("egress", "to")):
        for rule in manifest["spec"].get(direction, ()):
            peers = rule.pop(who, None)
            if peers is not None:
                rule[who] = _peers(peers)
    return manifest


def _peers(peers: list[Manifest]) -> Node:
    """Pods of this namespace, or networks where the values name some: a rule means one or the other."""
    if len(peers) != 1 or peers[0].keys() != {"podSelector"}:
        return peers
    selector = peers[0]["podSelector"]
    names = {selector.get("matchLabels", {}).get("app.kubernetes.io/name", "")}
    for wanted in selector.get("matchExpressions", ()):
        if wanted["key"] == "app.kubernetes.io/name":
            names |= set(wanted["values"])
    meant = [_NETWORKS[name] for name in sorted(names) if name in _NETWORKS]
    if not meant or "visard.dev/party" in selector.get("matchLabels", {}):  # its own pods: always beside it
        return peers
    listed = f"concat {' '.join(f'$root.Values.networks.{name}' for name in meant)}"
    return If(listed, Filled(f'include "visard.networks" ({listed})'), peers)


def _account(manifest: Manifest) -> Node:
    secrets = "$root.Values.pullSecrets"
    return manifest | {"imagePullSecrets": If(secrets, Filled(f'include "visard.pullSecrets" {secrets}'))}


def _autoscaler(manifest: Manifest) -> Node:
    part = f"$root.Values.{role_of(manifest)}.replicas"
    replicas: dict[str, Any] = {f"{end}Replicas": Filled(f"{part}.{end}", number=True) for end in ("min", "max")}
    manifest["spec"] |= replicas
    return manifest


_FILLED = {
    "ConfigMap": _config_map,
    "Deployment": _workload,
    "HorizontalPodAutoscaler": _autoscaler,
    "NetworkPolicy": _policy,
    "Service": _service,
    "ServiceAccount": _account,
    "StatefulSet": _workload,
}
