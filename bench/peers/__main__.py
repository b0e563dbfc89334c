"""``python -m bench.peers``: our engine and the others on the same rows, in one run; a table of ratios and JSON.

CrypTen and SPU get a virtual environment each under .peers; one that cannot be had is left out, with the reason. Each row of
each framework is a program of its own with a deadline, and all of them have one together (--minutes; installing is not in it):
what fails or does not end costs its own figures only, and bench/out/peers.json is written anew after each. Processor
seconds are what compares on a machine that has other work.
"""

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.peers import running
from bench.peers.running import Figures, StepFailed

HOME = Path(".peers")
OUT = Path("bench/out/peers.json")
MINUTES = 24.0
INSTALL_SECONDS = 900.0
EXPORT_SECONDS = 240.0
ROWS = ("W5", "W1", "W2", "W3", "W4R", "W4R:50", "W4P:50", "W4C")
LONG_ROWS = ("W4P",)  # by their name alone: MPyC needs minutes for them
SECONDS = {"W5": 480.0, "W1": 300.0}  # deadlines of a row, on a machine that is busy
_SECONDS = 180.0
OURS = "visard"


@dataclass(frozen=True)
class Peer:
    """A framework: its script, the rows it can do, and what pip installs for it, one command after another.

    ``long``: rows that it does only when they are asked for with --long.
    """

    name: str
    module: str
    rows: tuple[str, ...]
    installs: tuple[tuple[str, ...], ...] = ()
    long: tuple[str, ...] = ()


HASHED = ("--require-hashes", "--no-deps", "--requirement")
PEERS = (
    Peer(OURS, "visard_peer", (*ROWS, *LONG_ROWS)),
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
    Peer("MPyC's own arrays", "mpyc_peer", ("W4R:50", "W4P:50", "W4C"), long=("W2", "W4R", "W4P")),
)


@dataclass
class Results:
    """What is known so far: figures by framework and row, and why others are missing."""

    file: Path
    figures: dict[str, dict[str, Figures]] = field(default_factory=dict)
    absent: dict[str, dict[str, str]] = field(default_factory=dict)
    load: dict[str, float] = field(default_factory=dict)  # processes that wanted a core, when a row began

    def write(self) -> None:
        """All of it, in one step."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        new = self.file.with_suffix(".new")
        parts = {"figures": self.figures, "absent": self.absent, "load": self.load, "cores": os.cpu_count()}
        new.write_text(json.dumps(parts, indent=1))
        new.replace(self.file)

    def keep(self, peer: str, row: str, found: Figures | str) -> None:
        """Figures of a row, or why there are none."""
        if isinstance(found, str):
            self.absent.setdefault(peer, {})[row] = found
        else:
            self.figures.setdefault(peer, {})[row] = found
        self.write()


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default=",".join(ROWS), help="comma-separated, of " + ", ".join((*ROWS, *LONG_ROWS)))
    parser.add_argument("--minutes", type=float, default=MINUTES, help="deadline of all rows together")
    parser.add_argument("--long", action="store_true", help="MPyC's rows that take minutes as well")
    options = parser.parse_args()
    chosen = options.rows.split(",")
    if unknown := set(chosen) - {*ROWS, *LONG_ROWS}:
        parser.error(f"no rows {', '.join(sorted(unknown))}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench.peers: ended"))  # and with it what it has started
    console = Console(stderr=True, highlight=False)
    steps = [(row, peer) for row in chosen for peer in PEERS if row in peer.rows + (peer.long if options.long else ())]
    results = Results(OUT)
    pythons = environments(list(dict.fromkeys(peer for _, peer in steps)), results, console)
    end = time.monotonic() + 60 * options.minutes
    measure(steps, pythons, end, results, console)
    _print(chosen, results)


def environments(peers: Sequence[Peer], results: Results, console: Console) -> dict[str, str]:
    """The interpreter of each framework that can be had; and what those read that have not our packages."""
    found = {}
    for peer in peers:
        try:
            found[peer.name] = environment(peer)
        except StepFailed as error:
            console.print(f"{peer.name} is left out: {error}")
            results.keep(peer.name, "all", str(error))
    if any(peer.installs for peer in peers):
        console.print("writing down the networks")
        _, failed = running.run([sys.executable, "-m", "bench.peers.export", str(HOME)], EXPORT_SECONDS)
        if failed:
            results.keep("networks", "all", failed)
    return found


def environment(peer: Peer) -> str:
    """The interpreter with the peer's packages, made at the first time; raises StepFailed."""
    if not peer.installs:
        return sys.executable
    folder = HOME / peer.module
    if not (folder / "installed").exists():
        commands = [[sys.executable, "-m", "venv", str(folder)]]
        commands += [[str(folder / "bin/pip"), "install", "--quiet", *packages] for packages in peer.installs]
        for command in commands:
            _, failed = running.run(command, INSTALL_SECONDS)
            if failed:
                raise StepFailed(f"{' '.join(command[-4:])}: {failed}")
        (folder / "installed").touch()
    return str(folder / "bin/python")


def measure(
    steps: Sequence[tuple[str, Peer]], pythons: dict[str, str], end: float, results: Results, console: Console
) -> None:
    """Row by row, so that what is compared is measured one soon after the other; nothing later than ``end``."""
    for row, peer in steps:
        if peer.name not in pythons:
            continue
        started = time.monotonic()
        seconds = min(SECONDS.get(row, _SECONDS), end - started)
        results.load.setdefault(row, round(os.getloadavg()[0], 1))
        found: Figures | str
        try:
            if seconds <= 0:
                raise StepFailed("no time was left")
            found = running.figures(command(peer, row, pythons[peer.name]), seconds, variables(peer))
        except StepFailed as error:
            found = str(error)
        results.keep(peer.name, row, found)
        told = found if isinstance(found, str) else _cell(found)
        console.print(f"{row}, {peer.name}: {told} ({time.monotonic() - started:.0f} s)")


def command(peer: Peer, row: str, python: str) -> list[str]:
    """That measures a row."""
    return [python, "-m", f"bench.peers.{peer.module}", row, str(HOME)]


def variables(peer: Peer) -> dict[str, str]:
    """Its environment: one thread a process, and where our modules are for those who have not installed them."""
    # CrypTen makes W1 itself, of our owner's packages, which are not installed there
    paths = os.pathsep.join((".", "client", "services/wire") if peer.module == "crypten_peer" else (".",))
    return os.environ | {"OMP_NUM_THREADS": "1"} | ({"PYTHONPATH": paths} if peer.installs else {})


def _print(rows: Sequence[str], results: Results) -> None:
    out = Console(width=160, highlight=False)
    title = "processor seconds of all parties, those of the clock, and MB sent a party, online; in brackets how many times ours"
    table = Table(title=title)
    names = [peer.name for peer in PEERS if peer.name in results.figures]
    for heading in ("row", *names):
        table.add_column(heading, justify="right")
    for row in rows:
        own = results.figures.get(OURS, {}).get(row)
        cells = [_cell(results.figures[name].get(row), own if name != OURS else None) for name in names]
        table.add_row(row, *cells)
    out.print(table)
    for name, reasons in results.absent.items():
        for row, reason in reasons.items():
            out.print(f"{name}, {row}: left out: {reason}")


def _cell(figures: Figures | None, own: Figures | None = None) -> str:
    if figures is None:
        return ""
    sent = f"{figures['sent_mb']:.3g} MB" if figures["sent_mb"] is not None else "in one process"
    ratio = f" ({figures['cpu_s'] / own['cpu_s']:.0f}x)" if own is not None and own["cpu_s"] else ""
    return f"{figures['cpu_s']:.3g} s CPU{ratio}, {figures['seconds']:.3g} s, {sent}"


if __name__ == "__main__":
    main()
