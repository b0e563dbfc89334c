"""A data directory has one party: a second one ends with a line that names it, and the first one serves on."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from visard.cluster import Cluster, free_port_base
from visard_common.background import HopelessError
from visard_party.starting import alone_in


def elsewhere(cluster: Cluster, folder: Path) -> Path:
    """The settings of party 1, but for its ports: as of a second ``visard up`` with another port and the same directories."""
    own, other = cluster.base_port, free_port_base()
    text = (cluster.home / "party1.toml").read_text()
    for offset in range(19):
        text = text.replace(f':{own + offset}"', f':{other + offset}"')
    settings = folder / "party1.toml"
    settings.write_text(text)
    return settings


def second_party__should_end_before_it_touches_the_store_of_the_first(cluster: Cluster, tmp_path: Path) -> None:
    line = [sys.executable, "-m", "visard_party", "--config", str(elsewhere(cluster, tmp_path))]
    ended = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1, ended.stderr
    (told,) = [line for line in (ended.stdout + ended.stderr).splitlines() if line.strip()]
    assert f"another party works in {cluster.home.resolve() / 'party1'}" in told
    assert cluster.healthy("party1")


def directory__should_be_free_when_its_party_has_died(tmp_path: Path) -> None:
    script = f"""if True:
        import os, pathlib
        from visard_party.starting import alone_in
        with alone_in(pathlib.Path({str(tmp_path)!r})):
            print("begun", flush=True)
            input()
    """
    holder = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"begun\n"
    with pytest.raises(HopelessError, match=f"another party works in {tmp_path}"), alone_in(tmp_path):
        raise AssertionError("two at a time")
    holder.kill()
    holder.communicate()
    for _ in range(2):
        with alone_in(tmp_path):
            pass


def directory_that_cannot_be_made__should_be_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HopelessError, match=f"data_dir {tmp_path}/file/data: "), alone_in(tmp_path / "file" / "data"):
        raise AssertionError("nowhere")


def failure_of_a_party__should_not_be_taken_for_one_of_its_directory(tmp_path: Path) -> None:
    with pytest.raises(BlockingIOError), alone_in(tmp_path):
        raise BlockingIOError(os.strerror(11))
