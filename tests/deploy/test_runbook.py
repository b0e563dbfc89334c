"""The steps of "Upkeep in Kubernetes" in docs/operations.md are commands that a shell takes, about objects that there are."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.deploy.manifests import K8S, containers_of, of_kind, rendered, secrets_of
from tests.deploy.test_upkeep import asked, most_pods

PAGE = (K8S.parents[1] / "docs" / "operations.md").read_text()
SECTION = PAGE.split("## Upkeep in Kubernetes\n")[1].split("\n## ")[0]
BLOCKS = [
    (name, re.sub(r"^   ", "", text, flags=re.MULTILINE))
    for name, text in re.findall(r"^ *```sh (\w+)\n(.*?)^ *```$", SECTION, re.MULTILINE | re.DOTALL)
]
TEXT = "\n".join(text for _, text in BLOCKS)


@pytest.mark.parametrize(("name", "text"), BLOCKS)
def step__should_be_taken_by_a_shell(name: str, text: str, tmp_path: Path) -> None:
    done = subprocess.run(["sh", "-nu"], input=text, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, ""), name


def steps__should_name_objects_that_there_are() -> None:
    sets = {m["metadata"]["name"]: m for m in of_kind(rendered("try"), "StatefulSet")}
    claims = {
        f"{c['metadata']['name']}-{name}-0" for name, m in sets.items() for c in m["spec"]["volumeClaimTemplates"]
    }
    assert set(re.findall(r"pvc[ /]([\w-]+)", TEXT)) <= claims
    pods = set(re.findall(r"(?:pod|exec) ((?:party[\w-]+ ?)+)", TEXT))
    assert {pod for found in pods for pod in found.split()} <= {f"{name}-0" for name in sets}
    assert set(re.findall(r"statefulset[ /]([\w-]+)", TEXT)) <= sets.keys()
    containers = {c["name"] for m in sets.values() for c in containers_of(m)}
    assert set(re.findall(r" -c (\w+)", TEXT)) <= containers
    secrets = set().union(*(secrets_of(m) for m in sets.values()))
    assert set(re.findall(r"secret generic ([\w-]+)", TEXT)) <= secrets
    assert len(pods) > 2
    assert len(claims) == 6


def steps_with_private_files__should_set_the_mode_first() -> None:
    for name, text in BLOCKS:
        if "openssl rand" in text:
            assert text.index("umask 077") < text.index("openssl rand"), name
    (fetching,) = re.findall(r"```\n(.umask.*?)```", PAGE, re.DOTALL)
    assert "try/certs/$role.key" in fetching, "the callers' keys"


def what_is_pruned__should_be_every_kind_but_namespaces_and_rights() -> None:
    pruned = set(re.findall(r"--prune-allowlist=(\S+)", TEXT))
    kinds = {(m["apiVersion"], m["kind"]) for m in rendered("try")}
    own = {(version if "/" in version else f"core/{version}") + f"/{kind}" for version, kind in kinds}
    rbac = "rbac.authorization.k8s.io/v1/"
    assert own - pruned == {"core/v1/Namespace", f"{rbac}Role", f"{rbac}RoleBinding"}


def figures__should_be_those_of_the_overlay() -> None:
    manifests = rendered("try")
    workloads = of_kind(manifests, "Deployment", "StatefulSet")
    least, most = sum(map(asked, workloads)), sum(asked(m) * most_pods(m, manifests) for m in workloads)
    assert f"{least}m of CPU, {most}m while gateway and dealer" in PAGE
