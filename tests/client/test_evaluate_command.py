"""``visard evaluate`` on a tiny network: every part of a report, the picture, and one line for programs at the end."""

import itertools
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner
from visard.cli.app import app

PEOPLE = 24
NETWORK = """
import torch
from torch import nn

INPUT_SHAPE = (1, 12, 12)


def make():
    torch.manual_seed(1)
    net = nn.Sequential(nn.Conv2d(1, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(100, 8))
    with torch.no_grad():
        net[0].weight.div_(64)
        net[3].weight.mul_(2)
    return net
"""


@pytest.fixture
def asked(shared: Path, tmp_path: Path) -> list[str]:
    """A list of some of ORL's people, their groups, and a network."""
    people = [f"s{k}" for k in range(1, PEOPLE + 1)]
    pairs = [f"{name} {i} {i + 1}" for name in people for i in (1, 3)]
    pairs += [f"{name} {i} {other} {i}" for name, other in itertools.pairwise(people) for i in (1, 2)]
    (tmp_path / "pairs.txt").write_text("\n".join(pairs))
    (tmp_path / "groups.csv").write_text(
        "\n".join(f"{name},{'odd' if k % 2 else 'even'}" for k, name in enumerate(people))
    )
    (tmp_path / "net.py").write_text(NETWORK)
    orl = shared / "data" / "orl"
    found = ["evaluate", tmp_path / "pairs.txt", orl, "--face", "whole", "--network", f"{tmp_path / 'net.py'}:make"]
    found += ["--point", "default=0.3", "--point", "strict=0.1", "-o", tmp_path / "found", "--twin", 6]
    return [str(word) for word in found]


def line__should_end_what_is_printed_and_be_in_the_report(asked: list[str], shared: Path, tmp_path: Path) -> None:
    small = tmp_path / "other.txt"
    small.write_text("s30 1 2\ns31 1 2\ns30 1 s31 1\ns30 2 s32 2\n")
    more = ["--groups", str(tmp_path / "groups.csv"), "--gallery", "8", "--attack", "--attack-steps", "3", "--json"]
    more += ["--attack-rounds", "1", "--second", str(shared / "data" / "orl"), "--second-pairs", str(small)]
    done = CliRunner().invoke(app, asked + more)
    assert done.exit_code == 0, done.output
    line = json.loads(done.stdout.splitlines()[-1])
    report = json.loads((tmp_path / "found.json").read_text())
    assert (line["model"], line["failures_to_capture"]) == (f"{tmp_path / 'net.py'}:make", 0)
    assert set(line["points"]) == set(line["second"]) == set(line["identification"]["points"]) == {"default", "strict"}
    for name, point in line["points"].items():
        assert point == report["points"][name]
        for rate in ("fmr", "fnmr"):
            low, high = point[f"{rate}_interval"]
            assert 0 <= low <= point[rate] <= high <= 1
        assert point["cosine"] == pytest.approx(1 - point["distance"] ** 2 / 2)
    assert line["points"]["default"]["genuine"] == PEOPLE * 6, "every two of four photos"
    assert line["points"]["default"]["impostors"] == PEOPLE * (PEOPLE - 1) // 2 * 16
    assert line["identification"]["gallery"] == 8
    assert set(line["groups"]["default"]["groups"]) == {"even", "odd"}
    assert set(line["attack"]["covered"]["default"]["images"]) == {"1", "5", "10"}
    assert line["twin"]["pairs"] == 6
    assert "curve" in report["figures"]["float"]
    assert "thresholds" in line["calibration"]
    assert (tmp_path / "found.png").stat().st_size > 10_000


def gallery__should_be_refused_where_no_strangers_are_left(asked: list[str]) -> None:
    done = CliRunner().invoke(app, [*asked, "--gallery", str(PEOPLE)])
    assert "so that 10 are left as strangers" in str(done.exception)
