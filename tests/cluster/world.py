"""What the steps share: the cluster, the images, the callers, and a pod with rights over the node."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.callers import Callers, fetched, forwarded, home
from tests.cluster.failing import check, until
from tests.cluster.images import ROOT, Images, Pinned, overlay
from tests.cluster.kubectl import Kubectl, is_ready
from tests.cluster.setting import Setting

K8S = ROOT / "deploy" / "k8s"
TRY, TOOLS = "visard-try", "visard-cluster-test"
GATEWAY_PORT = 7300
# as many verifications of one subject as the steps ask for are more than its budget; and nothing else is other than committed
MORE = """patches:
  - target: {kind: StatefulSet, name: "party-[012]"}
    patch: |-
      - op: add
        path: /spec/template/spec/containers/0/env
        value: [{name: VISARD_ATTEMPTS_SUBJECT, value: "0"}]
"""
# processes of a pod, by its UID and a word of their command line, end as by kill -9
KILL = """
import glob, os, sys
uid, word = sys.argv[1:]
killed = 0
for folder in glob.glob("/proc/[0-9]*"):
    try:
        group, line = open(folder + "/cgroup").read(), open(folder + "/cmdline").read()
    except OSError:
        continue
    if (uid in group or uid.replace("-", "_") in group) and word in line:
        os.kill(int(folder[6:]), 9)
        killed += 1
print(killed)
"""


@dataclass
class World:
    """Where the steps work."""

    setting: Setting
    kubectl: Kubectl
    work: Path

    @property
    def images(self) -> Images:
        """Those of the first step."""
        return Images.load(self.work / "images.json")

    def trial(self, pinned: Pinned) -> Path:
        """The overlay try with these images."""
        return overlay(self.work / "try", K8S / "overlays" / "try", pinned, MORE)

    @contextmanager
    def callers(self, namespace: str = TRY) -> Iterator[Callers]:
        """Callers with a way to the gateway."""
        with forwarded(self.kubectl, namespace, "service/gateway", GATEWAY_PORT) as port:
            folder = home(self.work / "callers", f"localhost:{port}", fetched(self.kubectl, namespace))
            yield Callers(folder)

    def kill(self, namespace: str, pod: str, word: str) -> None:
        """End a process of a pod as by kill -9."""
        uid = self.kubectl.get("pod", pod, "-n", namespace)["metadata"]["uid"]
        killed = self.kubectl("exec", "-n", TOOLS, "deployment/tools", "--", "python", "-c", KILL, uid, word)
        check(int(killed) > 0, f"no process {word} of {pod} was found")

    def tools(self, cpu: str) -> None:
        """The pod with rights over the node, which takes so much of its CPU that two are left to all others."""
        manifests = [_namespace(), _tools(self.images.first["gateway"], cpu)]
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests})
        self.kubectl("apply", "-f", "-", stdin=text)
        until("the tools are ready", lambda: any(map(is_ready, self.kubectl.items("pods", "-n", TOOLS))), 300)


def _namespace() -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": TOOLS}}


def _tools(image: str, cpu: str) -> dict[str, object]:
    """Kept by a Deployment: a drain would refuse to end a pod that nobody brings back."""
    labels = {"app": "tools"}
    container = {
        "name": "tools",
        "image": image,
        "command": ["python", "-c", "import signal; signal.pause()"],
        "securityContext": {"privileged": True, "runAsUser": 0},
        "resources": {"requests": {"cpu": cpu, "memory": "16Mi"}},
    }
    spec = {"hostPID": True, "terminationGracePeriodSeconds": 0, "containers": [container]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "tools", "namespace": TOOLS},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }
