"""``python -m bench.scale``: what a search would take of very many references on many workers, from what was measured of fewer.

A simulation. Of ``bench.growth``'s figures (``--measured``, or the defaults) it takes what a row costs: processor time, bytes
sent and dealt, memory; a search of a worker is the fixed part and its rows'. Workers differ by chance, and the slowest decides.
Money is machines by the hour and traffic between parties, at prices that are assumptions: give your own.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

SEARCHES = 1000  # simulated
HOURS = 730  # of a month


@dataclass(frozen=True)
class Costs:
    """What a search costs a party beside the descriptor: fixed, and a row."""

    fixed_s: float
    row_s: float  # processor time
    row_sent: float  # bytes
    row_dealt: float
    row_memory: float
    rounds: int = 5

    @classmethod
    def fitted(cls, points: list[dict[str, Any]]) -> "Costs":
        """From bench.growth's points: least squares of a line, weighted so that small galleries count as much as large ones."""
        n = np.array([point["n"] for point in points], float)

        def line(values: Any) -> tuple[float, float]:
            row, fixed = np.polyfit(n, np.asarray(values, float), 1, w=1 / n)
            return max(0.0, float(fixed)), float(row)

        fixed, row = line([point["cpu_s_parties"] / 3 for point in points])
        sent, dealt, memory = (
            1e6 * line([point[key] for point in points])[1] for key in ("sent_mb_party", "kit_mb", "rss_mb_party")
        )
        return cls(fixed, row, sent, dealt, memory, int(points[0]["rounds"]))


# medians of bench.growth, docs/performance.md
MEASURED = Costs(0.002, 3.2e-7, 8.8, 6.4, 560.0)


@dataclass(frozen=True)
class Setting:
    """A deployment: references, workers a party, and how far the parties are from each other."""

    rows: int
    workers: int
    round_trip_s: float
    bits_a_second: float
    spread: float  # of a worker's speed, as the standard deviation of its logarithm

    def seconds(self, costs: Costs, rng: np.random.Generator) -> Any:
        """Of SEARCHES searches after the descriptor, each as long as its slowest worker."""
        share = self.rows / self.workers
        computing = costs.fixed_s + costs.row_s * share
        sending = 8 * costs.row_sent * share / self.bits_a_second
        chance = rng.lognormal(0.0, self.spread, (SEARCHES, 3 * self.workers))
        return costs.rounds * self.round_trip_s / 2 + sending + computing * chance.max(axis=1)


def table(costs: Costs, settings: list[Setting], prices: argparse.Namespace) -> Table:
    """A row for each setting."""
    heads = ("workers a party", "median s", "slowest of 1000, s", "GB a worker", "MB sent a party", "MB kit a party")
    found = Table(*heads, "$ a month, machines", "$ a million searches, traffic", title="a search after the descriptor")
    for setting in settings:
        seconds = setting.seconds(costs, np.random.default_rng(1))
        memory = costs.row_memory * setting.rows / setting.workers
        sent, dealt = (each * setting.rows for each in (costs.row_sent, costs.row_dealt))
        machines = 3 * setting.workers * (prices.cores * prices.core_hour + memory / 1e9 * prices.gb_hour) * HOURS
        traffic = 3 * (sent + dealt) / 1e9 * prices.gb_sent * 1e6
        figures = (np.median(seconds), seconds.max(), memory / 1e9, sent / 1e6, dealt / 1e6)
        shown = [f"{figure:,.3g}" if figure < 1000 else f"{figure:,.0f}" for figure in figures]
        found.add_row(str(setting.workers), *shown, f"{machines:,.0f}", f"{traffic:,.0f}")
    return found


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000_000)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 63])
    parser.add_argument("--measured", type=Path, help="bench.growth's JSON file")
    parser.add_argument("--round-trip", type=float, default=0.001, help="seconds between parties")
    parser.add_argument("--gbit", type=float, default=10.0, help="Gbit/s of a worker")
    parser.add_argument("--spread", type=float, default=0.1, help="of workers' speed")
    parser.add_argument("--cores", type=int, default=2, help="of a worker's machine; a search uses one")
    parser.add_argument("--core-hour", type=float, default=0.04, help="$; an assumption")
    parser.add_argument("--gb-hour", type=float, default=0.005, help="$ a GB of memory; an assumption")
    parser.add_argument("--gb-sent", type=float, default=0.01, help="$ a GB between parties; an assumption")
    options = parser.parse_args()
    costs = Costs.fitted(json.loads(options.measured.read_text())) if options.measured else MEASURED
    settings = [
        Setting(options.rows, count, options.round_trip, 1e9 * options.gbit, options.spread)
        for count in options.workers
    ]
    console = Console(width=160)
    console.print(
        f"of a row: {1e9 * costs.row_s:.0f} ns, {costs.row_sent:.1f} B sent, {costs.row_dealt:.1f} B dealt, "
        f"{costs.row_memory:.0f} B of memory, a party; fixed {1000 * costs.fixed_s:.1f} ms"
    )
    console.print(table(costs, settings, options))


if __name__ == "__main__":
    main()
