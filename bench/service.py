"""Measuring the whole service: a client, a gateway, three parties and a dealer, and decisions on real pairs."""

import asyncio
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from visard import publish
from visard.capture import Chip, capture
from visard.client import DEFAULT_MODEL, Client, Connection
from visard.cluster import Cluster
from visard.models import face_resnet

PORT = 18400
LFW = Path("../shared/data/lfw-dev")


def measure(repeat: int, pairs: int) -> dict[str, Any]:
    """Seconds of a warm verification as the client sees them, CPU seconds of each role, and decisions on LFW pairs."""
    with tempfile.TemporaryDirectory() as directory:
        cluster = Cluster(Path(directory), PORT, stock_target=8)
        cluster.prepare()
        try:
            cluster.start()
            return asyncio.run(_measure(cluster, repeat, pairs))
        finally:
            cluster.stop()


async def _measure(cluster: Cluster, repeat: int, pairs: int) -> dict[str, Any]:
    async with Client(Connection.from_home(cluster.home, "owner")) as owner:
        await publish.publish(owner, DEFAULT_MODEL, publish.compile_face_model())
    chosen = _pairs(pairs)
    async with Client(Connection.from_home(cluster.home), deadline=120) as client:
        probe, reference = chosen[0][:2]
        await client.enrol("bench", [reference])
        await client.verify("bench", probe)
        seconds, engine, cpu = [], [], []
        for _ in range(repeat):
            await asyncio.sleep(0.5)  # kits in stock again: dealing is ahead of need
            before = _cpu(cluster)
            started = time.perf_counter()
            answer = await client.verify("bench", probe)
            seconds.append(time.perf_counter() - started)
            await asyncio.sleep(0.5)
            cpu.append({name: used - before[name] for name, used in _cpu(cluster).items()})
            engine.append(max(party.engine_seconds for party in answer.report.parties))
        await client.delete("bench")
        equal = [(await client.compare(a, b)).match == (_distance(a, b) <= 0.6) for a, b, _ in chosen]
    return {
        "client_s": statistics.median(seconds),
        "engine_s": statistics.median(engine),
        "cpu_s": {name: round(statistics.median(c[name] for c in cpu), 3) for name in cpu[0]},
        "rss_mb_party": max(party.peak_memory_mb for party in answer.report.parties),
        "pairs": len(chosen),
        "decisions_equal_float": sum(equal),
    }


def _cpu(cluster: Cluster) -> dict[str, float]:
    """CPU seconds of each service so far."""
    return {name: sum(psutil.Process(p.pid).cpu_times()[:2]) for name, p in cluster.processes.items()}


def _pairs(count: int) -> list[tuple[Chip, Chip, bool]]:
    """Half same, half different pairs of the LFW development test list."""
    lines = [line.split() for line in (LFW / "pairs.txt").read_text().splitlines()]
    same = [(name, a, name, b) for name, a, b in (line for line in lines if len(line) == 3)]
    different = [(name, a, other, b) for name, a, other, b in (line for line in lines if len(line) == 4)]
    chosen = [(*row, True) for row in same[: count // 2]] + [(*row, False) for row in different[: count - count // 2]]

    def chip(name: str, number: str) -> Chip:
        return capture(LFW / name / f"{name}_{int(number):04d}.jpg", largest=True)

    return [(chip(name, a), chip(other, b), match) for name, a, other, b, match in chosen]


def _distance(a: Chip, b: Chip) -> float:
    pixels = torch.from_numpy(np.stack([a.pixels, b.pixels])).permute(0, 3, 1, 2).float()
    first, second = _NETWORK(pixels)
    return float((first - second).norm())


_NETWORK = face_resnet.load()
