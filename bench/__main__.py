"""``python -m bench``: measure, print one table, write JSON."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import engine, rows, service

COLUMNS = (
    ("row", "row"),
    ("batch", "images"),
    ("n", "N"),
    ("field_bits", "q"),
    ("client_s", "client s"),
    ("engine_s", "engine s"),
    ("cpu_s_parties", "CPU s, 3 parties"),
    ("cpu_s_dealer", "CPU s, dealer"),
    ("rounds", "rounds"),
    ("sent_mb_party", "MB sent a party"),
    ("kit_mb", "kit MB"),
    ("rss_mb_party", "peak MB a party"),
    ("ratio_torch", "engine / torch"),
    ("exact", "equals twin"),
)


def main() -> None:
    """Entry point."""
    options = _options()
    chosen = rows.parse(options.rows, options.batch, options.n, options.q)
    console = Console(stderr=True)
    results = []
    for row in chosen:
        console.print(f"measuring {row.name}, {row.batch} images, N = {row.n}", highlight=False)
        results.append(engine.measure(row, options.repeat))
    whole: dict[str, Any] = {}
    if options.pairs:
        console.print(f"measuring the service, {options.pairs} pairs", highlight=False)
        whole = service.measure(options.repeat, options.pairs)
        for result in results:
            if (result["row"], result["batch"]) == ("W1", 1):
                result["client_s"] = round(whole["client_s"], 4)
    if options.json == "-":
        for result in results:
            print(json.dumps(result))
        return
    _print(results, whole)
    Path(options.json).parent.mkdir(parents=True, exist_ok=True)
    Path(options.json).write_text(json.dumps({"rows": results, "service": whole}, indent=1))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=rows.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="W1,W2,W3,W3T,W4", help="comma-separated")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 4, 8], help="images at a time in W1")
    parser.add_argument("--n", type=int, nargs="+", default=[10_000, 100_000], help="references in W3")
    parser.add_argument("--q", type=int, choices=(31, 61), default=31, help="field 2^q - 1")
    parser.add_argument("--repeat", type=int, default=5, help="counted runs; medians are shown")
    parser.add_argument("--pairs", type=int, default=100, help="LFW pairs through the whole service; 0 leaves it out")
    parser.add_argument("--json", default="bench/out/bench.json", help="file, or - for one object a line")
    options = parser.parse_args()
    if options.json == "-" and "--pairs" not in sys.argv:
        options.pairs = 0
    return options


def _print(results: list[dict[str, Any]], whole: dict[str, Any]) -> None:
    out = Console(width=170)
    table = Table(title="visard: three parties, one dealer, one machine; medians")
    for _, heading in COLUMNS:
        table.add_column(heading, justify="right")
    for result in results:
        table.add_row(*("" if result[name] is None else str(result[name]) for name, _ in COLUMNS))
    out.print(table)
    if whole:
        out.print(
            f"Whole service, warm: a verification takes {whole['client_s']:.3f} s at the client, "
            f"{whole['engine_s']:.3f} s in the engine; CPU seconds by role {whole['cpu_s']}; "
            f"{whole['decisions_equal_float']} of {whole['pairs']} decisions on LFW pairs equal the float network's."
        )


if __name__ == "__main__":
    main()
