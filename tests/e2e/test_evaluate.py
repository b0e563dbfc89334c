"""What a network decides is evaluated in float, in fixed point and through running services, and the three agree."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from visard.cluster import Cluster

from tests.e2e.test_cli import visard

QUESTIONS = 4


@pytest.fixture(scope="module")
def orl(shared: Path) -> Path:
    return shared / "data" / "orl"


@pytest.fixture(scope="module", params=["classic-contrastive", "resnet-entropy"])
def trained(request: pytest.FixtureRequest, cluster: Cluster, orl: Path, tmp_path_factory: Any) -> Iterator[Path]:
    """A network of each kind after a few steps of training, published under its name."""
    file = tmp_path_factory.mktemp("trained") / f"{request.param}.safetensors"
    done = visard(cluster, "train", request.param, orl, "-o", file, "--steps", 10, "--split", "person")
    assert done.returncode == 0, done.stderr
    opened = ("--open-output",) if request.param.endswith("entropy") else ()
    published = visard(cluster, "model", "publish", request.param, file, "--calibration", orl, "--allow-loose", *opened)
    assert published.returncode == 0, published.stderr
    yield file
    assert visard(cluster, "model", "delete", request.param).returncode == 0


def trained_network__should_decide_on_shares_as_in_float(
    trained: Path, cluster: Cluster, orl: Path, tmp_path: Path
) -> None:
    pairs = tmp_path / "pairs.txt"
    every = trained.with_suffix(".pairs.txt").read_text().splitlines()
    pairs.write_text("\n".join(every[::50]))
    ask = (
        "evaluate",
        pairs,
        orl,
        "--face",
        "whole",
        "--network",
        trained,
        "--calibration",
        orl,
        "-o",
        tmp_path / "found",
    )
    done = visard(cluster, *ask, "--model", trained.stem, "--secure", QUESTIONS)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "found.json").read_text())
    assert report["secure"]["pairs"] == QUESTIONS
    assert report["secure"]["differ_from_twin"] <= 1  # an untrained network's scores may lie at the threshold
    assert report["twin"]["pairs"] == len(every[::50])
    assert report["points"]["default"]["genuine"] > 0
    assert report["genuine"] + report["impostors"] == len(every[::50])
    assert (tmp_path / "found.png").stat().st_size > 10_000


def pair__should_be_judged_by_one_bit(trained: Path, cluster: Cluster, orl: Path) -> None:
    if trained.stem != "resnet-entropy":
        refused = visard(cluster, "run", trained.stem, orl / "s1" / "1.pgm")
        assert (refused.returncode, "published for matching" in refused.stderr) == (2, True)
        return
    done = visard(cluster, "run", trained.stem, orl / "s1" / "1.pgm", orl / "s1" / "2.pgm", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["output"] in ([0.0], [1.0])
    alone = visard(cluster, "run", trained.stem, orl / "s1" / "1.pgm")
    assert (alone.returncode, "takes 2 pictures at once" in alone.stderr) == (2, True)


def face_network__should_be_evaluated_and_its_points_published(cluster: Cluster, orl: Path, tmp_path: Path) -> None:
    genuine = [f"s{k} 1 2" for k in range(1, 5)]
    (tmp_path / "pairs.txt").write_text("\n".join(genuine + [f"s{k} 1 s{k + 10} 1" for k in range(1, 5)]))
    known = ("--network", "face-small", "--secure", QUESTIONS, "--json")
    ask = ("evaluate", tmp_path / "pairs.txt", orl, "-o", tmp_path / "found", *known)
    done = visard(cluster, *ask, "--operating-point", "FMR_1E3")
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "found.json").read_text())
    assert report["failures"] == {}
    assert report["twin"]["decisions_differ"]["default"] == 0
    line = json.loads(done.stdout.splitlines()[-1])
    assert (line["model"], line["failures_to_capture"]) == ("face-small", 0)
    assert line["points"]["FMR_1E4"]["fnmr_interval"] == report["points"]["FMR_1E4"]["fnmr_interval"]
    assert (report["secure"]["operating_point"], report["secure"]["differ_from_float"]) == ("FMR_1E3", 0)
    assert report["figures"]["float"]["accuracy"] == 1
    unknown = visard(cluster, *ask, "--operating-point", "lenient")
    assert (unknown.returncode, "default" in unknown.stderr) == (2, True)
