"""``python -m bench.sizes``: the plots of the 2020 thesis again, seconds against the side of a picture.

One secret 3x3 convolution, 2x2 max-pooling and ReLU with three parties as three processes; sharing and recombination at
the client. Next to plaintext torch (numpy's copy, for sharing and recombination) and, with --mpyc, to MPyC's own arrays.
Then sharpening with secret and with public kernels through the whole service, as a caller sees it. Every result of ours
is checked against the twin, or against what was shared. Writes a PNG and a JSON file.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from visard.client import Client, Connection
from visard.cluster import Cluster
from visard.owner import bring, publish
from visard.owner.networks import demonstrations
from visard.sharing import combine, share

from bench import engine, sizes_chart
from bench.rows import Row

SIDES = (10, 50, 100, 150, 200, 250)
MPYC_SIDES = (10, 50, 100)
ROWS = {"convolution": "W4C", "max-pool": "W4P", "ReLU": "W4R"}
OURS, PLAIN, MPYC = "visard", "plaintext", "MPyC"
PORT = 18700
_PICTURES = ((1, 100, 100), (1, 360, 640), (3, 360, 640))
_MPYC_FIELD = 61  # bits, as visard's larger field
_WIDTH = 120

console = Console(stderr=True, highlight=False)


@dataclass(frozen=True)
class Point:
    """One measurement: what, by whom, on a picture of which side."""

    what: str
    who: str
    side: int
    seconds: float


def operations(sides: list[int], repeat: int, q: int) -> list[Point]:
    """Ours and torch's, checked against the twin."""
    found = []
    for what, name in ROWS.items():
        for side in sides:
            console.print(f"measuring {what} on {side}x{side}")
            row = Row(name, n=side, q=q)
            measured = engine.measure(row, repeat)
            if not measured["exact"]:
                raise SystemExit(f"bench: {what} on {side}x{side} differs from its twin")
            found.append(Point(what, OURS, side, measured["engine_s"]))
            found.append(Point(what, PLAIN, side, engine.plaintext_seconds(row, repeat)))
    return found


def transport(sides: list[int], repeat: int, q: int) -> list[Point]:
    """Sharing and recombination at the client, next to a copy of as many numbers."""
    found = []
    for side in sides:
        pixels = np.random.default_rng(side).integers(0, 256, (side, side))
        shares = share(pixels, q)
        if not (combine(shares, q) == pixels).all():
            raise SystemExit("bench: recombination gave other numbers than were shared")
        copying = median(pixels.copy, repeat)
        found += [
            Point("sharing", OURS, side, median(partial(share, pixels, q), repeat)),
            Point("recombination", OURS, side, median(partial(combine, shares, q), repeat)),
            Point("sharing", PLAIN, side, copying),
            Point("recombination", PLAIN, side, copying),
        ]
    return found


def median(work: Callable[[], object], repeat: int) -> float:
    """Seconds; the first call warms up."""
    times = []
    for _ in range(repeat + 1):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:])


def mpyc(sides: list[int], repeat: int) -> list[Point]:
    """MPyC's own arrays: its parties as processes, its sharing and recombination here."""
    names = {f"{name}:{side}": (what, side) for what, name in ROWS.items() for side in sides}
    console.print("measuring MPyC, which takes a minute or more")
    command = [sys.executable, "-m", "bench.peers.mpyc_peer", ",".join(names)]
    lines = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
    answers = [json.loads(line) for line in lines if line.startswith("{")]
    found = [Point(names[a["row"]][0], MPYC, names[a["row"]][1], a["seconds"]) for a in answers]
    return found + [point for side in sides for point in _mpyc_shares(side, repeat)]


def _mpyc_shares(side: int, repeat: int) -> list[Point]:
    arguments, sys.argv = sys.argv, sys.argv[:1]  # MPyC parses them when it is imported
    from mpyc import finfields, thresha  # noqa: PLC0415

    sys.argv = arguments
    field = finfields.GF(2**_MPYC_FIELD - 1)
    pixels = field.array(np.random.default_rng(side).integers(0, 256, side * side).astype(object))
    shares = [field.array(part) for part in thresha.np_random_split(field, pixels, 1, 3)]
    points = [(k + 1, part.value) for k, part in enumerate(shares)]
    return [
        Point("sharing", MPYC, side, median(lambda: thresha.np_random_split(field, pixels, 1, 3), repeat)),
        Point("recombination", MPYC, side, median(lambda: thresha.np_recombine(field, points), repeat)),
    ]


def sharpening(repeat: int) -> list[dict[str, Any]]:
    """Sharpening through gateway and parties: seconds at the caller and in the engine."""
    with tempfile.TemporaryDirectory() as directory:
        cluster = Cluster(Path(directory), PORT)
        cluster.prepare()
        try:
            cluster.start()
            return asyncio.run(_sharpening(cluster, repeat))
        finally:
            cluster.stop()


async def _sharpening(cluster: Cluster, repeat: int) -> list[dict[str, Any]]:
    found = []
    for shape in _PICTURES:
        for name in ("secret", "public"):
            factory = demonstrations.SecretSharpen if name == "secret" else demonstrations.PublicSharpen
            module = factory(shape[0]).requires_grad_(False)
            model = f"{name}-{'x'.join(map(str, shape))}"
            async with Client(Connection.from_home(cluster.home, "owner"), model=model) as client:
                await publish.publish(client, model, bring.compile_own(module, shape, opens=True))
                found.append({"kernels": name, "shape": shape} | await _run(client, shape, repeat))
    return found


async def _run(client: Client, shape: tuple[int, int, int], repeat: int) -> dict[str, float]:
    picture = np.random.default_rng(1).integers(0, 256, (*shape[1:], 3)).astype(np.uint8)
    await client.run(picture)
    answers = []
    for _ in range(repeat):
        await asyncio.sleep(0.5)  # kits in stock again
        answers.append((await client.run(picture)).report)
    return {
        "client_s": round(statistics.median(a.seconds for a in answers), 4),
        "engine_s": round(statistics.median(max(p.engine_seconds for p in a.parties) for a in answers), 4),
        "sent_mb_party": round(answers[0].sent_mb_per_party, 3),
        "rounds": answers[0].rounds,
    }


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="+", default=list(SIDES), help="sides of the pictures")
    parser.add_argument("--repeat", type=int, default=5, help="counted runs; medians are shown")
    parser.add_argument("--q", type=int, choices=(31, 61), default=31, help="field 2^q - 1")
    parser.add_argument("--mpyc", action="store_true", help=f"MPyC's own arrays as well, on sides {MPYC_SIDES}")
    parser.add_argument("--output", type=Path, default=Path("bench/out/sizes"), help="OUTPUT.json and OUTPUT.png")
    options = parser.parse_args()
    points = operations(options.sides, options.repeat, options.q) + transport(options.sides, options.repeat, options.q)
    if options.mpyc:
        points += mpyc([side for side in MPYC_SIDES if side <= max(options.sides)], options.repeat)
    sharpened = sharpening(options.repeat)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    result = {"field_bits": options.q, "points": [asdict(point) for point in points], "sharpening": sharpened}
    options.output.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    sizes_chart.draw([asdict(point) for point in points], options.output.with_suffix(".png"))
    _show(points, sharpened)


def _milliseconds(seconds: float) -> str:
    """Three digits or so."""
    return f"{1e3 * seconds:,.0f}" if seconds >= 0.1 else f"{1e3 * seconds:.3g}"


def _show(points: list[Point], sharpened: list[dict[str, Any]]) -> None:
    sides = sorted({point.side for point in points})
    table = Table(title="milliseconds by side")
    for heading in ("", "", *map(str, sides)):
        table.add_column(heading)
    for what, who in dict.fromkeys((point.what, point.who) for point in points):
        times = {point.side: point.seconds for point in points if (point.what, point.who) == (what, who)}
        table.add_row(what, who, *(_milliseconds(times[side]) if side in times else "" for side in sides))
    out = Console(highlight=False, width=_WIDTH)
    out.print(table)
    for row in sharpened:
        shape = "x".join(map(str, row["shape"]))
        out.print(
            f"sharpening {shape}, {row['kernels']} kernels: {row['client_s']} s at the caller, {row['engine_s']} s engine"
        )


if __name__ == "__main__":
    main()
