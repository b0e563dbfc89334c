"""``python -m bench.together``: CPU seconds of a verification, by role, when several clients ask at once.

Each client sends its next verification when it has the answer to the last one. Roles' CPU seconds are counted until the stock of
kits is full again, so that each request pays for the kits that replace those it used, audits included. Next to them stands what
cannot be saved: the engine alone, four images at a time as here, and the dealing of a kit, as ``python -m bench`` measures them.
Clocks of a shared machine are noisy; CPU seconds less so.
"""

import argparse
import asyncio
import json
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table
from visard.capture import capture
from visard.client import DEFAULT_MODEL, Client, Connection
from visard.cluster import Cluster
from visard.owner import publish
from visard.owner.networks.names import FACE, FACE_SMALL

from bench import engine
from bench.load import UNLIMITED, Faces, Load
from bench.rows import Row

PHOTOS = Path(".photos")
AT_ONCE = 4  # images in one evaluation of a network, at most
_ROWS = {FACE_SMALL: "W1", FACE: "W5"}
_REST = 0.02  # CPU seconds of the dealer in a second, below which it deals nothing


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--requests", type=int, default=160, help="counted, of all clients together")
    parser.add_argument("--network", choices=tuple(_ROWS), default=FACE_SMALL)
    parser.add_argument("--repeat", type=int, default=5, help="runs of the engine alone; 0: leave it out")
    parser.add_argument("--max-batches", type=int, help="of the parties' settings; unset: as they have it")
    parser.add_argument("--batch-wait", type=float, help="likewise")
    parser.add_argument("--port", type=int, default=18700, help="base port of the services")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        asked = {"max_batches": options.max_batches, "batch_wait": options.batch_wait}
        settings = {name: str(value) for name, value in asked.items() if value is not None}
        cluster = Cluster(Path(directory), options.port, stock_target=8, options=UNLIMITED | settings)
        cluster.prepare()
        try:
            cluster.start()
            found = asyncio.run(_measure(cluster, options))
        finally:
            cluster.stop()
    if options.repeat:
        found |= _alone(_ROWS[options.network], options.repeat)
        found["times"] = round(found["services_cpu_s"] / (found["engine_cpu_s"] + found["dealing_cpu_s"]), 2)
    if options.json:
        print(json.dumps(found))
    else:
        _print(found)


def _alone(row: str, repeat: int) -> dict[str, float]:
    """CPU seconds an image of the engine, of three parties together, and of dealing its kit."""
    result = engine.measure(Row(row, AT_ONCE), repeat)
    return {
        "engine_cpu_s": round(result["cpu_s_parties"] / AT_ONCE, 3),
        "dealing_cpu_s": round(result["cpu_s_dealer"] / AT_ONCE, 3),
    }


async def _measure(cluster: Cluster, options: argparse.Namespace) -> dict[str, Any]:
    async with Client(Connection.from_home(cluster.home, "owner"), deadline=120) as owner:
        await publish.publish(owner, DEFAULT_MODEL, publish.compile_face_model(network=options.network))
    faces = Faces(*(capture(PHOTOS / f"{name}.jpg") for name in ("obama", "obama2", "biden")))
    load = Load(Connection.from_home(cluster.home), faces, workers=options.clients, interval=0.0)
    running = asyncio.ensure_future(load.run())
    await load.answered(2 * options.clients)  # every path taken once
    started, used, own, done = time.monotonic(), _used(cluster), time.process_time(), load.tally.answered
    while load.tally.answered < done + options.requests and not load.tally.failures:
        await load.answered(options.clients)
    load.stop()
    seconds, requests = time.monotonic() - started, load.tally.answered - done
    tally = await running
    own = time.process_time() - own
    await _rest(cluster)
    requests = tally.answered - done
    roles = {name: (now - used[name]) / requests for name, now in _used(cluster).items()}
    return {
        "clients": options.clients,
        "requests": requests,
        "seconds_a_request": round(seconds / requests, 3),
        "cpu_s": {name: round(spent, 4) for name, spent in roles.items()} | {"clients": round(own / requests, 4)},
        "services_cpu_s": round(sum(roles.values()), 3),
        "images_a_batch": round(_images_a_batch(cluster), 2),
        "load": tally.summary(),
    }


def _images_a_batch(cluster: Cluster) -> float:
    """How many images went through the network together, on average since the start."""
    with urllib.request.urlopen(f"http://{cluster.metrics_address('party0')}/metrics", timeout=10) as answer:
        lines = [line.split() for line in answer.read().decode().splitlines()]
    value = {line[0]: float(line[1]) for line in lines if line[0].startswith("visard_batch_images_")}
    return value["visard_batch_images_sum"] / value["visard_batch_images_count"]


async def _rest(cluster: Cluster) -> None:
    """Wait until the dealer has dealt all that is asked of it."""
    before = _used(cluster)["dealer"]
    while True:
        await asyncio.sleep(1.0)
        now = _used(cluster)["dealer"]
        if now - before < _REST:
            return
        before = now


def _used(cluster: Cluster) -> dict[str, float]:
    """CPU seconds of each service so far."""
    return {name: sum(psutil.Process(p.pid).cpu_times()[:2]) for name, p in cluster.processes.items()}


def _print(found: dict[str, Any]) -> None:
    console = Console(highlight=False, width=120)
    table = Table(title=f"CPU seconds a verification, {found['clients']} clients at once, {found['requests']} requests")
    for heading in ("role", "CPU s"):
        table.add_column(heading, justify="left" if heading == "role" else "right")
    for name, spent in found["cpu_s"].items():
        table.add_row(name, f"{spent:.3f}")
    for name in ("services_cpu_s", "engine_cpu_s", "dealing_cpu_s", "times", "images_a_batch", "seconds_a_request"):
        if name in found:
            table.add_row(name, f"{found[name]}")
    console.print(table)
    console.print_json(data=found["load"])


if __name__ == "__main__":
    main()
