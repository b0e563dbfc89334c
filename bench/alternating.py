"""``python -m bench.alternating``: enrolments and identifications in turn, beside many references, through the whole service."""

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable
from pathlib import Path

import numpy as np
from visard.capture import Chip
from visard.client import DEFAULT_MODEL, Client, Connection
from visard.cluster import Cluster, free_port_base
from visard.owner import publish
from visard.owner.networks.names import FACE_SMALL
from visard_engine.field import field_of
from visard_party.store import open_store
from visard_party.store.base import restored
from visard_party.store.contents import Page, Reference
from visard_wire.secret import Secret

from bench.load import UNLIMITED

WIDTH = 128  # numbers a descriptor
_DEADLINE = 60.0


def references(count: int, party: int, seed: int) -> list[Reference]:
    """A party's shares of random descriptors: the same references at all three."""
    rng, field = np.random.default_rng(seed), field_of(31)
    values = rng.integers(-40, 41, (count, WIDTH)) % field.p
    slopes = rng.integers(0, field.p, (count, WIDTH), dtype=np.uint64)
    shares = ((values + slopes * np.uint64(party + 1)) % np.uint64(field.p)).astype(field.dtype)
    ids = [rng.bytes(16).hex() for _ in range(count)]
    return [
        Reference(name, f"stranger-{k}", DEFAULT_MODEL, 1, 1, 1, 0, b"", Secret(share.tobytes()))
        for k, (name, share) in enumerate(zip(ids, shares, strict=True))
    ]


async def fill(cluster: Cluster, count: int) -> None:
    """Put references into the three stores, while nobody uses them."""
    for party in range(3):
        folder = cluster.home / f"party{party}"
        uri = cluster.store.replace("{party}", str(party))
        store = await open_store(uri, folder, party)
        await restored(store, Page(references(count, party, seed=4)))
        await store.close()


def chip(number: int) -> Chip:
    """A picture of nobody."""
    pixels = np.random.default_rng(number).integers(0, 256, (150, 150, 3)).astype(np.uint8)
    return Chip(pixels, pixels)


async def _seconds(work: Awaitable[object]) -> float:
    started = time.perf_counter()
    await work
    return time.perf_counter() - started


async def _publish(home: Path) -> None:
    async with Client(Connection.from_home(home, "owner")) as owner:
        await publish.publish(owner, DEFAULT_MODEL, publish.compile_face_model(network=FACE_SMALL))


async def _alternate(home: Path, turns: int) -> dict[str, float]:
    enrol, identify = list[float](), list[float]()
    async with Client(Connection.from_home(home), deadline=_DEADLINE) as client:
        await client.enrol("first", [chip(0)])
        first = await _seconds(client.identify(chip(0), operating_point="default"))
        for k in range(1, turns + 1):
            enrol.append(await _seconds(client.enrol(f"new-{os.urandom(4).hex()}", [chip(k)])))
            identify.append(await _seconds(client.identify(chip(0), operating_point="default")))
    return {
        "first_identification_s": round(first, 2),
        "enrolment_s": round(statistics.median(enrol), 2),
        "identification_after_it_s": round(statistics.median(identify), 2),
    }


def measure(count: int, turns: int, store: str = "sqlite") -> dict[str, float]:
    """Medians, in seconds at the client."""
    with tempfile.TemporaryDirectory() as folder:
        cluster = Cluster(Path(folder), free_port_base(), store=store, options=UNLIMITED)
        cluster.prepare()
        try:
            cluster.start()
            asyncio.run(_publish(cluster.home))
            cluster.stop()
            asyncio.run(fill(cluster, count))
            cluster.start()
            return asyncio.run(_alternate(cluster.home, turns))
        finally:
            cluster.stop()


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--references", type=int, default=100_000)
    parser.add_argument("--turns", type=int, default=7)
    options = parser.parse_args()
    print(json.dumps({"references": options.references} | measure(options.references, options.turns)))


if __name__ == "__main__":
    main()
