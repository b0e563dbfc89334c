"""After a failed audit an operator's word on the party's machine brings it back; what the settings say of audits is checked."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pydantic import ValidationError
from visard.cluster import Cluster
from visard_common.config import read
from visard_common.errors import FailedPrecondition
from visard_party.config import PartyConfig
from visard_party.kits.assembly import trust
from visard_party.kits.auditing import Counts
from visard_party.kits.trust import Trust
from visard_party.service import status
from visard_party.worker.config import WorkerConfig


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    cluster = Cluster(tmp_path_factory.mktemp("home"))
    cluster.prepare()
    return cluster


def settings(cluster: Cluster, **changed: Any) -> PartyConfig:
    return read(PartyConfig, cluster.home / "party1.toml", **changed)


def operator__should_bring_a_party_back(prepared: Cluster) -> None:
    config = settings(prepared)
    command = [sys.executable, "-m", "visard_party.believe", "--config", f"{prepared.home}/party1.toml"]

    def said() -> str:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, env=os.environ)
        return done.stdout

    held = Trust(config.data_dir / "kits", 1)
    held.lose("the dealer failed the audit of kit 7 of plan abc (tag)")
    assert "party 1 believes the dealer again; before: the dealer failed the audit of kit 7" in said()
    assert held.problem == ""
    assert said() == "nothing is held against it\n"


def operator__should_bring_a_worker_back(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, workers=2)
    cluster.prepare()
    file = cluster.home / "party1-worker1.toml"
    config = read(WorkerConfig, file)
    lost = trust(config, config.number)
    lost.lose("the dealer failed the audit of kit 7 of plan abc (tag)")
    with pytest.raises(FailedPrecondition, match=r"worker 1 of party 1: .*python -m visard_party\.worker\.believe"):
        lost.require()
    command = [sys.executable, "-m", "visard_party.worker.believe", "--config", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, env=os.environ)
    assert done.stdout.startswith("worker 1 of party 1 believes the dealer again; before: the dealer failed")
    assert lost.problem == ""


def one_kit_in_sixteen__should_be_audited_unless_the_operator_says_otherwise(prepared: Cluster) -> None:
    assert settings(prepared).audit_one_in == 16
    for allowed in (0, 2, 65536):
        assert settings(prepared, audit_one_in=allowed).audit_one_in == allowed


@pytest.mark.parametrize(("wrong", "text"), [(1, "none is left"), (-1, "greater than"), (65537, "less than")])
def share_that_makes_no_sense__should_be_refused(prepared: Cluster, wrong: int, text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        settings(prepared, audit_one_in=wrong)


def status__should_tell_how_audits_have_ended() -> None:
    stock = SimpleNamespace(choosing=SimpleNamespace(one_in=16))
    party = SimpleNamespace(auditor=SimpleNamespace(counts=Counts(3, 1, 2)), stock=stock)
    told = status._audits(cast(Any, party))
    assert (told.one_in, told.passed, told.failed, told.unanswered) == (16, 3, 1, 2)
