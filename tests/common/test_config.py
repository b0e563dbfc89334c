"""What a service was told can be read back by its operator, and no secret of it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from visard.cluster import Cluster

from tests.common.begun import begun

PASSWORD = "s3cr3t"


def printed(cluster: Cluster, name: str, *options: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    given = ("--config", f"{cluster.home}/{name}.toml", "--print-config", *options)
    return begun(service_of(name), *given, environment=environment)


def service_of(name: str) -> str:
    return "party" if name.startswith("party") else name


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    cluster = Cluster(tmp_path_factory.mktemp("home"))
    cluster.prepare()
    return cluster


@pytest.mark.parametrize("name", ["dealer", "party0", "gateway"])
def printed_configuration__should_be_whole_and_hold_no_key(prepared: Cluster, name: str) -> None:
    command = [sys.executable, "-m", f"visard_{service_of(name)}", "--config", f"{prepared.home}/{name}.toml"]
    environment = os.environ | {"VISARD_DRAIN_SECONDS": "7.5"}
    done = subprocess.run(
        [*command, "--print-config"], capture_output=True, text=True, timeout=60, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == printed(prepared, name, VISARD_DRAIN_SECONDS="7.5").stdout
    shown = json.loads(done.stdout)
    assert shown["listen"] == prepared.address(name)
    assert shown["drain_seconds"] == 7.5
    assert shown["log_level"] == "info"
    assert shown["tls"]["key"].endswith(f"{name}.key")
    assert "PRIVATE KEY" not in done.stdout


def key_files__should_not_be_read(prepared: Cluster, tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.key")
    done = printed(prepared, "party0", VISARD_TLS__KEY=missing)
    assert json.loads(done.stdout)["tls"]["key"] == missing


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        (f"mongodb://party0:{PASSWORD}@db:27017/visard?tls=true", "mongodb://party0:***@db:27017/visard?tls=true"),
        (f"mongodb+srv://party0:{PASSWORD}@a,b/visard", "mongodb+srv://party0:***@a,b/visard"),
        (f"mongodb://u:p@ss/{PASSWORD}@db/visard", "mongodb://u:***@db/visard"),
        (f"mongodb://db/?tlsCertificateKeyFilePassword={PASSWORD}&w=1", "mongodb://db/?tlsCertificateKeyFilePassword=***&w=1"),
        (f"mongodb://db/?authMechanismProperties=AWS_SESSION_TOKEN:{PASSWORD}", "mongodb://db/?authMechanismProperties=***"),
        ("mongodb://db:27017/visard", "mongodb://db:27017/visard"),
        ("sqlite", "sqlite"),
    ],
)  # fmt: skip
def password_of_a_store__should_be_hidden(prepared: Cluster, uri: str, expected: str) -> None:
    done = printed(prepared, "party1", VISARD_STORE=uri)
    assert json.loads(done.stdout)["store"] == expected
    assert PASSWORD not in done.stdout + done.stderr


def directory_of_secrets__should_override_the_file_and_be_hidden_as_well(prepared: Cluster, tmp_path: Path) -> None:
    (tmp_path / "visard_store").write_text(f"mongodb://party1:{PASSWORD}@db:27017/visard\n")
    given = ("--secrets", str(tmp_path))
    done = printed(prepared, "party1", *given)
    assert json.loads(done.stdout)["store"] == "mongodb://party1:***@db:27017/visard"
    assert PASSWORD not in done.stdout + done.stderr
    assert json.loads(printed(prepared, "party1", *given, VISARD_STORE="sqlite").stdout)["store"] == "sqlite"
    missing = printed(prepared, "party1", "--secrets", str(tmp_path / "none"))
    assert (missing.returncode, "there is no directory" in missing.stderr) == (1, True)


def wrong_address__should_be_named_at_the_start(prepared: Cluster) -> None:
    done = printed(prepared, "party1", VISARD_DEALER="dealer.example")
    assert (done.returncode, "configuration: dealer:" in done.stderr) == (1, True)
