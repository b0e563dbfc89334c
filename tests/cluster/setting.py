"""What a run needs, from the environment, and what is missing, in words."""

import shlex
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

NEEDS = """make cluster-test needs
  KUBECONFIG=FILE     a disposable Kubernetes with rights over all of it; one node is enough. It makes and deletes namespaces,
                      fills the node up to two CPUs, drains it, and runs one privileged pod that kills processes
  REGISTRY=HOST:PORT  a registry that this machine pushes to and the node pulls from
  podman, kubectl     and, for images, what deploy/Dockerfile needs
and takes
  CLUSTER=DIR         a folder with start-control.sh and start-node.sh (and start-network.sh), which bring the control plane and
                      the node up if there is none; end.sh, if it is there, runs at the end
  MONGO=IMAGE         instead of docker.io/library/mongo:6.0
  BUILD="OPTION ..."  more for podman build, as --build-arg=BASE=... where no other registry can be reached
  STEPS="NAME ..."    only these (those before must have been run); they are named in tests/cluster/__main__.py"""
_PROGRAMS = ("kubectl", "podman")


@dataclass(frozen=True)
class Setting:
    """Where to run, and with what."""

    kubeconfig: Path
    registry: str
    cluster: Path | None = None
    mongo: str = "docker.io/library/mongo:6.0"
    build: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()

    @property
    def push_options(self) -> list[str]:
        """For podman: a registry on this machine is spoken to in the clear."""
        return ["--tls-verify=false"] if self.registry.startswith(("127.", "localhost")) else []


def missing(environment: Mapping[str, str], which: Callable[[str], str | None] = shutil.which) -> list[str]:
    """What is not there, each in a few words."""
    found = [f"{name} is not set" for name in ("KUBECONFIG", "REGISTRY") if not environment.get(name)]
    found += [f"{program} is not on this machine" for program in _PROGRAMS if which(program) is None]
    folder = environment.get("CLUSTER")
    for script in ("start-control.sh", "start-node.sh") if folder else ():
        if not Path(str(folder), script).exists():
            found.append(f"CLUSTER has no {script}")
    return found


def from_environment(environment: Mapping[str, str]) -> Setting:
    """The setting of an environment in which nothing is missing."""
    given = {"mongo": environment["MONGO"]} if environment.get("MONGO") else {}
    folder = environment.get("CLUSTER")
    return Setting(
        kubeconfig=Path(environment["KUBECONFIG"]).resolve(),
        registry=environment["REGISTRY"],
        cluster=Path(folder).resolve() if folder else None,
        build=tuple(shlex.split(environment.get("BUILD", ""))),
        steps=tuple(environment.get("STEPS", "").split()),
        **given,
    )
