"""A control plane and a node, where a folder with scripts brings them up."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cluster.failing import Failed, check, until
from tests.cluster.kubectl import Kubectl
from tests.cluster.setting import Setting

_SCRIPTS = ("start-control.sh", "start-node.sh", "start-network.sh")


@contextmanager
def brought_up(setting: Setting, kubectl: Kubectl) -> Iterator[str]:
    """The cluster, for as long as the block lasts; how it came to be."""
    if not kubectl.tried("get", "--raw", "/readyz").returncode:
        yield "the cluster was there"
        return
    if setting.cluster is None:
        raise Failed("no cluster answers at KUBECONFIG, and CLUSTER names no folder that brings one up")
    try:
        for script in _SCRIPTS:
            run(setting.cluster / script)
        until("the node is ready", lambda: nodes(kubectl), 120)
        yield "the control plane and a node were brought up"
    finally:
        run(setting.cluster / "end.sh")


def run(script: Path) -> None:
    """Run a script if it is there; raises Failed."""
    if script.exists():
        # it leaves programs behind that keep its output open: to a file, and not to us
        with (script.parent / f"{script.stem}.log").open("w") as log:
            done = subprocess.run(["bash", script], stdout=log, stderr=log, env=os.environ, timeout=600, check=False)
        check(not done.returncode, f"{script.name} ended with status {done.returncode}")


def nodes(kubectl: Kubectl) -> list[str]:
    """The nodes that are ready and take pods."""
    return [
        node["metadata"]["name"]
        for node in kubectl.items("nodes")
        if not node["spec"].get("unschedulable")
        and any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"]["conditions"])
    ]
