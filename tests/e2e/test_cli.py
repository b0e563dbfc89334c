"""The commands of the README work as written there: answers, exit status as grep, JSON, and errors that help."""

import json
import os
import subprocess
import sys
from pathlib import Path

from visard.cluster import Cluster

VISARD = Path(sys.executable).parent / "visard"


def visard(cluster: Cluster, *arguments: object) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"VISARD_HOME": str(cluster.home)}
    command = [str(VISARD), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, check=False)


def commands__should_enrol_verify_identify_list_and_delete(cluster: Cluster, photos: dict[str, Path]) -> None:
    enrolled = visard(cluster, "enrol", "cli-person", photos["obama"], "--json")
    assert enrolled.returncode == 0, enrolled.stderr
    assert len(json.loads(enrolled.stdout)["references"]) == 1
    verified = visard(cluster, "verify", "cli-person", photos["obama2"], "--json")
    assert verified.returncode == 0
    assert json.loads(verified.stdout)["match"] is True
    assert json.loads(verified.stdout)["rounds"] == 119
    assert visard(cluster, "verify", "cli-person", photos["biden"]).returncode == 1
    assert visard(cluster, "identify", photos["obama2"]).stdout.startswith("cli-person")
    assert visard(cluster, "identify", photos["biden"]).returncode == 1
    assert "cli-person\t1" in visard(cluster, "list").stdout
    assert visard(cluster, "delete", "cli-person").returncode == 0
    missing = visard(cluster, "verify", "cli-person", photos["obama2"])
    assert missing.returncode == 2
    assert "not enrolled" in missing.stderr


def records__should_be_renamed_exported_and_kept_in_order(cluster: Cluster, photos: dict[str, Path]) -> None:
    enrolled = visard(cluster, "enrol", "cli-before", photos["obama"], "--note", "door 7", "--ttl", 1000, "--json")
    assert enrolled.returncode == 0, enrolled.stderr
    assert visard(cluster, "rename", "cli-before", "cli-after").returncode == 0
    exported = json.loads(visard(cluster, "export", "cli-after").stdout)
    (reference,) = exported["references"]
    assert (reference["note"], bytes.fromhex(reference["metadata"])) == ("door 7", b"door 7")
    assert "only as shares" in exported["biometric_data"]
    renewed = visard(cluster, "admin", "refresh", "--json")
    assert json.loads(renewed.stdout)["references"] >= 1
    audited = visard(cluster, "admin", "audit", "--json")
    assert (audited.returncode, json.loads(audited.stdout)["clean"]) == (0, True)
    assert visard(cluster, "verify", "cli-after", photos["obama2"]).returncode == 0
    assert visard(cluster, "admin", "recover", 1).returncode != 0, "it asks first, and nobody says yes"
    assert visard(cluster, "delete", "cli-after", "--reference", reference["reference_id"]).returncode == 0


def compare__should_say_no_with_status_one(cluster: Cluster, photos: dict[str, Path]) -> None:
    answer = visard(cluster, "compare", photos["obama"], photos["biden"])
    assert (answer.returncode, answer.stdout.startswith("no match")) == (1, True)


def status__should_show_three_ready_parties(cluster: Cluster) -> None:
    answer = visard(cluster, "status", "--json")
    assert answer.returncode == 0
    assert [party["ready"] for party in json.loads(answer.stdout)["parties"]] == [True, True, True]
    assert "12.7 MB" in visard(cluster, "status").stdout.replace("\n", " ")


def health__should_need_a_home_alone(cluster: Cluster) -> None:
    for arguments in (["--home", cluster.home], [], [cluster.address("party1"), "--home", cluster.home]):
        answer = visard(cluster, "health", *arguments)
        assert (answer.returncode, answer.stdout) == (0, "serving\n"), answer.stderr


def models__should_be_listed_and_published_once(cluster: Cluster) -> None:
    assert visard(cluster, "model", "list").stdout == "face\t3x150x150 to 128\tq = 31\n"
    again = visard(cluster, "model", "publish", "face", "face-small")
    assert again.returncode == 2
    assert "published already" in again.stderr


def errors__should_name_the_remedy(cluster: Cluster, photos: dict[str, Path], tmp_path: Path) -> None:
    nobody = visard(cluster, "compare", "pyproject.toml", photos["biden"])
    assert (nobody.returncode, "not a readable" in nobody.stderr) == (2, True)
    homeless = visard(cluster, "list", "--home", tmp_path)
    assert (homeless.returncode, "visard up" in homeless.stderr) == (2, True)
    assert visard(cluster, "nonsense").returncode == 2


def certs_init__should_make_certificates_once(cluster: Cluster, tmp_path: Path) -> None:
    assert visard(cluster, "certs", "init", tmp_path / "pki").returncode == 0
    assert (tmp_path / "pki" / "party2.key").stat().st_mode & 0o777 == 0o600
    again = visard(cluster, "certs", "init", tmp_path / "pki")
    assert (again.returncode, "already" in again.stderr) == (2, True)


def rights__should_be_granted_listed_and_revoked(cluster: Cluster) -> None:
    assert visard(cluster, "admin", "grant", "enroller/cli-desk", "cli-ada").returncode == 0
    assert visard(cluster, "admin", "grant", "owner/cli-desk").returncode == 0
    assert visard(cluster, "admin", "rights").stdout.splitlines() == [
        "owner/cli-desk\tface\t(every subject)\tdefault",
        "enroller/cli-desk\tface\tcli-ada\tdefault",
    ]
    assert visard(cluster, "admin", "revoke", "enroller/cli-desk", "cli-ada").returncode == 0
    assert visard(cluster, "admin", "revoke", "owner/cli-desk").returncode == 0
    assert json.loads(visard(cluster, "admin", "rights", "--json").stdout) == []
    wrong = visard(cluster, "admin", "grant", "verifier/door")
    assert wrong.returncode == 2
    assert "request.grantee" in wrong.stderr
