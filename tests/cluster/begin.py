"""The first steps: a node of two CPUs, images, the overlay try as it is accepted and gets ready, and a first verification."""

import json

from tests.cluster import images
from tests.cluster.bringing import nodes
from tests.cluster.failing import check
from tests.cluster.kubectl import Kubectl, Object, asked_for, millis, waiting
from tests.cluster.report import Step
from tests.cluster.world import TOOLS, TRY, World

CPU = 2000  # thousandths, minikube's default
OTHERS = 850  # of them, that minikube's own pods take


def build(world: World, step: Step) -> None:
    """Build and push."""
    made = images.build(world.setting)
    made.save(world.work / "images.json")
    step.saw(
        f"built and pushed {len(images.ROLES)} images of this source, a second version of each, a party that crashes, and mongo"
    )
    step.saw("every image is named by its digest")


def node(world: World, step: Step) -> None:
    """One node, and no more of it than two CPUs."""
    names = nodes(world.kubectl)
    check(len(names) == 1, f"one node that takes pods is wanted, there are {len(names)}")
    version = _version(world.kubectl)
    world.kubectl.delete_namespaces(TRY, TOOLS)
    free = free_cpu(world.kubectl, names[0])
    check(free >= CPU - OTHERS, f"{free}m of CPU are free, {CPU - OTHERS}m are needed")
    taken = free - (CPU - OTHERS)
    world.tools(f"{taken}m")
    step.saw(f"Kubernetes {version}, one node")
    step.saw(f"a pod that asks for the rest leaves {CPU - OTHERS}m of CPU: two, less what minikube's own pods take")


def _version(kubectl: Kubectl) -> str:
    found = json.loads(kubectl("get", "--raw", "/version"))
    return f"{found['major']}.{found['minor']}" if found.get("major") else str(found["gitVersion"])


def free_cpu(kubectl: Kubectl, node_name: str) -> int:
    """CPU of a node that no pod asks for, in thousandths."""
    allocatable = millis(kubectl.get("node", node_name)["status"]["allocatable"]["cpu"])
    return allocatable - asked_for(running(kubectl.items("pods", "-A"), node_name))[0]


def running(pods: list[Object], node_name: str) -> list[Object]:
    """The pods of a node that have not ended."""
    ended = ("Succeeded", "Failed")
    return [p for p in pods if p["spec"].get("nodeName") == node_name and p["status"].get("phase") not in ended]


def apply(world: World, step: Step) -> None:
    """Apply it as it is: no warning; and again: nothing changes."""
    folder = world.trial(world.images.first)
    done = world.kubectl.tried("apply", "-k", folder)
    check(not done.returncode, f"apply: {done.stderr[-1500:]}")
    check("Warning" not in done.stderr, f"apply warns: {done.stderr[:1500]}")
    lines = done.stdout.splitlines()
    step.saw(f"`kubectl apply -k`: {len(lines)} objects, no warning")
    world.kubectl.wait_ready(TRY)
    step.saw("all pods are ready")
    asked = asked_for(world.kubectl.items("pods", "-n", TRY))
    step.saw(f"its pods ask for {asked[0]}m of CPU and {asked[1]} MiB of memory")
    unchanged(world, step)


def unchanged(world: World, step: Step) -> None:
    """Apply once more, compare, and apply on the server's side."""
    folder = world.work / "try"
    before = generations(world.kubectl)
    again = world.kubectl("apply", "-k", folder).splitlines()
    check(not changed(again), f"a second apply changes {changed(again)}")
    check(generations(world.kubectl) == before, "a second apply gives objects another generation")
    step.saw(
        f"a second apply says of {len(again)} objects: unchanged (but for disruption budgets, see below), and changes none"
    )
    difference = world.kubectl.tried("diff", "-k", folder)
    check(
        not difference.returncode and not difference.stdout, f"diff: {(difference.stdout or difference.stderr)[:1500]}"
    )
    step.saw("`kubectl diff -k` shows nothing")
    step.saw(
        "of a disruption budget kubectl sends the selector each time (its patch strategy is `replace`) and says `configured`"
    )
    applied_by_the_server(world, step)


def changed(lines: list[str]) -> list[str]:
    """What an apply says it has changed; kubectl says so of each disruption budget whatever it is."""
    return [line for line in lines if not line.endswith(" unchanged") and not line.startswith("poddisruptionbudget")]


def applied_by_the_server(world: World, step: Step) -> None:
    """Server-side apply, without force: no conflict, and the second changes no object."""
    server = ("apply", "--server-side", "-k", world.work / "try")
    first = world.kubectl.tried(*server)
    check(not first.returncode, f"server-side apply: {first.stderr[-1500:]}")
    check("Warning" not in first.stderr, f"server-side apply warns: {first.stderr[:1500]}")
    before = generations(world.kubectl)
    world.kubectl(*server)
    after = generations(world.kubectl)
    others = [name for name, generation in after.items() if before.get(name) != generation]
    check(not others, f"a second server-side apply changes {others}")
    step.saw("`kubectl apply --server-side -k` has no conflict, and a second one changes no object's generation")


def generations(kubectl: Kubectl) -> dict[str, int]:
    """The generation of everything that was applied: it grows with each change of what is wanted."""
    kinds = "deployment,statefulset,networkpolicy,poddisruptionbudget,horizontalpodautoscaler"
    found = kubectl.items(kinds, "-n", TRY)
    return {f"{item['kind']}/{item['metadata']['name']}": item["metadata"].get("generation", 0) for item in found}


def first_answer(world: World, step: Step) -> None:
    """Publish, enrol, verify."""
    check(not waiting(world.kubectl.items("deployment,statefulset", "-n", TRY)), "not all pods are ready")
    with world.callers() as callers:
        callers.ready()
        callers.publish()
        step.saw("published dlib's face network (`face-small`) through `kubectl port-forward service/gateway`")
        callers.enrol()
        step.saw(callers.verified())
        step.saw(f"references and rights that the parties hold, the same at all three: {callers.held()[0]}")
