"""``python -m bench.soak``: a steady load for 20 minutes. Does memory grow, is a task or a stream left behind?

Memory is resident set size, sampled every few seconds; its slope is a least-squares line through the second half, when
caches are full. Tasks and open calls of each service are compared at rest, before and after.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.table import Table
from visard.capture import capture
from visard.client import DEFAULT_MODEL, Client, Connection
from visard.cluster import SERVICES, Cluster
from visard.owner import publish
from visard.owner.networks.names import FACE_SMALL

from bench.load import UNLIMITED, Faces, Load, Tally

SAMPLE_SECONDS = 5.0
REST_SECONDS = 10.0
PHOTOS = Path(".photos")
Samples = dict[str, list[tuple[float, float]]]


def main() -> None:
    """Entry point; status 1 when a request failed or was answered wrongly."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--interval", type=float, default=0.5, help="seconds between an answer and the next request")
    parser.add_argument("--roll", action="store_true", help="restart every service, one at a time, half way")
    parser.add_argument("--port", type=int, default=18600, help="base port of the services")
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        # one subject is asked about again and again, which is what budgets are against
        cluster = Cluster(Path(directory), options.port, options=UNLIMITED)
        cluster.prepare()
        try:
            cluster.start()
            result = asyncio.run(_soak(cluster, options))
        finally:
            cluster.stop()
    _print(result)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1))
    sys.exit(1 if result["load"]["failures"] or result["load"]["wrong"] else 0)


async def roll(cluster: Cluster, load: Load, between: int = 3) -> dict[str, int]:
    """Restart every service, one at a time, with requests answered in between; attempts made again for each."""
    retried: dict[str, int] = {}
    for name in ("party0", "party1", "party2", "dealer", "gateway"):
        before = load.tally.retried.total()
        await asyncio.to_thread(cluster.restart, name)
        await load.answered(between)
        retried[name] = load.tally.retried.total() - before
    return retried


async def _soak(cluster: Cluster, options: argparse.Namespace) -> dict[str, Any]:
    async with Client(Connection.from_home(cluster.home, "owner")) as owner:
        await publish.publish(owner, DEFAULT_MODEL, publish.compile_face_model(network=FACE_SMALL))
    chips = [capture(PHOTOS / f"{name}.jpg") for name in ("obama", "obama2", "biden")]
    await _loaded(cluster, Faces(*chips), options, 15.0)  # warm: every path taken once
    await asyncio.sleep(REST_SECONDS)
    before, held = at_rest(cluster), resident(cluster)
    tally, samples, retried = await _loaded(cluster, Faces(*chips), options, options.minutes * 60)
    await asyncio.sleep(REST_SECONDS)
    return {
        "minutes": options.minutes,
        "load": tally.summary(),
        "retried_by_restart_of": retried,
        "memory": {name: _memory(points) for name, points in samples.items()},
        "at_rest": {"before": before, "after": at_rest(cluster)},
        "at_rest_mb": {"before": held, "after": resident(cluster)},
    }


async def _loaded(
    cluster: Cluster, faces: Faces, options: argparse.Namespace, seconds: float
) -> tuple[Tally, Samples, dict[str, int]]:
    load = Load(Connection.from_home(cluster.home), faces, workers=options.workers, interval=options.interval)
    running = asyncio.ensure_future(load.run())
    samples: Samples = {name: [] for name in SERVICES}
    retried: dict[str, int] = {}
    started = time.monotonic()
    while not running.done() and (now := time.monotonic() - started) < seconds:
        for name, process in cluster.processes.items():
            samples[name].append((now / 60, psutil.Process(process.pid).memory_info().rss / 1e6))
        if options.roll and not retried and now > seconds / 2 > 60:
            retried = await roll(cluster, load)
        await asyncio.sleep(min(SAMPLE_SECONDS, seconds / 3))
    load.stop()
    return await running, samples, retried


def at_rest(cluster: Cluster) -> dict[str, dict[str, float]]:
    """Tasks, open calls and open files of each service, as its metrics say."""
    return {name: _rest(cluster, name) for name in SERVICES}


def resident(cluster: Cluster) -> dict[str, float]:
    """Resident MB of each service, while nothing is under way."""
    return {name: round(_values(cluster, name)["process_resident_memory_bytes"] / 1e6, 1) for name in SERVICES}


def _rest(cluster: Cluster, name: str) -> dict[str, float]:
    values = _values(cluster, name)
    wanted = {"tasks": "visard_tasks", "calls": "visard_requests_open", "files": "process_open_fds"}
    return {key: values[metric] for key, metric in wanted.items()}


def _values(cluster: Cluster, name: str) -> dict[str, float]:
    """What a service's metrics say, summed over labels."""
    with urllib.request.urlopen(f"http://{cluster.metrics_address(name)}/metrics", timeout=10) as answer:
        families = text_string_to_metric_families(answer.read().decode())
        return {family.name: sum(s.value for s in family.samples) for family in families}


def _memory(points: list[tuple[float, float]]) -> dict[str, float]:
    """First and last MB, and MB a minute over the second half."""
    late = np.array(points[len(points) // 2 :])
    slope = float(np.polyfit(late[:, 0], late[:, 1], 1)[0]) if len(late) > 2 else 0.0
    return {"first_mb": round(points[0][1], 1), "last_mb": round(points[-1][1], 1), "mb_a_minute": round(slope, 4)}


def _print(result: dict[str, Any]) -> None:
    console = Console()
    table = Table(title=f"{result['minutes']:g} minutes")
    headings = ("first MB", "last MB", "MB a minute", "MB at rest", "tasks", "open calls", "open files")
    for heading in ("service", *headings):
        table.add_column(heading)
    rest = result["at_rest"]
    for name, memory in result["memory"].items():
        changes = [f"{rest['before'][name][k]:g} to {rest['after'][name][k]:g}" for k in ("tasks", "calls", "files")]
        changes.insert(0, " to ".join(str(result["at_rest_mb"][when][name]) for when in ("before", "after")))
        table.add_row(name, *(str(value) for value in memory.values()), *changes)
    console.print(table)
    console.print_json(data={key: result[key] for key in ("load", "retried_by_restart_of")})


if __name__ == "__main__":
    main()
