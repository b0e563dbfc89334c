"""``make signing-test``: what docs/releases.md says about signatures, done with the real tools in a registry on this machine.

The commands are those of the page. Needed are cosign, docker-registry and a skopeo that reads sigstore's signatures (Debian 12's
does not); without them this fails, and it is no part of ``make test``.
"""

import base64
import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "releases.md"
SIGNING = ROOT / "deploy" / "signing"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"


def commands(kind: str) -> list[str]:
    """The commands of the page's blocks of one kind, one a line."""
    blocks = re.findall(rf"^```sh-{kind}\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    found = [line for block in blocks for line in block.splitlines()]
    assert found
    return found


@dataclass(frozen=True)
class Registry:
    """A registry on this machine, by host and port."""

    host: str

    def ask(self, method: str, path: str, data: bytes = b"", kind: str = "application/octet-stream") -> Any:
        url = path if path.startswith("http") else f"http://{self.host}/v2/{path}"
        request = urllib.request.Request(
            url, method=method, data=data or None, headers={"Content-Type": kind, "Accept": _MANIFEST}
        )
        return urllib.request.urlopen(request, timeout=30)

    def blob(self, repository: str, data: bytes, kind: str) -> dict[str, Any]:
        with self.ask("POST", f"{repository}/blobs/uploads/") as answer:
            place = answer.headers["Location"]
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self.ask("PUT", f"{place}{'&' if '?' in place else '?'}digest={digest}", data).close()
        return {"mediaType": kind, "digest": digest, "size": len(data)}

    def image(self, repository: str, content: bytes) -> str:
        """An image with one layer; its digest."""
        layer = self.blob(repository, content, _LAYER)
        rootfs = {"type": "layers", "diff_ids": [layer["digest"]]}
        config = json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs}).encode()
        manifest = {"schemaVersion": 2, "mediaType": _MANIFEST, "config": self.blob(repository, config, _CONFIG)}
        return self.manifest(repository, "latest", json.dumps(manifest | {"layers": [layer]}).encode())

    def manifest(self, repository: str, tag: str, data: bytes) -> str:
        self.ask("PUT", f"{repository}/manifests/{tag}", data, _MANIFEST).close()
        return f"sha256:{hashlib.sha256(data).hexdigest()}"

    def copy(self, source: str, target: str, tag: str) -> None:
        """A manifest with what it needs, from one repository to another."""
        with self.ask("GET", f"{source}/manifests/{tag}") as answer:
            data = answer.read()
        manifest = json.loads(data)
        for part in (manifest["config"], *manifest["layers"]):
            with self.ask("GET", f"{source}/blobs/{part['digest']}") as answer:
                self.blob(target, answer.read(), part["mediaType"])
        self.manifest(target, tag, data)


@pytest.fixture(scope="module", autouse=True)
def tools() -> None:
    """Everything that is needed is here."""
    missing = [name for name in ("cosign", "skopeo", "docker-registry") if shutil.which(name) is None]
    if missing:
        pytest.fail(f"not here: {', '.join(missing)} (docs/releases.md says where they are)")


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    folder = tmp_path_factory.mktemp("registry")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{probe.getsockname()[1]}"
    config = {"version": 0.1, "storage": {"filesystem": {"rootdirectory": str(folder)}}, "http": {"addr": host}}
    (folder / "config.yml").write_text(json.dumps(config))
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(["docker-registry", "serve", folder / "config.yml"], stdout=log, stderr=log)
        try:
            while not answers(host):
                assert process.poll() is None, (folder / "log").read_text()
                time.sleep(0.05)
            yield Registry(host)
        finally:
            process.terminate()
            process.wait()


def answers(host: str) -> bool:
    try:
        urllib.request.urlopen(f"http://{host}/v2/", timeout=5).close()
    except (urllib.error.URLError, ConnectionError):
        return False
    return True


@dataclass(frozen=True)
class Desk:
    """A folder in which the page's commands are run, about one image."""

    folder: Path
    host: str
    digest: str

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """One command of the page, about our image in our registry."""
        command = command.replace("registry.example", self.host).replace("sha256:...", self.digest)
        if command == "make sbom":
            command = f"{sys.executable} {ROOT / 'deploy' / 'sbom.py'} build/sbom party"
        environment = {**os.environ, "COSIGN_PASSWORD": "a password for tests"}
        return subprocess.run(
            ["bash", "-c", command], cwd=self.folder, env=environment, capture_output=True, text=True, timeout=120, check=False
        )  # fmt: skip

    def refusals(self) -> list[str]:
        """The operator's commands that end in an error."""
        return [command.split()[1] for command in commands("operator") if self.run(command).returncode]

    def node(self, repository: str = "visard/party") -> subprocess.CompletedProcess[str]:
        """Take the image as a node would, under the policy of deploy/signing."""
        policy = (
            (SIGNING / "policy.json").read_text().replace("/etc/containers/visard.pub", f"{self.folder}/cosign.pub")
        )
        (self.folder / "policy.json").write_text(policy.replace("registry.example", self.host))
        (self.folder / "registries.d").mkdir(exist_ok=True)
        registries = (SIGNING / "registries.yaml").read_text().replace("registry.example", self.host)
        (self.folder / "registries.d" / "visard.yaml").write_text(registries)
        shutil.rmtree(self.folder / "taken", ignore_errors=True)
        options = "--policy policy.json --registries.d registries.d copy --src-tls-verify=false"
        return self.run(f"skopeo {options} docker://{self.host}/{repository}@{self.digest} dir:taken")


def desk(folder: Path, registry: Registry, content: bytes = b"as it was built") -> Desk:
    return Desk(folder, registry.host, registry.image("visard/party", content))


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory, registry: Registry) -> Desk:
    """An image that was released as the page says."""
    made = desk(tmp_path_factory.mktemp("release"), registry)
    assert made.refusals() == ["verify", "verify-attestation", "verify-blob"]
    assert "signature was required" in made.node().stderr
    for command in commands("release"):
        done = made.run(command)
        assert done.returncode == 0, done.stderr
    return made


def image_as_released__should_be_taken(signed: Desk) -> None:
    assert signed.refusals() == []
    done = signed.node()
    assert done.returncode == 0, done.stderr


def bill_at_the_image__should_be_the_one_that_was_made(signed: Desk) -> None:
    (command,) = [command for command in commands("operator") if "verify-attestation" in command]
    statement = json.loads(base64.b64decode(json.loads(signed.run(command).stdout)["payload"]))
    assert statement["subject"] == [
        {"name": f"{signed.host}/visard/party", "digest": {"sha256": signed.digest.removeprefix("sha256:")}}
    ]
    bill = json.loads((signed.folder / "build" / "sbom" / "visard-party.cdx.json").read_text())
    assert statement["predicate"] == bill


def changed_image__should_be_refused(signed: Desk, registry: Registry) -> None:
    changed = desk(signed.folder, registry, b"as somebody else has built it")
    assert changed.digest != signed.digest
    assert changed.refusals() == ["verify", "verify-attestation"]
    assert changed.node().returncode != 0


def changed_image_with_the_others_signature__should_be_refused(signed: Desk, registry: Registry) -> None:
    changed = desk(signed.folder, registry, b"and put the signature beside it")
    for end in ("sig", "att"):
        tag = f"{signed.digest.replace(':', '-')}.{end}"
        with registry.ask("GET", f"visard/party/manifests/{tag}") as answer:
            registry.manifest("visard/party", f"{changed.digest.replace(':', '-')}.{end}", answer.read())
    assert changed.refusals() == ["verify", "verify-attestation"]
    assert changed.node().returncode != 0


def signature_of_another_key__should_be_refused(signed: Desk, registry: Registry, tmp_path: Path) -> None:
    other = desk(tmp_path, registry, b"signed by somebody else")
    for command in commands("release"):
        assert other.run(command).returncode == 0
    assert other.refusals() == []
    shutil.copy(signed.folder / "cosign.pub", tmp_path)
    assert other.refusals() == ["verify", "verify-attestation", "verify-blob"]
    assert other.node().returncode != 0


def signed_image_under_another_name__should_be_refused_by_the_node(signed: Desk, registry: Registry) -> None:
    for reference in (signed.digest, f"{signed.digest.replace(':', '-')}.sig"):
        registry.copy("visard/party", "visard/gateway", reference)
    verify = commands("operator")[0].replace("visard/party", "visard/gateway")
    assert signed.run(verify).returncode == 0  # the page says so
    done = signed.node("visard/gateway")
    assert done.returncode != 0
    assert "identity" in done.stderr or "does not match" in done.stderr, done.stderr


def changed_bill__should_be_refused(signed: Desk) -> None:
    path = signed.folder / "build" / "sbom" / "visard-party.cdx.json"
    whole = path.read_text()
    path.write_text(whole.replace("numpy", "mumpy"))
    try:
        assert signed.refusals() == ["verify-blob"]
    finally:
        path.write_text(whole)
