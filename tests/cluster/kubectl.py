"""kubectl, and what is asked of it again and again."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.failing import Failed, until

Object = dict[str, Any]
READY_SECONDS = 900.0


@dataclass(frozen=True)
class Kubectl:
    """The command, bound to a cluster."""

    kubeconfig: Path

    def command(self, *words: object) -> list[str]:
        """The words to run."""
        return ["kubectl", "--kubeconfig", str(self.kubeconfig), *map(str, words)]

    def tried(self, *words: object, stdin: str | None = None, seconds: float = 300) -> subprocess.CompletedProcess[str]:
        """Run it, whatever comes of it."""
        command = self.command(*words)
        return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=seconds, check=False)

    def __call__(self, *words: object, stdin: str | None = None, seconds: float = 300) -> str:
        """Run it; what it prints. Raises Failed."""
        done = self.tried(*words, stdin=stdin, seconds=seconds)
        if done.returncode:
            raise Failed(f"kubectl {' '.join(map(str, words))}: {done.stderr.strip()[-1500:]}")
        return done.stdout

    def get(self, *words: object) -> Object:
        """One object, or a list of them."""
        return json.loads(self("get", *words, "-o", "json"))  # type: ignore[no-any-return]

    def items(self, *words: object) -> list[Object]:
        """The objects of a list."""
        return self.get(*words)["items"]  # type: ignore[no-any-return]

    def exists(self, *words: object) -> bool:
        """Whether there is such an object."""
        return not self.tried("get", *words).returncode

    def delete_namespaces(self, *names: str) -> None:
        """With all that is in them; waits until they are gone."""
        self("delete", "namespace", *names, "--ignore-not-found", "--wait=false")
        for name in names:
            until(f"namespace {name} is gone", lambda name=name: not self.exists("namespace", name), 600)  # type: ignore[misc]

    def wait_ready(self, namespace: str, seconds: float = READY_SECONDS) -> None:
        """Wait until all workloads of a namespace are ready, as they were applied."""

        def ready() -> bool:
            return not waiting(self.items("deployment,statefulset", "-n", namespace))

        try:
            until(f"all workloads of {namespace} are ready", ready, seconds)
        except Failed as failed:
            pods = self("get", "pods", "-n", namespace)
            raise Failed(f"{failed}\n{pods}") from None


def waiting(workloads: list[Object]) -> list[str]:
    """The names of workloads that are not ready, or not seen by their controller."""
    found = []
    for workload in workloads:
        status, wanted = workload.get("status", {}), workload["spec"].get("replicas", 1)
        seen = status.get("observedGeneration", 0) >= workload["metadata"].get("generation", 0)
        if not seen or status.get("readyReplicas", 0) < wanted:
            found.append(workload["metadata"]["name"])
    return found


def restarts(pod: Object, container: str) -> int:
    """How often a container of a pod was begun again."""
    statuses = pod.get("status", {}).get("containerStatuses", ())
    return next((int(s["restartCount"]) for s in statuses if s["name"] == container), 0)


def is_ready(pod: Object) -> bool:
    """Whether a pod is ready and not about to go."""
    conditions = {c["type"]: c["status"] for c in pod.get("status", {}).get("conditions", ())}
    return conditions.get("Ready") == "True" and "deletionTimestamp" not in pod["metadata"]


def millis(quantity: str) -> int:
    """CPU in thousandths."""
    return int(quantity[:-1]) if quantity.endswith("m") else round(float(quantity) * 1000)


_UNITS = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "k": 10**3, "M": 10**6, "G": 10**9}


def mebibytes(quantity: str) -> int:
    """Memory in MiB."""
    for unit, size in _UNITS.items():
        if quantity.endswith(unit):
            return int(quantity.removesuffix(unit)) * size >> 20
    return int(quantity) >> 20


def asked_for(pods: list[Object]) -> tuple[int, int]:
    """CPU in thousandths and memory in MiB that pods request: containers together, or an init container that wants more."""
    total = [0, 0]
    for pod in pods:
        for place, (resource, size) in enumerate((("cpu", millis), ("memory", mebibytes))):

            def wants(containers: list[Object], resource: str = resource, size: Any = size) -> list[int]:
                return [size(c.get("resources", {}).get("requests", {}).get(resource, "0")) for c in containers]

            spec = pod["spec"]
            total[place] += max(sum(wants(spec["containers"])), *wants(spec.get("initContainers", [])), 0)
    return total[0], total[1]
