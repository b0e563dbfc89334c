"""What ``make cluster-test`` is made of, as far as it can be tried without a cluster."""

import base64
import json
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster import __main__ as program
from tests.cluster import images, operators, upkeep
from tests.cluster.begin import changed, running
from tests.cluster.callers import Callers, Load, home
from tests.cluster.failing import Failed, until
from tests.cluster.images import Images, overlay
from tests.cluster.kubectl import asked_for, is_ready, mebibytes, millis, restarts, waiting
from tests.cluster.report import Report
from tests.cluster.runbook import Shell, commands, section
from tests.cluster.setting import NEEDS, from_environment, missing
from tests.cluster.world import K8S, MORE
from tests.deploy.manifests import of_kind

PINNED = {role: f"registry:5000/visard/{role}@sha256:{'1' * 64}" for role in images.PLACEHOLDERS}


def environment_without_a_cluster__should_be_told_what_is_missing() -> None:
    command = [sys.executable, "-m", "tests.cluster"]
    done = subprocess.run(
        command, env={"PATH": ""}, cwd=images.ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith(
        "cluster-test cannot run: KUBECONFIG is not set; REGISTRY is not set; kubectl is not on"
    )
    assert NEEDS in done.stderr


def what_is_missing__should_be_named(tmp_path: Path) -> None:
    there = {"KUBECONFIG": "x", "REGISTRY": "y"}
    assert missing(there, lambda name: name) == []
    assert missing(there, lambda name: None if name == "podman" else name) == ["podman is not on this machine"]
    found = missing(there | {"CLUSTER": str(tmp_path)}, lambda name: name)
    assert found == ["CLUSTER has no start-control.sh", "CLUSTER has no start-node.sh"]


def setting__should_be_read_from_the_environment() -> None:
    given = {
        "KUBECONFIG": "/x",
        "REGISTRY": "127.0.0.1:5000",
        "BUILD": "--pull=never -v 'a b:c'",
        "STEPS": "node apply",
    }
    setting = from_environment(given)
    assert setting.build == ("--pull=never", "-v", "a b:c")
    assert setting.steps == ("node", "apply")
    assert setting.push_options == ["--tls-verify=false"]
    assert setting.mongo == "docker.io/library/mongo:6.0"
    assert from_environment(given | {"REGISTRY": "registry.example"}).push_options == []


def overlay__should_pin_every_image_of_the_trial(tmp_path: Path) -> None:
    made = overlay(tmp_path / "try", K8S / "overlays" / "try", PINNED, MORE)
    command = ["kubectl", "kustomize", str(made)]
    text = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    assert set(re.findall(r"image: (\S+)", text)) == set(PINNED.values())
    parties = [
        m for m in of_kind(list(yaml.safe_load_all(text)), "StatefulSet") if "mongodb" not in m["metadata"]["name"]
    ]
    for party in parties:
        assert party["spec"]["template"]["spec"]["containers"][0]["env"][0]["name"] == "VISARD_ATTEMPTS_SUBJECT"
    assert len(parties) == 3


@pytest.mark.parametrize("name", ["operator", "gateway", "dealer"])
def operators_overlay__should_fit_a_small_node_and_name_this_clusters_services(name: str, tmp_path: Path) -> None:
    shell = Shell(tmp_path / "operator", tmp_path / "kubeconfig")
    shell.begin()
    folder = shell.folder / "deploy" / "k8s" / "overlays" / name
    operators.adapt(folder, PINNED, 7300)
    text = subprocess.run(
        ["kubectl", "kustomize", folder], capture_output=True, text=True, timeout=60, check=True
    ).stdout
    assert "registry.example" not in text
    assert ".example" not in "".join(path.read_text() for path in folder.glob("*.toml"))
    for workload in of_kind(list(yaml.safe_load_all(text)), "StatefulSet", "Deployment"):
        assert workload["spec"]["template"]["spec"]["containers"][0]["resources"] == operators.SMALL


def host_names__should_be_those_of_services() -> None:
    assert operators.here("--host party1.example", 1) == "--host party-1.visard-party-1"
    assert operators.here('gateway = "gateway.example:7300"', 1234) == 'gateway = "localhost:1234"'
    assert "--host localhost" in operators.here("visard certs init pki --only gateway --host gateway.example", 1)


def callers_keys__should_be_for_their_owner_alone(tmp_path: Path) -> None:
    data = {key: base64.b64encode(key.encode()).decode() for key in ("tls.crt", "tls.key", "ca.crt")}
    made = home(tmp_path / "callers", "localhost:1", dict.fromkeys(("verifier", "client", "owner", "admin"), data))
    made = home(made, "localhost:2", dict.fromkeys(("verifier", "client", "owner", "admin"), data))
    for key in (made / "certs").glob("*.key"):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert (made / "certs" / "ca.pem").read_text() == "ca.crt"
    assert 'gateway = "localhost:2"' in (made / "client.toml").read_text()


def load_that_lost_something__should_fail(tmp_path: Path) -> None:
    load = Load(Callers(tmp_path), answers=3)
    assert "3 verifications" in load.told()
    load.lost.append("Unavailable: away")
    with pytest.raises(Failed, match="1 lost"):
        load.told()


def report__should_tell_steps_and_no_places() -> None:
    report = Report(("10.0.0.1:5000",))
    with report.step("one", "a first step") as step:
        step.saw(f"pushed 10.0.0.1:5000/visard/party@sha256:{'ab' * 32} from /tmp/x/y")
    with pytest.raises(Failed), report.step("two", "a second one"):
        raise Failed("it was not so")
    text = report.text()
    assert "pushed REGISTRY/visard/party@sha256:... from ..." in text
    assert "- **failed**: it was not so" in text
    assert re.search(r"^\| two \| \*\*failed\*\* \| 0 \|$", text, re.MULTILINE)


def waiting_for_something__should_end() -> None:
    assert until("there", lambda: "found", 0) == "found"
    with pytest.raises(Failed, match="never: not within 0 s"):
        until("never", lambda: None, 0, pause=0)


def workload(name: str, ready: int, *, generation: int = 1, seen: int = 1) -> dict[str, Any]:
    status = {"observedGeneration": seen, "readyReplicas": ready}
    return {"metadata": {"name": name, "generation": generation}, "spec": {"replicas": 1}, "status": status}


def workloads__should_be_ready_when_their_controller_says_so_of_what_was_applied() -> None:
    given = [workload("good", 1), workload("away", 0), workload("unseen", 1, generation=2)]
    assert waiting(given) == ["away", "unseen"]
    assert waiting([{"metadata": {"name": "new"}, "spec": {}}]) == ["new"]


def pod(requests: list[dict[str, str]], **status: Any) -> dict[str, Any]:
    containers = [{"name": "c", "resources": {"requests": request}} for request in requests]
    return {"metadata": {"name": "p"}, "spec": {"nodeName": "n", "containers": containers}, "status": status}


def what_pods_ask_for__should_be_counted() -> None:
    assert (millis("1"), millis("250m"), millis("0.5")) == (1000, 250, 500)
    assert (mebibytes("1Gi"), mebibytes("64Mi"), mebibytes("1048576")) == (1024, 64, 1)
    assert asked_for([pod([{"cpu": "100m", "memory": "64Mi"}, {"cpu": "1"}]), pod([{}])]) == (1100, 64)
    assert running([pod([{}], phase="Succeeded")], "n") == []


def state_of_a_pod__should_be_read() -> None:
    conditions = [{"type": "Ready", "status": "True"}]
    found = pod([{}], conditions=conditions, containerStatuses=[{"name": "c", "restartCount": 2}])
    assert is_ready(found)
    assert (restarts(found, "c"), restarts(found, "other")) == (2, 0)
    found["metadata"]["deletionTimestamp"] = "now"
    assert not is_ready(found)


def images__should_be_kept_for_later_steps(tmp_path: Path) -> None:
    made = Images(PINNED, PINNED, {})
    made.save(tmp_path / "images.json")
    assert Images.load(tmp_path / "images.json") == made
    assert json.loads((tmp_path / "images.json").read_text())["first"] == PINNED


@pytest.mark.parametrize(
    "name", ["upgrade", "prune", "drain", "undrain", "full", "grow", "grown", "password", "lost", "recover", "emptied"]
)
def runbook__should_have_the_blocks_that_are_run(name: str) -> None:
    assert "kubectl" in commands(section(upkeep.UPKEEP), name) or "visard" in commands(section(upkeep.UPKEEP), name)


def block_that_is_not_there__should_be_missed() -> None:
    with pytest.raises(Failed, match="no block 'nothing'"):
        commands(section(upkeep.UPKEEP), "nothing")


def shell__should_say_what_has_failed(tmp_path: Path) -> None:
    shell = Shell(tmp_path / "operator", tmp_path / "kubeconfig", {"N": "here"})
    shell.begin()
    assert shell.run("echo $N; test -x deploy/k8s/upgrade.sh") == "here\n"
    with pytest.raises(Failed, match="false"):
        shell.run("false\necho later")


def steps__should_be_told_in_what_is_needed() -> None:
    assert all(re.fullmatch(r"[a-z]+", name) for name in program.STEPS)
    assert "tests/cluster/__main__.py" in NEEDS


def apply_that_changes_something__should_be_noticed() -> None:
    budget = "poddisruptionbudget.policy/party configured"
    assert changed(["deployment.apps/dealer unchanged", budget]) == []
    assert changed(["deployment.apps/dealer configured", budget]) == ["deployment.apps/dealer configured"]


def steps_run_one_by_one__should_come_into_one_report(tmp_path: Path) -> None:
    first, second = Report(), Report()
    for report, names in ((first, ("two", "three")), (second, ("one", "two"))):
        for name in names:
            with report.step(name, f"step {name}") as step:
                step.saw(f"{name} of {len(report.steps)}")
    first.save(tmp_path / "report.json")
    whole = second.with_earlier(tmp_path / "report.json", ["one", "two", "three"])
    assert [step.seen for step in whole.steps] == [["one of 1"], ["two of 2"], ["three of 2"]]
    assert second.with_earlier(tmp_path / "nothing", ["one"]).steps == second.steps[:1]
