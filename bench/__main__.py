"""``python -m bench``: measure, print one table, write JSON and, with --profile, a chart."""

import argparse
import json
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import chart, engine, rows, service
from bench.delay import Link

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
        with _link(options) as link:
            results.append(engine.measure(row, options.repeat, profile=options.profile, link=link))
    whole: dict[str, Any] = {}
    if options.service and not options.delay:
        console.print(f"measuring the service, {options.pairs} pairs", highlight=False)
        whole = service.measure(chosen, options.repeat, options.pairs)
        clients = whole.pop("rows")
        for row, result in zip(chosen, results, strict=True):
            result["client_s"] = round(clients[row], 4) if row in clients else None
    if options.json == "-":
        for result in results:
            print(json.dumps({name: value for name, value in result.items() if name != "stages" or options.profile}))
        return
    _print(results, whole)
    Path(options.json).parent.mkdir(parents=True, exist_ok=True)
    Path(options.json).write_text(json.dumps({"rows": results, "service": whole}, indent=1))
    if options.profile:
        chart.draw(results, whole, Path(options.json).with_suffix(".png"))


def _link(options: argparse.Namespace) -> AbstractContextManager[Link | None]:
    """The slow link that was asked for, or none."""
    if not options.delay:
        return nullcontext()
    return Link(_quantity(options.delay, {"ms": 1e-3, "s": 1}), _quantity(options.rate or "0bit", _RATES))


_RATES = {"gbit": 1e9, "mbit": 1e6, "kbit": 1e3, "bit": 1}


def _quantity(text: str, units: dict[str, float]) -> float:
    for unit, factor in units.items():
        number = text.removesuffix(unit)
        if number != text and number.replace(".", "", 1).isdigit():
            return float(number) * factor
    raise SystemExit(f"bench: {text!r} is no number with a unit of {', '.join(units)}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=rows.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="W1,W5,W2,W3,W3T,W3M,W4", help="comma-separated")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 4, 8], help="images at a time in W1")
    parser.add_argument("--n", type=int, nargs="+", default=[], help="references in W3, W3T, W3M")
    parser.add_argument("--q", type=int, choices=(31, 61), default=31, help="field 2^q - 1")
    parser.add_argument("--repeat", type=int, default=5, help="counted runs; medians are shown")
    parser.add_argument("--pairs", type=int, default=100, help="LFW pairs to decide through the whole service")
    parser.add_argument(
        "--service",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="ask the whole service as clients do; never with --delay, whose namespaces hold the parties alone",
    )
    parser.add_argument("--delay", default="", help="one-way delay between the parties, for example 20ms; root only")
    parser.add_argument("--rate", default="", help="with --delay: bits a second of each path, for example 200mbit")
    parser.add_argument("--profile", action="store_true", help="show where each row's time goes")
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
    for result in results:
        if result["stages"]:
            out.print(_stages(result))
    if whole:
        out.print(
            f"Whole service, warm: a verification takes {whole['client_s']:.3f} s at the client, "
            f"{whole['engine_s']:.3f} s in the engine; CPU seconds by role {whole['cpu_s']}; "
            f"{whole['decisions_equal_float']} of {whole['pairs']} decisions on LFW pairs equal the float network's."
        )


def _stages(result: dict[str, Any]) -> Table:
    """Where a row's time goes, the longest stage first."""
    table = Table(title=f"{result['row']}, {result['batch']} images, N = {result['n']}: stages at party 0")
    for heading in ("stage", "ms", "of the engine's time"):
        table.add_column(heading, justify="left" if heading == "stage" else "right")
    for name, seconds in result["stages"].items():
        table.add_row(name, f"{1e3 * seconds:.2f}", f"{seconds / result['engine_s']:.0%}")
    return table


if __name__ == "__main__":
    main()
