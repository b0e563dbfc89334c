"""``python -m bench.growth``: how a search grows with the gallery, after the descriptor: W3M for 10,000 to 2,000,000 references.

Three parties as three processes over the real peer links. References are synthetic, around real descriptors (bench.rows).
Writes a JSON file, and a PNG beside it: seconds of the processor, of all three parties, over N. The clock's are in the JSON file:
on a machine that does other things they say nothing.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
from rich.console import Console
from rich.table import Table

from bench import engine
from bench.rows import Row

mpl.use("Agg")
from matplotlib import pyplot as plt

SIZES = (10_000, 30_000, 100_000, 300_000, 1_000_000, 2_000_000)
IRIS_MPC = 690_000  # comparisons a core second, as published (docs/performance.md)
_SHOWN = (
    "n",
    "engine_s",
    "cpu_s_parties",
    "rows_per_core_s",
    "rounds",
    "sent_mb_party",
    "kit_mb",
    "rss_mb_party",
    "exact",
)

console = Console(stderr=True, highlight=False)


def measure(sizes: list[int], repeat: int) -> Iterator[dict[str, Any]]:
    """The figures of each size, one after the other; raises SystemExit where something else was found than is there."""
    for size in sizes:
        console.print(f"measuring {size:,} references")
        one = engine.measure(Row("W3M", n=size), repeat)
        if not one["exact"]:
            raise SystemExit(f"bench: of {size:,} references others were found than are near")
        one["rows_per_core_s"] = round(size / one["cpu_s_parties"])
        yield {name: one[name] for name in _SHOWN}


def draw(points: list[dict[str, Any]], path: Path) -> None:
    """Write a PNG: both axes logarithmic, so that what is linear is parallel to the dotted line."""
    figure, axes = plt.subplots(figsize=(6.4, 4.2))
    sizes = [point["n"] for point in points]
    axes.plot(sizes, [point["cpu_s_parties"] for point in points], marker="o", label="visard, all three parties")
    last = points[-1]["cpu_s_parties"] / sizes[-1]
    axes.plot(sizes, [last * n for n in sizes], ":", color="grey", label="linear in N")
    iris = f"iris-mpc: {IRIS_MPC:,} comparisons a core second"
    axes.plot(sizes, [n / IRIS_MPC for n in sizes], "--", color="black", linewidth=1, label=iris)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("references N")
    axes.set_ylabel("seconds of a core")
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize="small")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--n", type=int, nargs="+", default=list(SIZES), help="references; a party takes some 700 bytes each"
    )
    parser.add_argument("--repeat", type=int, default=3, help="counted runs; medians are shown")
    parser.add_argument("--output", type=Path, default=Path("bench/out/growth"), help="OUTPUT.json and OUTPUT.png")
    options = parser.parse_args()
    options.output.parent.mkdir(parents=True, exist_ok=True)
    points = list[dict[str, Any]]()
    for point in measure(sorted(options.n), options.repeat):
        points.append(point)
        options.output.with_suffix(".json").write_text(json.dumps(points, indent=1) + "\n")
    draw(points, options.output.with_suffix(".png"))
    table = Table(*_SHOWN, title="a search after the descriptor; medians")
    for point in points:
        table.add_row(*(f"{point[name]:,}" if name == "n" else str(point[name]) for name in _SHOWN))
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
