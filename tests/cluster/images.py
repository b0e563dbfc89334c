"""The images: built of this source, a second version of each, and one that crashes; pushed, and named by their digests."""

import json
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.failing import Failed
from tests.cluster.setting import Setting

ROOT = Path(__file__).parents[2]
ROLES = ("gateway", "dealer", "party", "client")
MONGO = "mongo"
Pinned = dict[str, str]
_BUILD_SECONDS = 1800.0
# what the manifests call them
PLACEHOLDERS = {role: f"registry.example/visard/{role}" for role in ROLES} | {MONGO: "docker.io/library/mongo"}


@dataclass(frozen=True)
class Images:
    """Each as NAME@DIGEST by its role."""

    first: Pinned
    second: Pinned
    crashing: Pinned

    def save(self, path: Path) -> None:
        """Keep the names for a run of later steps alone."""
        path.write_text(json.dumps(vars(self)))

    @classmethod
    def load(cls, path: Path) -> "Images":
        """Those of an earlier run."""
        return cls(**json.loads(path.read_text()))


def podman(*words: object, stdin: str | None = None) -> str:
    """Run podman; what it prints. Raises Failed."""
    command = ["nice", "podman", *map(str, words)]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=_BUILD_SECONDS, check=False)
    if done.returncode:
        raise Failed(f"podman {' '.join(map(str, words))}: {done.stderr[-2000:]}")
    return done.stdout.strip()


def build(setting: Setting) -> Images:
    """Build and push all."""
    first = {role: _built(setting, role) for role in ROLES} | {MONGO: _mongo(setting)}
    second = first | {role: _derived(setting, role, "2", "LABEL org.opencontainers.image.version=2") for role in ROLES}
    crashing = second | {"party": _derived(setting, "party", "crashing", 'ENTRYPOINT ["false"]')}
    return Images(first, second, crashing)


def _built(setting: Setting, role: str) -> str:
    name = f"localhost/visard-{role}"
    dockerfile = ROOT / "deploy" / "Dockerfile"
    podman("build", *setting.build, "--target", role, "-t", name, "-f", dockerfile, ROOT)
    return pushed(setting, name, role, "1")


def _mongo(setting: Setting) -> str:
    try:
        podman("image", "exists", setting.mongo)
    except Failed:
        podman("pull", setting.mongo)
    return pushed(setting, setting.mongo, MONGO, "1")


def _derived(setting: Setting, role: str, tag: str, line: str) -> str:
    """The same with one more line."""
    name = f"localhost/visard-{role}:{tag}"
    with tempfile.TemporaryDirectory() as empty:
        podman("build", "--pull=never", "-t", name, "-f", "-", empty, stdin=f"FROM localhost/visard-{role}\n{line}\n")
    return pushed(setting, name, role, tag)


def pushed(setting: Setting, name: str, role: str, tag: str) -> str:
    """Push an image; its name in the registry with the digest that it has there."""
    with tempfile.TemporaryDirectory() as folder:
        digest = Path(folder, "digest")
        target = f"{setting.registry}/visard/{role}"
        podman("push", "-q", *setting.push_options, "--digestfile", digest, name, f"{target}:{tag}")
        return f"{target}@{digest.read_text().strip()}"


def overlay(folder: Path, resource: Path, pinned: Pinned, more: str = "") -> Path:
    """Write a kustomization that is another one with these images, and ``more``; its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    relative = os.path.relpath(resource.resolve(), folder.resolve())  # kustomize takes no other
    lines = [
        "apiVersion: kustomize.config.k8s.io/v1beta1",
        "kind: Kustomization",
        f"resources: [{relative}]",
        "images:",
    ]
    for role, name in pinned.items():
        address, _, digest = name.partition("@")
        lines += [f"  - name: {PLACEHOLDERS[role]}", f"    newName: {address}", f'    digest: "{digest}"']
    (folder / "kustomization.yaml").write_text("\n".join(lines) + "\n" + more)
    return folder
