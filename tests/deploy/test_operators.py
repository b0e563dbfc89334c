"""Operators with a cluster each: "Three operators" of docs/operations.md works as written, and what comes of it fits together.

Every block is run, in the folder of whom it is for; kubectl writes down what it would create instead of asking a cluster.
"""

import base64
import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from visard.connection import Connection
from visard_common.config import ServiceConfig, read
from visard_common.tls import Tls
from visard_common.vouching import Vouching
from visard_dealer.config import DealerConfig
from visard_gateway.config import GatewayConfig
from visard_party.config import PartyConfig

from tests.deploy.manifests import K8S, Manifest, name_of, of_kind, pod_of, secrets_of
from tests.deploy.operators import OVERLAYS, SERVERS, blocks, follow

CONFIGS: dict[str, type[ServiceConfig]] = {"gateway": GatewayConfig, "dealer": DealerConfig, "party": PartyConfig}
# what is asked of a cluster is written down; what kubectl can do by itself it does
KUBECTL = """#!/bin/sh
case "$*" in
*"create secret"*) "{real}" "$@" --dry-run=client --output=yaml ;;
"apply -k "*) "{real}" kustomize "$3" ;;
"apply -f "*) cat "$3" ;;
*"apply -f "*) cat "$5" ;;
*" wait "*) exit 0 ;;
*) echo "unexpected: $*" >&2; exit 1 ;;
esac >> "$APPLIED" && echo "---" >> "$APPLIED"
"""


@dataclass
class Operator:
    """A machine of one operator's, with the project and a kubeconfig of its own."""

    name: str
    folder: Path
    applied: list[Manifest] = field(default_factory=list)

    def run(self, text: str) -> str:
        """Say something to a shell; what it had kubectl apply is in ``applied`` then."""
        (self.folder / "applied").touch()
        path = f"{self.folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = {"PATH": path, "HOME": str(self.folder), "APPLIED": str(self.folder / "applied")}
        command = ["sh", "-euc", text]
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, f"{self.name}: {text}\n{done.stderr}"
        found = yaml.safe_load_all((self.folder / "applied").read_text())
        self.applied = [manifest for manifest in found if manifest]
        return done.stdout

    @property
    def secrets(self) -> dict[str, dict[str, bytes]]:
        """The Secrets that were created."""
        return {
            m["metadata"]["name"]: {key: base64.b64decode(value) for key, value in m["data"].items()}
            for m in of_kind(self.applied, "Secret")
        }

    def service(self) -> Manifest:
        """The workload of visard's own."""
        (found,) = [m for m in of_kind(self.applied, "Deployment", "StatefulSet") if "mongodb" not in name_of(m)]
        return found

    def mounted(self, manifest: Manifest, folder: Path) -> Path:
        """What a pod's container would find in its file system: ConfigMaps and Secrets."""
        maps = {m["metadata"]["name"]: m["data"] for m in of_kind(self.applied, "ConfigMap")}
        volumes = {volume["name"]: volume for volume in pod_of(manifest)["volumes"]}
        for mount in pod_of(manifest)["containers"][0]["volumeMounts"]:
            volume = volumes.get(mount["name"], {})
            place = folder / mount["mountPath"].lstrip("/")
            place.mkdir(parents=True)
            if "configMap" in volume:
                files = {key: text.encode() for key, text in maps[volume["configMap"]["name"]].items()}
            elif "secret" in volume:
                held, items = self.secrets[volume["secret"]["secretName"]], volume["secret"].get("items")
                files = {i["path"]: held[i["key"]] for i in items} if items else held
            else:
                continue
            for name, data in files.items():
                (place / name).write_bytes(data)
        return folder


@pytest.fixture(scope="module")
def operators(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Operator]:
    """Six operators who have done all that the page says, in its order."""
    made, real = {}, shutil.which("kubectl")
    for name in (*SERVERS, "callers"):
        folder = tmp_path_factory.mktemp(name)
        shutil.copytree(K8S, folder / "deploy" / "k8s")
        (folder / "bin").mkdir()
        (folder / "bin" / "kubectl").write_text(KUBECTL.replace("{real}", str(real)))
        (folder / "bin" / "kubectl").chmod(0o755)
        made[name] = Operator(name, folder)
    follow({name: operator.folder for name, operator in made.items()}, lambda name, text: made[name].run(text))
    return made


@pytest.fixture(scope="module")
def pods(operators: dict[str, Operator], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Each service's file system."""
    return {name: operators[name].mounted(operators[name].service(), tmp_path_factory.mktemp(name)) for name in SERVERS}


def tls_in(pod: Path) -> Tls:
    """What a service is configured with, in its own file system."""
    (path,) = (pod / "etc" / "visard").glob("*.toml")
    found = tomllib.loads(path.read_text())["tls"]
    roots = {role: pod / file.lstrip("/") for role, file in found["roots"].items()}
    return Tls(roots=roots, cert=pod / "pki" / "tls.crt", key=pod / "pki" / "tls.key")


def page__should_have_a_block_for_everybody() -> None:
    told = {name for owners, _ in blocks() for name in owners}
    assert told == {*SERVERS, "callers", "cert-manager"}
    assert not any("..." in text for _, text in blocks())


@pytest.mark.parametrize("name", SERVERS)
def overlay__should_be_complete_by_itself(operators: dict[str, Operator], name: str) -> None:
    operator = operators[name]
    namespaces = {m["metadata"].get("namespace") for m in operator.applied if m["kind"] != "Namespace"}
    assert namespaces == {f"visard-{OVERLAYS[name]}"}
    assert {m["metadata"]["name"] for m in of_kind(operator.applied, "Namespace")} == namespaces
    for manifest in of_kind(operator.applied, "Deployment", "StatefulSet"):
        assert secrets_of(manifest) <= operator.secrets.keys(), name_of(manifest)
    needed = {s for m in of_kind(operator.applied, "Deployment", "StatefulSet") for s in secrets_of(m)}
    assert operator.secrets.keys() == needed, "and nothing more is asked for"
    for account in of_kind(operator.applied, "ServiceAccount"):
        assert account["imagePullSecrets"] == [{"name": "registry"}]
    config = read(CONFIGS[name.rstrip("012")], None, **configured(operators[name]))
    if isinstance(config, PartyConfig):
        assert f"party{config.index}" == name
        text = yaml.safe_dump_all(
            m for m in operator.applied if m["kind"] not in ("Secret", "ConfigMap", "NetworkPolicy")
        )
        assert set(re.findall(r"party-(?:[a-z]+-)*(\d)", text)) == {name[-1]}, "another's number is left somewhere"


def configured(operator: Operator) -> dict[str, Any]:
    (volume,) = [v for v in pod_of(operator.service())["volumes"] if v["name"] == "config"]
    (found,) = [
        m for m in of_kind(operator.applied, "ConfigMap") if m["metadata"]["name"] == volume["configMap"]["name"]
    ]
    (text,) = found["data"].values()
    return tomllib.loads(text)


@pytest.mark.parametrize("name", SERVERS)
def service__should_find_files_that_fit(pods: dict[str, Path], name: str) -> None:
    tls_in(pods[name]).check()
    assert tls_in(pods[name]).trust().separate


def services__should_believe_each_other_and_callers_by_their_own_roots(
    operators: dict[str, Operator], pods: dict[str, Path]
) -> None:
    """Whoever calls is believed by whom it calls, and its name by another's authority is not."""
    calls = [(f"party{i}", f"party{j}") for i in range(3) for j in range(3) if i != j]
    calls += [(f"party{i}", "dealer") for i in range(3)] + [("gateway", f"party{i}") for i in range(3)]
    for caller, called in calls:
        caller_tls, called_tls = tls_in(pods[caller]), tls_in(pods[called])
        own_chain = der(caller_tls.cert)
        assert called_tls.trust().names(own_chain) == [f"visard://{SERVERS[caller]}"]
        Vouching(called_tls).check(SERVERS[caller], caller_tls.cert.read_bytes())
        root = caller_tls.trust().of(SERVERS[called])
        assert [one.public_bytes(Encoding.PEM) for one in root] == [
            (operators[called].folder / "pki" / "ca.pem").read_bytes()
        ]
    for role in ("verifier", "client", "owner", "admin"):
        chain = der(operators["callers"].folder / "pki" / f"{role}.pem")
        for name in ("gateway", "party0", "party1", "party2"):
            assert tls_in(pods[name]).trust().names(chain)


def der(path: Path) -> list[bytes]:
    return [one.public_bytes(Encoding.DER) for one in x509.load_pem_x509_certificates(path.read_bytes())]


def callers_home__should_be_usable(operators: dict[str, Operator]) -> None:
    home = operators["callers"].folder / "home"
    for role in ("client", "owner"):
        roots, _ = Connection.from_home(home, role).read()
        assert roots == (operators["gateway"].folder / "pki" / "ca.pem").read_bytes()
    assert {path.stat().st_mode & 0o077 for path in (home / "certs").glob("*.key")} == {0}


def private_files__should_be_private(operators: dict[str, Operator]) -> None:
    for operator in operators.values():
        private = [p for p in (operator.folder / "pki").iterdir() if p.suffix != ".pem"]
        assert private
        assert {path.stat().st_mode & 0o077 for path in private} == {0}, operator.name


def nobody__should_hold_anothers_key(operators: dict[str, Operator]) -> None:
    keys = {(name, path.read_bytes()) for name, o in operators.items() for path in o.folder.rglob("*.key")}
    assert len({data for _, data in keys}) == len(keys)
    for name, operator in operators.items():
        told = yaml.safe_dump_all(m for m in operator.applied if m["kind"] != "Secret")
        assert "PRIVATE KEY" not in told, name


def database__should_be_reached_with_its_users_password(operators: dict[str, Operator]) -> None:
    for number in range(3):
        held = operators[f"party{number}"].secrets
        store, root = held[f"party-mongodb-{number}"], held[f"party-mongodb-root-{number}"]
        password = store["password"].decode()
        assert len(password) == 48
        assert store["uri"].decode() == (
            f"mongodb://party:{password}@party-mongodb-{number}:27017/visard?tls=true&tlsCAFile=/pki/ca.crt"
        )
        assert root["password"] != store["password"]
        certificate = x509.load_pem_x509_certificate(held[f"party-mongodb-tls-{number}"]["tls.crt"])
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(held[f"party-tls-{number}"]["ca.crt"]))
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.DNSName) == [f"party-mongodb-{number}"]


@pytest.mark.parametrize("name", SERVERS)
def policies__should_name_addresses_and_services_should_not_hide_them(
    operators: dict[str, Operator], name: str
) -> None:
    operator = operators[name]
    ours = name.replace("party", "party-")
    (service,) = [m for m in of_kind(operator.applied, "Service") if m["metadata"]["name"] == ours]
    assert service["spec"]["type"] == "LoadBalancer"
    assert service["spec"].get("externalTrafficPolicy") == (None if name == "gateway" else "Local")
    (policy,) = [m for m in of_kind(operator.applied, "NetworkPolicy") if m["metadata"]["name"] == ours]
    rules = [policy["spec"].get("ingress", [])[:1], policy["spec"].get("egress", [])[:2]]
    blocks_ = [
        p for side in rules for rule in side for p in (*rule.get("from", ()), *rule.get("to", ())) if "ipBlock" in p
    ]
    assert len(blocks_) == {"dealer": 3, "gateway": 3}.get(name, 8)
    assert any(m["spec"]["podSelector"] == {} for m in of_kind(operator.applied, "NetworkPolicy")), "default deny"


@pytest.fixture(scope="module")
def managed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Manifest]]:
    """Every overlay with its certificates from cert-manager, as the page says."""
    found = {}
    (text,) = [text for owners, text in blocks() if owners == ["cert-manager"]]
    switch = text.splitlines()[0]
    for name, overlay in OVERLAYS.items():
        folder = tmp_path_factory.mktemp(name)
        shutil.copytree(K8S, folder / "deploy" / "k8s")
        for owners, block in blocks():
            if "cp -r" in block and name in owners:
                subprocess.run(["sh", "-euc", block], cwd=folder, check=True, timeout=60)
        subprocess.run(["sh", "-euc", switch.replace("party-0", overlay)], cwd=folder, check=True, timeout=60)
        command = ["kubectl", "kustomize", str(folder / "deploy" / "k8s" / "overlays" / overlay)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        found[name] = [manifest for manifest in yaml.safe_load_all(done.stdout) if manifest]
    return found


def cert_managers_certificates__should_name_role_and_addresses(managed: dict[str, list[Manifest]]) -> None:
    authorities = set()
    for name, manifests in managed.items():
        certificates = {c["spec"]["secretName"]: c["spec"] for c in of_kind(manifests, "Certificate")}
        workloads = of_kind(manifests, "StatefulSet", "Deployment")
        wanted = {s for m in workloads for s in secrets_of(m) if "-tls" in s}
        assert certificates.keys() == wanted | {"authority"}
        root = certificates["authority"]
        assert (root["isCA"], root["privateKey"]["rotationPolicy"]) == (True, "Never")
        authorities.add(root["commonName"])
        issuers = {m["metadata"]["name"]: m["spec"] for m in of_kind(manifests, "Issuer")}
        assert issuers == {"self-signed": {"selfSigned": {}}, "authority": {"ca": {"secretName": "authority"}}}
        for secret, spec in certificates.items():
            assert spec["privateKey"]["algorithm"] == "ECDSA"
            assert spec["issuerRef"] == {
                "name": "self-signed" if secret == "authority" else "authority",
                "kind": "Issuer",
            }
        own_name = f"party-tls-{name[-1]}" if "party" in name else f"{name}-tls"
        assert certificates[own_name]["uris"] == [f"visard://{SERVERS[name]}"]
        assert certificates[own_name]["dnsNames"] == [f"{name}.example"]
        assert {*certificates[own_name]["usages"]} >= {"server auth"}
        if "party" in name:
            store = certificates[f"party-mongodb-tls-{name[-1]}"]
            assert store["dnsNames"] == [f"party-mongodb-{name[-1]}"]
            assert store["uris"] == [f"visard://store/{name[-1]}"]
    assert len(authorities) == len(managed), "TLS finds roots by name"


@pytest.mark.parametrize("name", SERVERS)
def objects__should_fit_the_schemas_of_kubernetes(operators: dict[str, Operator], name: str) -> None:
    assert len(operators[name].applied) > 8
    for manifest in operators[name].applied:
        kubernetes_validate.validate(manifest, "1.32", strict=True)


def committed_roots__should_be_no_roots() -> None:
    """An operator who forgets step 4 gets a service that does not start."""
    found = list((K8S / "overlays").glob("*/trust/*"))
    assert len(found) == 9 + 7 + 3
    assert all(path.read_text().startswith("# to be replaced") for path in found)
