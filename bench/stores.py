"""``python -m bench.stores``: enrolments a second, and a large gallery in both stores: loading, memory, refresh.

Each store is filled and read by a process of its own, so that its memory is its own. The server of MongoDB is a genuine
mongod (a replica set of one, TLS, SCRAM); its memory is not counted, a party's is.
"""

import argparse
import asyncio
import gc
import json
import multiprocessing
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table
from visard.capture import Chip
from visard.client import DEFAULT_MODEL, Client, Connection
from visard.cluster import Cluster, free_port_base
from visard.owner import publish
from visard.owner.networks.names import FACE_SMALL
from visard_engine.field import field_of
from visard_party.consistency.sets import Holdings
from visard_party.gallery import Rows, read
from visard_party.operations.renewal import renew
from visard_party.store import open_store
from visard_party.store.base import Store
from visard_party.store.contents import Change, ModelRecord, Place, Publish, Reference
from visard_wire.secret import Secret

from bench import alternating, rows
from bench.load import UNLIMITED
from bench.mongod import Mongod

CHUNK = 1000
WRITES = 200
ENROLMENTS = 20
UPDATES = 20
TURNS = 5
_WIDTH = 128 * 4  # bytes of a descriptor's share


async def _measure(uri: str, folder: Path, count: int) -> dict[str, Any]:
    store = await open_store(uri, folder, 0)
    try:
        result: dict[str, Any] = {"store": store.description, "references": count}
        result["writes_per_s"] = round(await _writes(store), 1)
        network = rows.network("W2", 31)  # its weights come along in a refresh
        model = ModelRecord(
            DEFAULT_MODEL, network.program.to_json(), 1, 1, Secret(os.urandom(network.weights.size * 4))
        )
        await _apply(store, Publish(model))
        result["fill_s"] = round(await _timed(fill(store, count)), 2)
        result["names_s"] = round(await _timed(store.names()), 3)
        before, started, cpu = _rss_mb(), time.perf_counter(), time.process_time()
        kept = await read(store, Place(DEFAULT_MODEL), field_of(31))
        result["load_s"] = round(time.perf_counter() - started, 3)
        result["load_cpu_ms"] = round(1000 * (time.process_time() - cpu))
        gc.collect()
        result["gallery_mb"] = round(_rss_mb() - before)
        cpu = time.process_time()
        holdings = Holdings(await store.names(), await store.log())
        result["holdings_cpu_ms"] = round(1000 * (time.process_time() - cpu))
        result |= await _bring_up_to_date(store, kept, holdings)
        result["refresh_s"] = round(await _timed(_refresh(store, model)), 2)
        result["peak_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return result
    finally:
        await store.close()


async def _timed(work: Any) -> float:
    started = time.perf_counter()
    await work
    return time.perf_counter() - started


async def _apply(store: Store, write: Any) -> None:
    request_id = os.urandom(16)
    await store.stage(request_id, write, os.urandom(32))
    await store.commit(request_id)


def references(count: int, subject: str) -> tuple[Reference, ...]:
    """So many references of subjects whose names begin like this, with random shares."""
    raw = os.urandom(count * _WIDTH)
    shares = (np.frombuffer(raw, np.uint32) >> 1).tobytes()
    return tuple(
        Reference(
            os.urandom(16).hex(),
            f"{subject}-{k}",
            DEFAULT_MODEL,
            1,
            1,
            1,
            0,
            b"",
            Secret(shares[k * _WIDTH : (k + 1) * _WIDTH]),
        )
        for k in range(count)
    )


async def _writes(store: Store) -> float:
    """Durable writes of one reference a second, one after the other: staged, then committed."""
    seconds = 0.0
    for k in range(WRITES):
        change = Change(references(1, f"single-{k}"))
        seconds += await _timed(_apply(store, change))
    return WRITES / seconds


async def _bring_up_to_date(store: Store, kept: Rows, holdings: Holdings) -> dict[str, float]:
    """From a commit of one reference until gallery and holdings in memory have it: medians of time and CPU time."""
    seconds, busy = list[float](), list[float]()
    for k in range(UPDATES):
        request_id = os.urandom(16)
        await store.stage(request_id, Change(references(1, f"late-{k}")), b"")
        done = await store.commit(request_id)
        assert done.references is not None
        started, cpu = time.perf_counter(), time.process_time()
        found = await store.by_ids(sorted(done.references))
        kept = kept.updated(done.references, Rows.of(found, field_of(31)))
        holdings.update(done.references, [row.name for row in found], {request_id: done.expires_unix_ms})
        seconds.append(1000 * (time.perf_counter() - started))
        busy.append(1000 * (time.process_time() - cpu))
    assert kept.digest == holdings.references
    return {
        "bring_up_to_date_ms": round(statistics.median(seconds), 1),
        "bring_up_to_date_cpu_ms": round(statistics.median(busy), 1),
    }


async def fill(store: Store, count: int) -> None:
    """Enrol so many references, a thousand at a time."""
    for start in range(0, count, CHUNK):
        await _apply(store, Change(references(min(CHUNK, count - start), f"many-{start}")))


async def _refresh(store: Store, model: ModelRecord) -> None:
    """As one party does it: read everything, renew it, stage it, commit it."""
    gallery = await store.gallery(Place(DEFAULT_MODEL))
    await _apply(store, await asyncio.to_thread(renew, os.urandom(32), 0, [model], gallery, 2))


def _rss_mb() -> float:
    return float(psutil.Process().memory_info().rss) / (1 << 20)


def _child(uri: str, folder: Path, count: int, queue: "multiprocessing.Queue[dict[str, Any]]") -> None:
    queue.put(asyncio.run(_measure(uri, folder, count)))


def gallery(uri: str, folder: Path, count: int) -> dict[str, Any]:
    """One store, in a process of its own."""
    context = multiprocessing.get_context("spawn")
    queue: multiprocessing.Queue[dict[str, Any]] = context.Queue()
    process = context.Process(target=_child, args=(uri, folder, count, queue))
    process.start()
    result = queue.get(timeout=3600)
    process.join()
    return result


async def _enrolments(home: Path) -> dict[str, float]:
    """Face enrolments a second through the whole service: one after the other, and four at a time."""
    async with Client(Connection.from_home(home, "owner")) as owner:
        await publish.publish(owner, DEFAULT_MODEL, publish.compile_face_model(network=FACE_SMALL))
    pixels = np.random.default_rng(1).integers(0, 256, (150, 150, 3)).astype(np.uint8)
    chip, found = Chip(pixels, pixels), dict[str, float]()
    async with Client(Connection.from_home(home)) as client:
        await client.enrol("first", [chip])
        for width in (1, 4):
            started = time.perf_counter()
            for k in range(0, ENROLMENTS, width):
                await asyncio.gather(*(client.enrol(f"{width}-{k + j}", [chip]) for j in range(width)))
            found[f"enrolments_per_s_{width}"] = round(ENROLMENTS / (time.perf_counter() - started), 2)
    return found


def enrolments(store: str) -> dict[str, float]:
    """A cluster on a store."""
    with tempfile.TemporaryDirectory() as folder:
        cluster = Cluster(Path(folder), free_port_base(), store=store, options=UNLIMITED)
        cluster.prepare()
        try:
            cluster.start()
            return asyncio.run(_enrolments(cluster.home))
        finally:
            cluster.stop()


@contextmanager
def _server() -> Iterator[Mongod]:
    with tempfile.TemporaryDirectory() as folder:
        server = Mongod(Path(folder), replica_set=True)
        try:
            server.start()
            yield server
        finally:
            server.stop()


def measure(count: int, *, service: bool) -> list[dict[str, Any]]:
    """Both stores, each by itself and then below the whole service."""
    results = []
    with tempfile.TemporaryDirectory() as folder, _server() as server:
        mongodb = [server.uri(name) for name in ("gallery", "few{party}", "many{party}")]
        for alone, few, many in (["sqlite"] * 3, mongodb):
            results.append(gallery(alone, Path(folder), count))
            if service:
                results[-1] |= enrolments(few) | alternating.measure(count, TURNS, many)
    return results


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--references", type=int, default=100_000)
    parser.add_argument("--no-service", action="store_true", help="the stores alone")
    parser.add_argument("--json", default="bench/out/stores.json", help="file")
    options = parser.parse_args()
    results = measure(options.references, service=not options.no_service)
    show(results)
    Path(options.json).parent.mkdir(parents=True, exist_ok=True)
    Path(options.json).write_text(json.dumps(results, indent=1))


def show(results: list[dict[str, Any]]) -> None:
    """One line a figure, one column a store."""
    table = Table(title="stores")
    for heading in ("", *(result["store"] for result in results)):
        table.add_column(heading)
    for key in list(results[0])[1:]:
        table.add_row(key, *(str(result[key]) for result in results))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
