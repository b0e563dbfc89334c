"""Measuring the whole service: a client, a gateway, three parties and a dealer, and decisions on real pairs."""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from torch.nn import functional
from visard.capture import Chip, capture
from visard.client import DEFAULT_MODEL, Client, Connection
from visard.cluster import Cluster
from visard.owner import publish
from visard.owner.networks import face_resnet
from visard.owner.networks.names import FACE_SMALL
from visard_engine.nn.program import OPEN

from bench import rows
from bench.load import UNLIMITED
from bench.rows import Row

PORT = 18400
LFW = Path("../shared/data/lfw-dev")


def serves(row: Row) -> bool:
    """Whether a client can ask for a row's work: a gallery of W3 would first have to be enrolled, photo by photo."""
    return row.is_network


def measure(chosen: Sequence[Row], repeat: int, pairs: int) -> dict[str, Any]:
    """Seconds of each row, warm, as its clients see them; CPU seconds of each role; decisions on LFW pairs.

    W1 is a verification, with so many clients at a time as the row has images; the others are a model that is run.
    """
    with tempfile.TemporaryDirectory() as directory:
        cluster = Cluster(Path(directory), PORT, stock_target=8, options=UNLIMITED)
        cluster.prepare()
        try:
            cluster.start()
            return asyncio.run(_measure(cluster, chosen, repeat, pairs))
        finally:
            cluster.stop()


async def _measure(cluster: Cluster, chosen: Sequence[Row], repeat: int, pairs: int) -> dict[str, Any]:
    seconds: dict[Row, float] = {}
    async with Client(Connection.from_home(cluster.home, "owner"), deadline=120) as owner:
        await publish.publish(owner, DEFAULT_MODEL, publish.compile_face_model(network=FACE_SMALL))
        for row in chosen:
            if serves(row) and row.name != "W1":
                seconds[row] = await _run_model(owner, cluster, row, repeat)
    faces = _pairs(max(pairs, 1))
    async with Client(Connection.from_home(cluster.home), deadline=120) as client:
        probe, reference = faces[0][:2]
        await client.enrol("bench", [reference])
        for row in chosen:
            if row.name == "W1":
                seconds[row] = statistics.median(
                    [await _together(client, probe, row.batch) for _ in range(repeat + 1)][1:]
                )
        whole = await _verifications(cluster, client, probe, repeat)
        await client.delete("bench")
        equal = [
            (await client.compare(a, b)).match == (_distance(a, b) <= face_resnet.OPERATING_POINTS["default"])
            for a, b, _ in faces[:pairs]
        ]
    return whole | {"rows": seconds, "pairs": pairs, "decisions_equal_float": sum(equal)}


async def _verifications(cluster: Cluster, client: Client, probe: Chip, repeat: int) -> dict[str, Any]:
    """One after the other: what each role spends on one, and where its time goes."""
    seconds, engine, cpu, memory = [], [], [], 0.0
    for _ in range(repeat):
        await _restocked()
        before = _cpu(cluster)
        started = time.perf_counter()
        answer = await client.verify("bench", probe)
        seconds.append(time.perf_counter() - started)
        await _restocked()
        cpu.append({name: used - before[name] for name, used in _cpu(cluster).items()})
        engine.append(max(party.engine_seconds for party in answer.report.parties))
        memory = max(party.peak_memory_mb for party in answer.report.parties)
    return {
        "client_s": statistics.median(seconds),
        "engine_s": statistics.median(engine),
        "cpu_s": {name: round(statistics.median(c[name] for c in cpu), 3) for name in cpu[0]},
        "rss_mb_party": memory,
    }


async def _restocked() -> None:
    """Kits in stock again: dealing is ahead of need."""
    await asyncio.sleep(0.5)


async def _together(client: Client, probe: Chip, count: int) -> float:
    """Seconds until all of so many clients, who ask at the same time, have their answers."""
    await _restocked()
    started = time.perf_counter()
    await asyncio.gather(*(client.verify("bench", probe) for _ in range(count)))
    return time.perf_counter() - started


async def _run_model(owner: Client, cluster: Cluster, row: Row, repeat: int) -> float:
    """Publish the row's network with an output that is opened, and run it on a picture; the median of seconds."""
    network, name = rows.network(row.name, row.q, row.n), row.name.lower()
    program = replace(network.program, purpose=OPEN, operating_points={})
    await owner.models.publish(name, program.to_json(), program.digest, network.weights, program.q)
    picture = np.random.default_rng(7).integers(0, 256, (*program.input_shape[1:], 3)).astype(np.uint8)
    seconds = []
    async with Client(Connection.from_home(cluster.home), model=name, deadline=120) as client:
        for _ in range(repeat + 1):
            await _restocked()
            started = time.perf_counter()
            await client.run(picture)
            seconds.append(time.perf_counter() - started)
    await owner.models.withdraw(name)
    return statistics.median(seconds[1:])


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
    first, second = functional.normalize(_NETWORK(pixels))
    return float((first - second).norm())


_NETWORK = face_resnet.load()
