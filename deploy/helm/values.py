"""What an operator may set: values.yaml, with what the base has, and the schema that refuses anything else."""

import textwrap
from typing import Any

import yaml

from deploy.helm import templates
from deploy.helm.sources import Manifest, images

Schema = dict[str, Any]
_SIZE = "^[0-9]+(\\.[0-9]+)?(Ki|Mi|Gi|Ti)$"

_TEXT = """\
# Written by `make chart` from deploy/k8s/base: change that. values.schema.json refuses what is not foreseen here.

# what this release is: a whole cell in one namespace (which protects nobody: whoever runs it sees all three parties), or one
# operator's role: party, gateway or dealer
deploy: cell
# a policy that forbids what no other policy allows; off where the namespace has one, or another release of this chart
defaultDeny: true
# names of Secrets with the registry's password
pullSecrets: []

# by digest: yours, whose signatures you have verified (docs/releases.md)
images:
{images}

# where the others are, as host:port: in the order of the parties' numbers
addresses:
  parties: {parties}
  dealer: {dealer}
# who vouches for whom, as certificates in PEM: "party/0", "party/1", "party/2", dealer, gateway, "verifier/*", "enroller/*",
# "owner/*", "admin/*" (docs/operations.md, "Three operators"). Where nothing is listed one authority vouches for all: ca.crt
roots: {{}}
# who may connect, and is connected to, by address. Where nothing is listed the others are pods of this namespace
networks:
  gateway: []
  parties: []
  dealer: []

gateway:
  replicas: {{min: {min}, max: {max}}}
  # LoadBalancer or NodePort for callers from outside, who keep their addresses (externalTrafficPolicy: Local)
  service: {{type: ClusterIP, annotations: {{}}}}
  # further lines of gateway.toml, as max_uploads: 128
  config: {{}}
  resources:
{gateway}
dealer:
  service: {{type: ClusterIP, annotations: {{}}}}
  config: {{}}
  resources:
{dealer_resources}
party:
  # 0, 1 or 2; a whole cell has all three
  number: 0
  service: {{type: ClusterIP, annotations: {{}}}}
  # an empty class is the cluster's default
  storage: {{size: {party_storage}, class: ""}}
  # further lines of party.toml, as audit_one_in: 32
  config: {{}}
  resources:
{party}
# a party's database
mongodb:
  storage: {{size: {mongodb_storage}, class: ""}}
  resources:
{mongodb}

# for clusters with the Prometheus operator: PodMonitor, PrometheusRule, and the dashboard for Grafana's sidecar
monitoring:
  enabled: false
  # by which your Prometheus finds monitors and rules, as release: prometheus
  labels: {{}}
"""


def text(manifests: list[Manifest]) -> str:
    """values.yaml, from the objects as they are before places are put into them."""
    parts = {part: _workload(manifests, name) for name, part in templates.WORKLOADS.items()}
    resources = {part: _resources(workload, part) for part, workload in parts.items()}
    (autoscaler,) = (m["spec"] for m in manifests if m["kind"] == "HorizontalPodAutoscaler")
    named = {templates.IMAGES[name]: image for name, image in images().items() if name in templates.IMAGES}
    configs = _configs(manifests)
    return _TEXT.format(
        images=_yaml(named, 2),
        parties=f"[{', '.join(configs['gateway']['parties'])}]",
        dealer=configs["party"]["dealer"],
        min=autoscaler["minReplicas"],
        max=autoscaler["maxReplicas"],
        gateway=_yaml(resources["gateway"], 4),
        dealer_resources=_yaml(resources["dealer"], 4),
        party=_yaml(resources["party"], 4),
        mongodb=_yaml(resources["mongodb"], 4),
        party_storage=_storage(parts["party"]),
        mongodb_storage=_storage(parts["mongodb"]),
    )


def schema(manifests: list[Manifest]) -> Schema:
    """values.schema.json."""
    configs = _configs(manifests)
    named = {name: _object(repository=_text("^[^\\s@]+$"), digest=_text("^sha256:[0-9a-f]{64}$")) for name in _PARTS}
    address = _text("^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?:[0-9]{1,5}$")
    networks = {"type": "array", "items": _text("^([0-9]{1,3}(\\.[0-9]{1,3}){3}/[0-9]{1,2}|[0-9a-f:]+/[0-9]{1,3})$")}
    service = _object(type={"enum": ["ClusterIP", "LoadBalancer", "NodePort"]}, annotations=_strings())
    storage = _object(size=_text(_SIZE), **{"class": {"type": "string"}})
    count = {"type": "integer", "minimum": 1}
    role = {name: {"service": service, "resources": _RESOURCES, "config": _further(configs[name])} for name in configs}
    whole = _object(
        deploy={"enum": ["cell", "party", "gateway", "dealer"]},
        defaultDeny={"type": "boolean"},
        pullSecrets={"type": "array", "items": _text("^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")},
        images=_object(**named),
        addresses=_object(
            parties={"type": "array", "items": address, "minItems": 3, "maxItems": 3, "uniqueItems": True},
            dealer=address,
        ),
        roots={
            "type": "object",
            "propertyNames": {
                "pattern": "^(party/[012]|dealer|gateway|(verifier|enroller|owner|admin)/(\\*|[A-Za-z0-9._-]+))$"
            },
            "additionalProperties": _text("-----BEGIN CERTIFICATE-----"),
        },
        networks=_object(gateway=networks, parties=networks, dealer=networks),
        gateway=_object(replicas=_object(min=count, max=count), **role["gateway"]),
        dealer=_object(**role["dealer"]),
        party=_object(number={"type": "integer", "minimum": 0, "maximum": 2}, storage=storage, **role["party"]),
        mongodb=_object(storage=storage, resources=_RESOURCES),
        monitoring=_object(enabled={"type": "boolean"}, labels=_strings()),
    )
    whole["properties"]["global"] = {"type": "object"}  # Helm adds it
    # a cell's others are pods beside it
    nobody = {name: {"maxItems": 0} for name in ("gateway", "parties", "dealer")}
    whole["if"] = {"properties": {"deploy": {"const": "cell"}}}
    whole["then"] = {"properties": {"networks": {"properties": nobody}}}
    return {"$schema": "http://json-schema.org/draft-07/schema#", "title": "visard", **whole}


_PARTS = tuple(templates.IMAGES.values())


def _object(**properties: Schema) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _text(pattern: str) -> Schema:
    return {"type": "string", "pattern": pattern}


def _strings() -> Schema:
    return {"type": "object", "additionalProperties": {"type": "string"}}


def _amounts(*required: str) -> Schema:
    amount = {"type": ["string", "integer"], "pattern": "^[0-9]+(\\.[0-9]+)?(m|Ki|Mi|Gi|Ti)?$"}
    return {"type": "object", "additionalProperties": amount, "required": list(required)}


# memory has a limit always: a pod without one takes its neighbours'
_RESOURCES = _object(requests=_amounts("cpu", "memory"), limits=_amounts("memory"))


def _further(config: dict[str, Any]) -> Schema:
    """Lines of a service's TOML that it has not yet."""
    scalar = {"type": ["string", "number", "boolean"]}
    return {
        "type": "object",
        "propertyNames": {"pattern": "^[a-z][a-z0-9_]*$", "not": {"enum": sorted(config)}},
        "additionalProperties": {"anyOf": [scalar, {"type": "array", "items": scalar}]},
    }


def _configs(manifests: list[Manifest]) -> dict[str, dict[str, Any]]:
    """The TOML of each service."""
    found = {}
    for manifest in manifests:
        for name, content in manifest.get("data", {}).items() if manifest["kind"] == "ConfigMap" else ():
            if name.endswith(".toml"):
                found[name.removesuffix(".toml")] = templates.toml(content)
    return found


def _workload(manifests: list[Manifest], name: str) -> Manifest:
    (found,) = (m for m in manifests if m["kind"] in ("Deployment", "StatefulSet") and templates.role_of(m) == name)
    return found


def _resources(workload: Manifest, container: str) -> Manifest:
    containers = workload["spec"]["template"]["spec"]["containers"]
    return next(c["resources"] for c in containers if c["name"] == container)


def _storage(workload: Manifest) -> str:
    (claim,) = workload["spec"]["volumeClaimTemplates"]
    return str(claim["spec"]["resources"]["requests"]["storage"])


def _yaml(node: object, indent: int) -> str:
    return textwrap.indent(yaml.safe_dump(node, sort_keys=False, width=10**9).rstrip(), " " * indent)
