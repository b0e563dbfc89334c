"""deploy/k8s/upgrade.sh replaces one pod at a time, stops at a bad version, and takes it back."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.deploy.api import NAMES, Sets, served
from tests.deploy.manifests import K8S

PARTIES = [f"party-{i}" for i in (2, 1, 0)]  # party 0 leads, and comes last
Upgrade = Callable[..., tuple[int, str]]


@pytest.fixture
def upgrade(tmp_path: Path) -> Upgrade:
    """Run the script, with kubectl and an API: its status and what it said."""

    def run(sets: Sets, *options: str, wait: int = 60) -> tuple[int, str]:
        variables = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "WAIT": str(wait), "PAUSE": "0"}
        with served(sets) as address:
            command = [str(K8S / "upgrade.sh"), *options, "visard-test", f"--server={address}"]
            done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=300, check=False)
        return done.returncode, done.stdout + done.stderr

    return run


def applied(revision: str, names: tuple[str, ...] | list[str] = PARTIES) -> Sets:
    sets = Sets("one")
    sets.apply(dict.fromkeys(names, revision))
    return sets


def pods__should_be_replaced_one_at_a_time_while_all_are_ready(upgrade: Upgrade) -> None:
    sets = applied("two", NAMES)
    status, said = upgrade(sets)
    assert status == 0, said
    assert sets.deleted == [(name, 0) for name in NAMES]
    assert {(pod.revision, pod.ready) for pod in sets.pods.values()} == {("two", True)}


def workers__should_be_replaced_one_at_a_time_before_the_party_that_asks_them(upgrade: Upgrade) -> None:
    sets = Sets("one", names=("worker-0", "party-0", "party-1", "worker-1"))
    sets.apply(dict.fromkeys(sets.names, "two"))
    status, said = upgrade(sets)
    assert status == 0, said
    assert sets.deleted == [
        (pod, 0) for pod in ("worker-1-0", "worker-1-1", "party-1", "worker-0-0", "worker-0-1", "party-0")
    ]


def pods_of_the_applied_version__should_stay(upgrade: Upgrade) -> None:
    sets = applied("two")
    status, said = upgrade(sets)
    assert (status, sets.replaced()) == (0, PARTIES), said
    sets.apply({})
    status, said = upgrade(sets)
    assert (status, sets.replaced()) == (0, []), said


@pytest.mark.parametrize("bad", ["dead", "unready"])
def bad_version__should_stop_at_the_first_party(upgrade: Upgrade, bad: str) -> None:
    sets = applied(bad)
    status, said = upgrade(sets, wait=1)
    assert (status, sets.replaced()) == (1, ["party-2"])
    assert "comes party-2-0" in said
    assert "apply the version before" in said


def version_that_does_not_start__should_be_taken_back(upgrade: Upgrade) -> None:
    sets = applied("dead")
    upgrade(sets, wait=1)
    sets.apply(dict.fromkeys(PARTIES, "one"))
    status, said = upgrade(sets)
    assert (status, sets.replaced()) == (0, ["party-2"]), said


def half_an_upgrade__should_be_taken_back_from_where_it_broke(upgrade: Upgrade) -> None:
    sets = Sets("one")
    sets.apply({"party-2": "two", "party-1": "two", "party-0": "dead"})
    upgrade(sets, wait=1)
    assert sets.replaced() == PARTIES
    sets.apply(dict.fromkeys(PARTIES, "one"))
    status, said = upgrade(sets)
    assert (status, sets.replaced()) == (0, ["party-0", "party-2", "party-1"]), said


def version_that_never_gets_ready__should_be_taken_back_at_once(upgrade: Upgrade) -> None:
    sets = applied("unready")
    upgrade(sets, wait=1)
    sets.apply(dict.fromkeys(PARTIES, "one"))
    status, said = upgrade(sets, wait=1)
    assert (status, sets.replaced()) == (1, []), said
    assert "away party-2-0" in said
    status, said = upgrade(sets, "--at-once")
    assert (status, sets.replaced()) == (0, ["party-2"]), said


def other_protocol__should_go_to_all_parties_at_once(upgrade: Upgrade) -> None:
    sets = applied("two")
    status, said = upgrade(sets, "--at-once")
    assert (status, sets.replaced()) == (0, PARTIES), said
    assert sets.deleted[-1][1] > 0, "without waiting for those before"


def namespace_without_parties__should_be_said(upgrade: Upgrade) -> None:
    status, said = upgrade(Sets(names=()))
    assert (status, said) == (1, "no party in namespace visard-test\n")


def missing_namespace__should_show_how_to_ask() -> None:
    done = subprocess.run([K8S / "upgrade.sh"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("Give each party")
    assert "--at-once" in done.stderr
