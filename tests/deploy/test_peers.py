"""The bench next to other engines: one that fails or does not end costs its own figures, and nothing that it started stays."""

import json
import sys
import time
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from bench.peers import __main__ as peers
from bench.peers import running
from bench.peers.running import StepFailed
from tests.waiting import becomes

FIGURES = {"row": "W5", "seconds": 2.0, "cpu_s": 1.0, "sent_mb": None}
PRINTS = f"echo '{json.dumps(FIGURES)}'"
HANGS = "exec sleep 600"
FAILS = "echo MemoryError >&2; exit 1"


def shell(*lines: str) -> list[str]:
    return ["sh", "-c", "\n".join(lines)]


def program__should_leave_nothing_behind() -> None:
    printed, reason = running.run(shell("sleep 600 >&- 2>&- &", "echo $!"), 60)
    assert reason == ""
    assert becomes(lambda: gone(int(printed)))


def gone(process: int) -> bool:
    try:
        return bool(psutil.Process(process).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def figures_that_were_printed__should_be_kept_from_one_that_does_not_end() -> None:
    assert running.figures(shell(PRINTS, HANGS), 2.0) == FIGURES
    with pytest.raises(StepFailed, match="MemoryError"):
        running.figures(shell("echo 1", FAILS), 60)
    with pytest.raises(StepFailed, match="it printed no result"):
        running.figures(shell("echo 1"), 60)


def one_peer__should_not_cost_the_others_their_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = {"visard_peer": PRINTS, "crypten_peer": FAILS, "spu_peer": HANGS, "mpyc_peer": PRINTS}
    written: list[set[str]] = []

    def command(peer: peers.Peer, row: str, interpreter: str) -> list[str]:
        if results.file.exists():
            written.append(set(json.loads(results.file.read_text())["figures"]))
        return shell(codes[peer.module])

    monkeypatch.setattr(peers, "command", command)
    monkeypatch.setattr(peers, "SECONDS", {"W5": 2.0})
    results = peers.Results(tmp_path / "out" / "peers.json")
    everybody = {peer.name: sys.executable for peer in peers.PEERS}
    console = Console(quiet=True)
    peers.measure([("W5", peer) for peer in peers.PEERS], everybody, time.monotonic() + 600, results, console)
    found = json.loads(results.file.read_text())
    assert set(found["figures"]) == {"visard", "MPyC's own arrays"}
    assert found["absent"] == {"CrypTen": {"W5": "MemoryError"}, "SPU, ABY3": {"W5": "not through after 2 s"}}
    assert written[-1] == {"visard"}, "as it came"
    peers.measure([("W1", peers.PEERS[0])], everybody, time.monotonic(), results, console)
    assert json.loads(results.file.read_text())["absent"]["visard"] == {"W1": "no time was left"}
