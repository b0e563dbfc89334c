"""``python -m tests.deploy.play``: the try overlay for real, in containers of podman, with an enrolment and verifications.

As root, with podman, and the images visard-gateway, -dealer, -party and -client built (deploy/Dockerfile). What kubectl would
apply is rendered, and turned into what ``podman kube play`` understands: it knows no StatefulSets, Services, probes and
policies, so workloads become pods, Services become the pods' names on a network, claims become empty directories, and
Secrets directories with the contents that the overlay's program would give them. Users, read-only file systems, dropped
capabilities, init containers, configuration and mounts stay as they are rendered.
"""

import asyncio
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from visard.client import DEFAULT_MODEL, Client, Connection
from visard.errors import VisardError
from visard.owner import publish
from visard.owner.networks.names import FACE_SMALL

from bench.mongod import program as mongod
from tests.conftest import PHOTOS
from tests.deploy.certificates import Shelf, program
from tests.deploy.manifests import Manifest, containers_of, labels_of, of_kind, pod_of, rendered

NETWORK = "visard-try"
PORT = 17930
SECONDS = 90.0


def main() -> None:
    """Play, ask, show."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        build_mongodb(home)
        secrets = secrets_of_the_overlay(home)
        caller_files(home, secrets)
        secret_files(home / "secrets", secrets)
        manifests = [*of_kind(rendered("try"), "ConfigMap"), *pods(home / "secrets")]
        (home / "play.yaml").write_text(yaml.safe_dump_all(manifests))
        with played(home / "play.yaml"):
            show_users()
            asyncio.run(ask(home))


def podman(*words: object, check: bool = True) -> str:
    """Run podman; what it prints."""
    done = subprocess.run(["podman", *map(str, words)], capture_output=True, text=True, timeout=600, check=False)
    if check and done.returncode:
        sys.exit(f"podman {' '.join(map(str, words))}: {done.stderr[-3000:]}")
    return done.stdout + (done.stderr if words[0] == "logs" else "")


def build_mongodb(folder: Path) -> None:
    """The image mongodb, with the server of the tests."""
    context = folder / "mongodb"
    shutil.copytree(Path(__file__).parent / "mongodb", context)
    shutil.copy(mongod(), context / "mongod")
    podman("build", "--pull=never", "-q", "-t", "mongodb", context)


def secrets_of_the_overlay(folder: Path) -> dict[str, dict[str, bytes]]:
    """What its program would create in a cluster."""
    kept = Shelf()
    program(folder).look(kept)
    return kept.data


def secret_files(folder: Path, secrets: dict[str, dict[str, bytes]]) -> None:
    """The Secrets as directories, to be mounted: those of podman 4.3 hold no bytes."""
    for name, data in secrets.items():
        (folder / name).mkdir(parents=True)
        for key, value in data.items():
            (folder / name / key).write_bytes(value)


def caller_files(home: Path, secrets: dict[str, dict[str, bytes]]) -> None:
    """A directory like that of visard up, for the callers' side."""
    (home / "certs").mkdir()
    for role in ("verifier", "client", "owner", "admin"):
        (home / "certs" / f"{role}.pem").write_bytes(secrets[f"{role}-tls"]["tls.crt"])
        (home / "certs" / f"{role}.key").write_bytes(secrets[f"{role}-tls"]["tls.key"])
    (home / "certs" / "ca.pem").write_bytes(secrets["client-tls"]["ca.crt"])
    (home / "client.toml").write_text(f'gateway = "localhost:{PORT}"\ncerts = "certs"\n')


def pods(folder: Path) -> Iterator[Manifest]:
    """Each workload as a pod that has its name, databases and dealer first."""
    order = {"mongodb": 0, "dealer": 1, "party": 2, "gateway": 3}
    workloads = [
        m for m in of_kind(rendered("try"), "StatefulSet", "Deployment") if m["metadata"]["name"] != "certificates"
    ]
    for manifest in sorted(workloads, key=lambda m: order[labels_of(m)["app.kubernetes.io/name"].split("-")[-1]]):
        spec = pod_of(manifest)
        # the image of the tests has no mongosh
        spec["containers"] = [container for container in spec["containers"] if container["name"] != "certificate"]
        for container in containers_of(manifest):
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                container.pop(probe, None)
            container["image"] = "localhost/" + _local(container["image"])
            container["imagePullPolicy"] = "Never"
            grpc, *_ = container.pop("ports", [{}])  # podman would publish all of them on this machine
            if labels_of(manifest)["app.kubernetes.io/name"] == "gateway":
                container["ports"] = [grpc | {"hostPort": PORT}]
        for key in ("topologySpreadConstraints", "serviceAccountName", "enableServiceLinks"):
            spec.pop(key, None)
        for volume in spec["volumes"]:
            if "secret" in volume:
                volume["hostPath"] = {"path": str(shown(folder, volume.pop("secret"))), "type": "Directory"}
        claims = manifest["spec"].get("volumeClaimTemplates", ())
        spec["volumes"] += [{"name": claim["metadata"]["name"], "emptyDir": {}} for claim in claims]
        kept = {
            "io.podman.annotations.init.container.type": "always"
        }  # podman 4.3 may fail to remove one that has ended
        own_names(manifest)
        metadata = {"name": manifest["metadata"]["name"], "labels": labels_of(manifest), "annotations": kept}
        yield {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def shown(folder: Path, secret: Manifest) -> Path:
    """The directory that a volume of a Secret shows: all its keys, or those that it lists, each under its path."""
    whole = folder / str(secret["secretName"])
    if "items" not in secret:
        return whole
    chosen = folder / f"{whole.name}-{secret['items'][0]['path']}"
    chosen.mkdir(exist_ok=True)
    for item in secret["items"]:
        shutil.copy(whole / item["key"], chosen / item["path"])
    return chosen


def own_names(manifest: Manifest) -> None:
    """Volumes of podman are everybody's: each pod's get its name."""
    mounts = [mount for container in containers_of(manifest) for mount in container["volumeMounts"]]
    for named in (*pod_of(manifest)["volumes"], *mounts):
        named["name"] = f"{manifest['metadata']['name']}-{named['name']}"


def _local(image: str) -> str:
    name = image.split("@", maxsplit=1)[0].rsplit("/", 1)[-1]
    return "mongodb" if name == "mongo" else f"visard-{name}"


@contextmanager
def played(path: Path) -> Iterator[None]:
    """The pods, for as long as the block lasts."""
    podman("network", "create", NETWORK, check=False)
    try:
        podman("kube", "play", "--network", NETWORK, path)
        yield
    finally:
        podman("kube", "down", path, check=False)
        podman("network", "rm", "-f", NETWORK, check=False)


def show_users() -> None:
    """Who runs in each container, and whether its root file system is read-only."""
    for name in sorted(podman("ps", "--format", "{{.Names}}").split()):
        if not name.endswith("-infra") and "visard" in podman("inspect", name, "--format", "{{.ImageName}}"):
            facts = podman(
                "inspect", name, "--format", "user {{.Config.User}}, read-only {{.HostConfig.ReadonlyRootfs}}"
            )
            print(f"{name}: {facts.strip()}")


async def ask(home: Path) -> None:
    """Publish, enrol, verify, identify, audit."""
    end = time.monotonic() + SECONDS
    async with Client(Connection.from_home(home, "owner"), deadline=10) as owner:
        while not await _ready(owner):
            if time.monotonic() > end:
                for name in podman("ps", "-a", "--format", "{{.Names}}").split():
                    print(name, podman("logs", "--tail", "5", name, check=False))
                sys.exit("the pods are not ready")
            await asyncio.sleep(1)
        for party in (await owner.status()).parties:
            print(f"party {party.party}: ready {party.ready}, {party.store}")
    async with Client(Connection.from_home(home, "owner")) as owner:
        await publish.publish(owner, DEFAULT_MODEL, publish.compile_face_model(network=FACE_SMALL))
    async with Client(Connection.from_home(home)) as client:
        await client.enrol("ada", [PHOTOS / "obama.jpg"])
        for photo in ("obama2", "biden"):
            answer = await client.verify("ada", PHOTOS / f"{photo}.jpg")
            print(f"verify {photo}: match {answer.match}, {answer.report.seconds:.2f} s")
        print(f"identify obama2: {(await client.identify(PHOTOS / 'obama2.jpg')).subject}")


async def _ready(client: Client) -> bool:
    try:
        return (await client.status()).ready
    except VisardError:
        return False


if __name__ == "__main__":
    main()
