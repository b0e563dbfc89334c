"""The section "Upkeep in Kubernetes" of docs/operations.md, block by block, on the trial."""

import json

from tests.cluster.begin import changed, running
from tests.cluster.bringing import nodes
from tests.cluster.callers import Callers, Load
from tests.cluster.change import check_version
from tests.cluster.failing import check
from tests.cluster.images import Pinned
from tests.cluster.report import Step
from tests.cluster.runbook import Shell, commands, section
from tests.cluster.world import TRY, World

OLD, LABELS = "of-a-version-before", {"app.kubernetes.io/part-of": "visard"}
UPKEEP = "## Upkeep in Kubernetes"


def shell(world: World, pinned: Pinned | None = None) -> Shell:
    """The operator's shell, at the trial."""
    overlay = world.trial(pinned or world.images.second)
    made = Shell(world.work / "upkeep", world.setting.kubeconfig, {"N": TRY, "O": str(overlay)})
    made.begin()
    return made


def told(world: World, name: str) -> str:
    """Run the blocks of a name."""
    return shell(world).run(commands(section(UPKEEP), name))


def upgraded(world: World, step: Step) -> None:
    """One version on, one party after the other, while verifications run."""
    with world.callers() as callers:
        callers.ready()
        load = Load(callers)
        with load.running():
            said = shell(world, world.images.second).run(commands(section(UPKEEP), "upgrade"))
            world.kubectl.wait_ready(TRY)
        lines = [line.partition(" ")[2] for line in said.splitlines()]
        replaced = "; ".join(line for line in lines if line.startswith(("replacing", "all are")))
        step.saw(f"the blocks `upgrade` with the second version of all images; `upgrade.sh` said: {replaced}")
        check_version(world, world.images.second)
        step.saw("every pod is of the second version")
        step.saw(load.told())
        step.saw(callers.verified())


def pruned(world: World, step: Step) -> None:
    """What a version has no more goes, and nothing else."""
    folder = world.trial(world.images.second)
    # as a version before would have left it: applied, with the label, and no longer in the overlay
    old = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": OLD, "namespace": TRY, "labels": LABELS}}
    world.kubectl("apply", "-f", "-", stdin=json.dumps(old))
    said = told(world, "prune")
    check(not world.kubectl.exists("configmap", OLD, "-n", TRY), f"{OLD} is still there")
    again = world.kubectl("apply", "-k", folder).splitlines()
    check(not changed(again), f"after prune an apply changes {changed(again)}")
    gone = [line for line in said.splitlines() if line.endswith(" pruned")]
    step.saw(f"the block `prune` took away {len(gone)} objects; an apply after it says of all others: unchanged")


def drained(world: World, step: Step) -> None:
    """A drain ends; after it the pods come back, with what they had."""
    (node,) = nodes(world.kubectl)
    with world.callers() as callers:
        before = callers.held()
    on_node = shell(world)
    on_node.variables["NODE"] = node
    on_node.run(commands(section(UPKEEP), "drain"))
    left = [p["metadata"]["name"] for p in running(world.kubectl.items("pods", "-n", TRY), node)]
    check(not left, f"left on the node: {left}")
    step.saw("the block `drain` ended, and no pod of ours was left on the node")
    on_node.run(commands(section(UPKEEP), "undrain"))
    as_before(world, step, before, "the block `undrain`: all were ready again")


def as_before(world: World, step: Step, before: tuple[int, ...], what: str) -> None:
    """All are ready, and hold what they held."""
    world.kubectl.wait_ready(TRY)
    with world.callers() as callers:
        callers.ready()
        after = callers.held()
        check(after == before, f"before {before}, after {after}")
        step.saw(f"{what}; references and rights are as before at all three: {before[0]}")
        step.saw(callers.verified())


def held(world: World) -> tuple[int, ...]:
    """What the parties hold now."""
    with world.callers() as callers:
        callers.ready()
        return callers.held()


def grown(world: World, step: Step) -> None:
    """The volumes are looked at, and the StatefulSet made anew around its pod."""
    before = held(world)
    used = told(world, "full").splitlines()
    check(len(used) == 4, f"df says {used}")
    step.saw("the block `full` shows the volumes of database and party")
    classes = world.kubectl.items("storageclass")
    if any(c.get("allowVolumeExpansion") for c in classes):
        told(world, "grow")
        step.saw("the block `grow`: the claim got larger")
    else:
        step.saw("no storage class of this cluster grows claims: the block `grow` was not run")
    pod = world.kubectl.get("pod", "party-mongodb-0-0", "-n", TRY)["metadata"]["uid"]
    told(world, "grown")
    check(world.kubectl.get("pod", "party-mongodb-0-0", "-n", TRY)["metadata"]["uid"] == pod, "the pod was replaced")
    as_before(world, step, before, "the block `grown`: the StatefulSet was made anew, its pod went on")


def password(world: World, step: Step) -> None:
    """A party gets another password."""
    before = held(world)
    old = world.kubectl.get("secret", "party-mongodb-0", "-n", TRY)["data"]["password"]
    told(world, "password")
    check(world.kubectl.get("secret", "party-mongodb-0", "-n", TRY)["data"]["password"] != old, "it is the old one")
    as_before(world, step, before, "the blocks `password`: party 0 has another one")


def lost(world: World, step: Step) -> None:
    """A database is lost, and written anew from the two others; then a party's own volume."""
    before = held(world)
    claim = world.kubectl.get("pvc", "data-party-mongodb-0-0", "-n", TRY)["metadata"]["uid"]
    told(world, "lost")
    world.kubectl("-n", TRY, "wait", "--for=condition=Ready", "pod/party-mongodb-0-0", "--timeout=600s", seconds=660)
    check(
        world.kubectl.get("pvc", "data-party-mongodb-0-0", "-n", TRY)["metadata"]["uid"] != claim,
        "it is the old volume",
    )
    with world.callers() as callers:
        recovered(world, callers)
    as_before(
        world,
        step,
        before,
        "the blocks `lost` and `recover`: party 0's database is empty, and written anew from the others",
    )
    told(world, "emptied")
    as_before(world, step, before, "the block `emptied`: party 0 has an empty volume of its own")


def recovered(world: World, callers: Callers) -> None:
    """The block, with the callers' files."""
    operator = shell(world)
    (operator.folder / "try").symlink_to(callers.home)
    operator.run(commands(section(UPKEEP), "recover"))
