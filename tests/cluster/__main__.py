"""``python -m tests.cluster``: the steps, one after the other, and the report. Without what it needs it says so and ends."""

import os
import sys
from collections.abc import Callable

from tests.cluster import begin, change, operators, upkeep
from tests.cluster.bringing import brought_up
from tests.cluster.failing import Failed
from tests.cluster.images import ROOT
from tests.cluster.kubectl import Kubectl
from tests.cluster.report import Report, Step
from tests.cluster.setting import NEEDS, from_environment, missing
from tests.cluster.world import TOOLS, World

STEPS: dict[str, tuple[str, Callable[[World, Step], None]]] = {
    "images": ("images of this source, and of a second version", begin.build),
    "node": ("a node of two CPUs", begin.node),
    "apply": ("the overlay `try`, applied and applied again", begin.apply),
    "verify": ("somebody is enrolled and verified", begin.first_answer),
    "kill": ("parties are killed", change.killed),
    "upgrade": ("an upgrade while verifications run", upkeep.upgraded),
    "prune": ("what is no more is removed", upkeep.pruned),
    "renew": ("all certificates are renewed while verifications run", change.renewed),
    "drain": ("the node is drained", upkeep.drained),
    "revert": ("a bad version is taken back", change.reverted),
    "grow": ("volumes", upkeep.grown),
    "password": ("a database's password is changed", upkeep.password),
    "lost": ("a database is lost, and a party's volume", upkeep.lost),
    "delete": ("the trial is deleted", change.gone),
    "operators": ("three operators, a gateway and a dealer, each by itself", operators.installed),
    "stolen": ("the gateway's authority vouches for a caller", operators.stolen),
    "end": ("all is deleted", operators.gone),
}


def main() -> None:
    """Run the steps; status 2 when something is missing, 1 when a step has failed."""
    if lacks := missing(os.environ):
        print(f"cluster-test cannot run: {'; '.join(lacks)}\n\n{NEEDS}", file=sys.stderr)
        sys.exit(2)
    setting = from_environment(os.environ)
    if strange := set(setting.steps) - STEPS.keys():
        sys.exit(f"STEPS: there is no {', '.join(sorted(strange))}; there are {' '.join(STEPS)}")
    os.umask(0o077)  # keys of callers are written
    world = World(setting, Kubectl(setting.kubeconfig), ROOT / "build" / "cluster")
    world.work.mkdir(parents=True, exist_ok=True)
    report = Report((setting.registry,))
    try:
        with brought_up(setting, world.kubectl) as how:
            print(how, flush=True)
            run(world, report)
    except Failed as failed:
        sys.exit(f"cluster-test failed: {failed}")
    finally:
        keep(report, world)
    print("cluster-test: all steps passed")


def keep(report: Report, world: World) -> None:
    """Write the report: of all steps that were run one by one, or of one run of all."""
    kept = world.work / "report.json"
    if not world.setting.steps:
        kept.unlink(missing_ok=True)
    if report.steps:
        report = report.with_earlier(kept, list(STEPS))
        report.save(kept)
        report.write(ROOT / "docs" / "reports" / "cluster.md")


def run(world: World, report: Report) -> None:
    """The steps that are wanted, until one fails."""
    for name, (title, function) in STEPS.items():
        if not world.setting.steps or name in world.setting.steps:
            with report.step(name, title) as step:
                function(world, step)
    if not world.setting.steps:
        world.kubectl.delete_namespaces(TOOLS)


if __name__ == "__main__":
    main()
