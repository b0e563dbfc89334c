"""Three operators, a gateway and a dealer, each with an authority and a namespace: "Three operators" of docs/operations.md."""

import re
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.callers import Callers, forwarded
from tests.cluster.failing import Failed, check
from tests.cluster.images import PLACEHOLDERS, Pinned
from tests.cluster.report import Step
from tests.cluster.runbook import Shell
from tests.cluster.world import GATEWAY_PORT, World
from tests.deploy.operators import OVERLAYS, SERVERS, follow

NAMESPACES = {name: f"visard-{overlay}" for name, overlay in OVERLAYS.items()}
WHO = (*SERVERS, "callers")
# what pods ask for where all five operators have one node of two CPUs
SMALL = {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "2Gi"}}


def here(text: str, port: int) -> str:
    """Commands and files with the host names of this cluster: Services, and the gateway at a port of this machine."""
    text = re.sub(r"party(\d)\.example", r"party-\1.visard-party-\1", text)
    text = text.replace("dealer.example", "dealer.visard-dealer").replace("gateway.example:7300", f"localhost:{port}")
    return text.replace("--host gateway.example", "--host localhost --host gateway.visard-gateway")


def edited(kustomization: dict[str, Any], pinned: Pinned) -> dict[str, Any]:
    """An operator's kustomization with images, and small requests."""
    names = {placeholder: pinned[role] for role, placeholder in PLACEHOLDERS.items()}
    images = []
    for image in kustomization["images"]:
        address, _, digest = names[image["newName"]].partition("@")
        images.append({"name": image["name"], "newName": address, "digest": digest})
    patch = yaml.safe_dump([{"op": "replace", "path": "/spec/template/spec/containers/0/resources", "value": SMALL}])
    small = [{"target": {"kind": kind}, "patch": patch} for kind in ("StatefulSet", "Deployment")]
    present = [p for p in small if p["target"]["kind"] in _kinds(kustomization)]  # type: ignore[index]
    return kustomization | {"images": images, "patches": [*kustomization["patches"], *present]}


def _kinds(kustomization: dict[str, Any]) -> set[str]:
    party = any("party" in str(resource) for resource in kustomization["resources"])
    return {"StatefulSet"} if party else {"Deployment"}


def adapt(folder: Path, pinned: Pinned, port: int) -> None:
    """Step 3 for this cluster: host names, networks, images."""
    for path in folder.glob("*.toml"):
        path.write_text(here(path.read_text(), port))
    path = folder / "addresses.yaml"
    path.write_text(re.sub(r"cidr: [\d./]+", "cidr: 0.0.0.0/0", path.read_text()))
    path = folder / "kustomization.yaml"
    path.write_text(yaml.safe_dump(edited(yaml.safe_load(path.read_text()), pinned), sort_keys=False))


def installed(world: World, step: Step) -> None:
    """All that the page says, in its order; then a first answer."""
    world.kubectl.delete_namespaces(*NAMESPACES.values())
    shells = {name: Shell(world.work / "operators" / name, world.setting.kubeconfig) for name in WHO}
    for shell in shells.values():
        shell.begin()
    told(world, shells, port=GATEWAY_PORT)
    for namespace in NAMESPACES.values():
        world.kubectl.wait_ready(namespace)
    step.saw(
        f"every block of *Three operators* for {', '.join(WHO)}, each in a folder and with an authority of its own"
    )
    step.saw(f"all workloads are ready, in the namespaces {', '.join(NAMESPACES.values())}")
    with forwarded(world.kubectl, NAMESPACES["gateway"], "service/gateway", GATEWAY_PORT) as port:
        callers = Callers(shells["callers"].folder / "home")
        (callers.home / "client.toml").write_text(f'gateway = "localhost:{port}"\ncerts = "certs"\n')
        callers.ready()
        callers.publish()
        callers.enrol()
        step.saw(callers.verified())


def told(world: World, shells: dict[str, Shell], port: int) -> None:
    """The blocks, each by whom it is for."""

    def say(name: str, text: str) -> None:
        shells[name].run(here(text, port))
        if "cp -r" in text:
            adapt(overlay_of(shells[name], name), world.images.second, port)

    folders = {name: shell.folder for name, shell in shells.items()}
    follow(folders, say, exchanged=lambda: adapt_given(world, shells, port))


def overlay_of(shell: Shell, name: str) -> Path:
    """An operator's overlay in its own copy."""
    return shell.folder / "deploy" / "k8s" / "overlays" / OVERLAYS[name]


def adapt_given(world: World, shells: dict[str, Shell], port: int) -> None:
    """The overlays that need no copy."""
    for name in ("dealer", "gateway"):
        adapt(overlay_of(shells[name], name), world.images.second, port)


def stolen(world: World, step: Step) -> None:
    """The gateway's authority makes itself a caller, and is refused by the parties' roots."""
    gateway = Shell(world.work / "operators" / "gateway", world.setting.kubeconfig)
    callers = world.work / "operators" / "callers" / "home"
    gateway.run("rm -f pki/forged.*; visard certs issue pki forged --role visard://owner/default")
    with forwarded(world.kubectl, NAMESPACES["gateway"], "service/gateway", GATEWAY_PORT) as port:
        forged = gateway.folder / "home"
        gateway.run(f"rm -rf home && cp -r {callers} home")
        gateway.run("cp pki/forged.pem home/certs/client.pem && cp pki/forged.key home/certs/client.key")
        (forged / "client.toml").write_text(f'gateway = "localhost:{port}"\ncerts = "certs"\n')
        try:
            found = Callers(forged).run(lambda client: client.subjects(), deadline=20)
        except Failed as refused:
            step.saw(f"a caller whom the gateway's own authority vouches for is refused ({str(refused)[:120]})")
        else:
            check(False, f"a caller of the gateway's authority was answered: {found}")
        honest = Callers(callers)
        (callers / "client.toml").write_text(f'gateway = "localhost:{port}"\ncerts = "certs"\n')
        step.saw(f"one of the callers' authority is answered on the same way: {honest.verified()}")


def gone(world: World, step: Step) -> None:
    """Delete all five."""
    world.kubectl.delete_namespaces(*NAMESPACES.values())
    step.saw("deleted the namespaces")
