"""A newcomer's first steps work as the README has them: the commands, and the program."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from visard import SyncClient
from visard.cluster import Cluster
from visard.connection import Connection

ROOT = Path(__file__).parents[2]
SUBJECT = "obama"


def block(language: str) -> str:
    """The first block of a language in the section First success."""
    section = (ROOT / "README.md").read_text().partition("## First success")[2].partition("\n## ")[0]
    found = re.search(rf"^```{language}\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def run(cluster: Cluster, command: list[str]) -> str:
    """Standard output, beside the Makefile, at the cluster of the tests."""
    environment = os.environ | {"VISARD_HOME": str(cluster.home)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def forgotten(cluster: Cluster) -> Iterator[None]:
    """Whom the README enrols is not enrolled afterwards."""
    yield
    with SyncClient(Connection.from_home(cluster.home)) as client:
        client.delete(SUBJECT)


@pytest.mark.usefixtures("forgotten")
def first_commands__should_end_with_a_match(cluster: Cluster) -> None:
    lines = [shlex.split(line, comments=True) for line in block("").splitlines()]
    assert lines[:3] == [["make", ".photos/obama.jpg"], [".", ".venv/bin/activate"], ["visard", "up"]]
    answers = [run(cluster, [str(Path(sys.executable).with_name(words[0])), *words[1:]]) for words in lines[3:]]
    assert len(answers) == 2
    assert answers[-1].startswith("match")


@pytest.mark.usefixtures("forgotten")
def first_program__should_print_true(cluster: Cluster, tmp_path: Path) -> None:
    text = block("python")
    assert text.count('Path(".visard")') == 1
    program = tmp_path / "first.py"
    program.write_text(text.replace('Path(".visard")', f"Path({str(cluster.home)!r})"))
    assert run(cluster, [sys.executable, str(program)]) == "True\n"
