"""``python -m bench.peers``: our engine and the others on the same rows, in one run; a table of ratios and JSON.

CrypTen and SPU get a virtual environment each under .peers; one that cannot be had is left out, with the reason.
"""

import argparse
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import engine
from bench.peers.export import export
from bench.rows import Row

HOME = Path(".peers")
OUT = Path("bench/out/peers.json")
TIMEOUT = 1800.0
ROWS = {
    "W1": Row("W1"),
    "W2": Row("W2"),
    "W3": Row("W3", n=100_000),
    "W4R": Row("W4R"),
    "W4P": Row("W4P"),
    "W4C": Row("W4C"),
    "W5": Row("W5"),
}
Figures = dict[str, dict[str, Any]]


class PeerAbsent(Exception):
    """A peer cannot be had here; the text says why."""


@dataclass(frozen=True)
class Peer:
    """A framework: its script, the rows it can do, and what pip installs for it, one command after another."""

    name: str
    module: str
    rows: tuple[str, ...]
    installs: tuple[tuple[str, ...], ...] = ()


HASHED = ("--require-hashes", "--no-deps", "--requirement")
PEERS = (
    Peer("MPyC's own arrays", "mpyc_peer", ("W2", "W4R", "W4P", "W4C")),
    Peer(
        "CrypTen",
        "crypten_peer",
        ("W1", "W2", "W3", "W4R", "W5"),
        (
            (*HASHED, "locks/crypten.txt"),
            ("torch==2.13.0",),
        ),
    ),
    Peer("SPU, ABY3", "spu_peer", ("W1", "W2", "W3", "W4R", "W5"), ((*HASHED, "locks/spu.txt"),)),
)


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", default=",".join(ROWS), help="comma-separated, of " + ", ".join(ROWS))
    parser.add_argument("--repeat", type=int, default=5, help="counted runs of ours; the peers' scripts say theirs")
    options = parser.parse_args()
    chosen = options.rows.split(",")
    if unknown := set(chosen) - set(ROWS):
        parser.error(f"no rows {', '.join(sorted(unknown))}")
    console = Console(stderr=True, highlight=False)
    console.print("measuring visard")
    ours = {name: _ours(ROWS[name], options.repeat) for name in chosen}
    theirs: dict[str, Figures] = {}
    absent: dict[str, str] = {}
    for peer in PEERS:
        console.print(f"measuring {peer.name}")
        try:
            theirs[peer.name] = measure(peer, [name for name in chosen if name in peer.rows])
        except PeerAbsent as error:
            absent[peer.name] = str(error)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps({"visard": ours, "peers": theirs, "absent": absent}, indent=1))
    _print(ours, theirs, absent)


def _ours(row: Row, repeat: int) -> dict[str, Any]:
    result = engine.measure(row, repeat)
    return {"seconds": result["engine_s"], "cpu_s": result["cpu_s_parties"], "sent_mb": result["sent_mb_party"]}


def measure(peer: Peer, rows: list[str]) -> Figures:
    """A peer's seconds and megabytes sent a party, by row; raises PeerAbsent."""
    if not rows:
        return {}
    python = _environment(peer)
    export(HOME)
    # CrypTen makes W1 itself, of our owner's packages, which are not installed there
    paths = os.pathsep.join((".", "client", "services/wire") if peer.name == "CrypTen" else (".",))
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | ({"PYTHONPATH": paths} if peer.installs else {})
    command = [str(python), "-m", f"bench.peers.{peer.module}", ",".join(rows), str(HOME)]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired as error:
        raise PeerAbsent(f"took longer than {TIMEOUT:.0f} s") from error
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"row"')]
    if not found:
        raise PeerAbsent(_last_line(done.stderr))
    return {result.pop("row"): result for result in found}


def _environment(peer: Peer) -> Path:
    """The interpreter with the peer's packages, made at the first time; raises PeerAbsent."""
    if not peer.installs:
        return Path(sys.executable)
    folder = HOME / peer.module
    if not (folder / "installed").exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        for packages in peer.installs:
            command = [str(folder / "bin/pip"), "install", "--quiet", *packages]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise PeerAbsent(f"pip install {' '.join(packages)}: {_last_line(done.stderr)}")
        (folder / "installed").touch()
    return folder / "bin/python"


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "it printed nothing")


def _print(ours: Figures, theirs: dict[str, Figures], absent: dict[str, str]) -> None:
    out = Console(width=150, highlight=False)
    table = Table(
        title="seconds, those of all parties' processors, and MB sent a party, online; in brackets how many times ours"
    )
    for heading in ("row", "visard", *theirs):
        table.add_column(heading, justify="right")
    for row, own in ours.items():
        table.add_row(row, _cell(own), *(_cell(figures.get(row), own) for figures in theirs.values()))
    out.print(table)
    for name, reason in absent.items():
        out.print(f"{name}: left out: {reason}")


def _cell(figures: dict[str, Any] | None, own: dict[str, Any] | None = None) -> str:
    if figures is None:
        return ""
    sent = f"{figures['sent_mb']:.3g} MB" if figures["sent_mb"] is not None else "in one process"
    parts = [
        _part(name, unit, figures, own) for name, unit in (("seconds", "s"), ("cpu_s", "s CPU")) if name in figures
    ]
    return ", ".join([*parts, sent])


def _part(name: str, unit: str, figures: dict[str, Any], own: dict[str, Any] | None) -> str:
    ratio = f" ({figures[name] / own[name]:.0f}x)" if own is not None else ""
    return f"{figures[name]:.3g} {unit}{ratio}"


if __name__ == "__main__":
    main()
