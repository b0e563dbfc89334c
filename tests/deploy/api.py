"""As much of a cluster's API as kubectl needs to list StatefulSets and pods and to delete pods, over plain HTTP in this process.

Each list of StatefulSets is a moment: what is being deleted goes, a new pod comes with the revision that was applied, starts, and
gets ready. A revision whose name says "dead" never starts, one that says "unready" never gets ready. A party is ready when all
three have started.
"""

import http.server
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

NAMES = tuple(f"{kind}-{i}" for i in (2, 1, 0) for kind in ("party-mongodb", "party"))
WORKERS = 2  # of a party that has a set of them
Manifest = dict[str, Any]


@dataclass
class Pod:
    """One pod, of one revision."""

    revision: str
    started: bool = False
    ready: bool = False
    deleted: bool = False


@dataclass
class Sets:
    """StatefulSets of one pod each, and of several workers, all serving at first. A pod has its set's name where it is alone."""

    revision: str = "one"
    names: tuple[str, ...] = NAMES
    wanted: dict[str, str] = field(default_factory=dict)
    pods: dict[str, Pod] = field(default_factory=dict)
    deleted: list[tuple[str, int]] = field(default_factory=list)  # the pod, and how many were not ready then

    def __post_init__(self) -> None:
        self.wanted = dict.fromkeys(self.names, self.revision)
        self.pods = {pod: Pod(self.revision, started=True, ready=True) for name in self.names for pod in pods_of(name)}

    def apply(self, revisions: Mapping[str, str]) -> None:
        """Another version of some sets; forgets what was deleted."""
        self.wanted |= revisions
        self.deleted = []

    def replaced(self) -> list[str]:
        """The pods that were deleted, in this order, each by the name of its set where that has one."""
        return [name for name, _ in self.deleted]

    def delete(self, name: str) -> None:
        """Begin to delete a pod."""
        self.deleted.append((name, sum(not pod.ready for pod in self.pods.values())))
        self.pods[name].deleted = True

    def pass_time(self) -> None:
        """One moment."""
        for name, pod in self.pods.items():
            if pod.deleted:
                self.pods[name] = Pod(self.wanted[name if name in self.wanted else name.rpartition("-")[0]])
            elif not pod.started:
                pod.started = "dead" not in pod.revision
            else:
                pod.ready = "unready" not in pod.revision
        parties = [pod for name, pod in self.pods.items() if name.count("-") == 1]
        if not all(pod.started and "unready" not in pod.revision for pod in parties):
            for pod in parties:
                pod.ready = False

    def shown(self, kind: str) -> list[Manifest]:
        """What the API would list."""
        if kind == "statefulsets":
            return [self._set(name) for name in self.names]
        return [self.pod(name) for name in self.pods]

    def _set(self, name: str) -> Manifest:
        return {
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": {"name": name, "labels": {"visard.dev/party": name[-1]}, "generation": 3},
            "spec": {"replicas": len(pods_of(name))},
            "status": {"observedGeneration": 3, "updateRevision": self.wanted[name]},
        }

    def pod(self, name: str) -> Manifest:
        """One pod as the API would show it."""
        pod = self.pods[name]
        deleted = {"deletionTimestamp": "2026-11-28T00:00:00Z"} if pod.deleted else {}
        labels = {"controller-revision-hash": pod.revision}
        ready = {"type": "Ready", "status": str(pod.ready)}
        scheduled = {"type": "PodScheduled", "status": "True"}
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name if name.startswith("worker") else f"{name}-0", "labels": labels, **deleted},
            "status": {"conditions": [scheduled, ready], "containerStatuses": [{"name": "x", "started": pod.started}]},
        }


def pods_of(name: str) -> list[str]:
    """The pods of a set."""
    return [f"{name}-{k}" for k in range(WORKERS)] if name.startswith("worker") else [name]


def _named(pod: str) -> str:
    """A pod by the name that it has in ``Sets``."""
    return pod if pod.startswith("worker") else pod.removesuffix("-0")


DISCOVERY: dict[str, Manifest] = {
    "/version": {"major": "1", "minor": "32", "gitVersion": "v1.32.4"},
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {
        "kind": "APIGroupList",
        "apiVersion": "v1",
        "groups": [
            {
                "name": "apps",
                "versions": [{"groupVersion": "apps/v1", "version": "v1"}],
                "preferredVersion": {"groupVersion": "apps/v1", "version": "v1"},
            }
        ],
    },
}


def _resources(version: str, name: str, kind: str) -> Manifest:
    verbs = ["get", "list", "delete"]
    found = {"name": name, "singularName": kind.lower(), "namespaced": True, "kind": kind, "verbs": verbs}
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": [found]}


DISCOVERY |= {
    "/api/v1": _resources("v1", "pods", "Pod"),
    "/apis/apps/v1": _resources("apps/v1", "statefulsets", "StatefulSet"),
}
SELECTOR = "app.kubernetes.io/part-of=visard,app.kubernetes.io/name in (party,party-mongodb,worker)"


@contextmanager
def served(sets: Sets) -> Iterator[str]:
    """The address of an API with these."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            *_, kind = url.path.rsplit("/", 1)
            if url.path in DISCOVERY:
                self._answer(DISCOVERY[url.path])
            elif kind in ("pods", "statefulsets"):
                assert parse_qs(url.query)["labelSelector"] == [SELECTOR]
                if kind == "statefulsets":
                    sets.pass_time()
                self._answer({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": sets.shown(kind)})
            else:
                self._answer(sets.pod(_named(kind)))

        def do_DELETE(self) -> None:
            name = _named(self.path.rsplit("/", 1)[1])
            sets.delete(name)
            self._answer(sets.pod(name))

        def _answer(self, body: object) -> None:
            text = json.dumps(body).encode()
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
