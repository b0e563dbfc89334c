"""Measuring the engine: three workers, and a check of what they computed against the plaintext twin."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from visard import certs
from visard_engine.field import field_of
from visard_engine.nn.dealt import dealt_rounding
from visard_engine.nn.twin import run_twin
from visard_engine.protocols.normalise import unit_bits
from visard_engine.shamir import reconstruct
from visard_wire import cells

from bench import rows
from bench.delay import Link
from bench.rows import Row
from bench.worker import MASTER, kit_number

TIMEOUT = 900.0
_PORT = 18300


def measure(row: Row, repeat: int, *, profile: bool = False, link: Link | None = None) -> dict[str, Any]:
    """The row's figures: medians over the runs, the slowest or largest of the parties."""
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        certs.init(folder / "certs", link.hosts if link is not None else ["localhost"])
        reports = _run_workers(row, repeat, folder, profile, link)
        exact = all(_exact(row, number, folder) for number in (0, repeat))
    runs = [[party[k] for party in reports] for k in range(1, repeat + 1)]

    def median(name: str, pick: Any) -> float:
        return float(statistics.median(pick(party[name] for party in run) for run in runs))

    engine = median("wall", max)
    return {
        "row": row.name,
        "batch": row.batch,
        "n": row.n,
        "field_bits": row.q,
        "client_s": None,
        "engine_s": round(engine, 4),
        "cpu_s_parties": round(median("cpu", sum), 4),
        "cpu_s_dealer": round(median("cpu_dealer", max), 4),
        "rounds": int(median("rounds", max)),
        "sent_mb_party": round(median("sent", max) / 1e6, 4),
        "dealt_mb": round(sum(3 * plan.pair_bytes for plan in rows.plans(row)) / 1e6, 4),
        "kit_mb": round(sum(plan.correction_bytes for plan in rows.plans(row)) / 1e6, 4),
        "rss_mb_party": round(median("rss", max) / 1e6, 1),
        "ratio_torch": round(engine / plaintext_seconds(row, repeat), 1),
        "exact": exact,
        "stages": stages(runs),
    }


def stages(runs: list[list[dict[str, Any]]]) -> dict[str, float]:
    """Median seconds of each stage at party 0, the longest first."""
    names = {name for run in runs for name in run[0]["stages"]}
    medians = {name: statistics.median(run[0]["stages"].get(name, 0.0) for run in runs) for name in names}
    return {name: round(seconds, 5) for name, seconds in sorted(medians.items(), key=lambda item: -item[1])}


def _run_workers(row: Row, repeat: int, folder: Path, profile: bool, link: Link | None) -> list[list[dict[str, Any]]]:
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    if row.is_network:
        rows.write(row, folder)
    workers = []
    hosts = link.hosts if link is not None else ["localhost"] * 3
    for party in range(3):
        settings = {
            "party": party,
            "row": rows.as_json(row),
            "repeat": repeat,
            "out": str(folder),
            "certs": str(folder / "certs"),
            "addresses": [f"{host}:{_PORT + i}" for i, host in enumerate(hosts)],
            "profile": profile,
        }
        command = [sys.executable, "-m", "bench.worker", json.dumps(settings)]
        if link is not None:
            command = link.inside(party, command)
        workers.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | threads))
    end = time.monotonic() + TIMEOUT
    try:
        outputs = [worker.communicate(timeout=end - time.monotonic())[0] for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    if any(worker.returncode for worker in workers):
        raise SystemExit(f"bench: a worker of row {row.name} failed")
    return [[json.loads(line) for line in output.splitlines() if line.startswith("{")] for output in outputs]


def _exact(row: Row, number: int, folder: Path) -> bool:
    """Whether a run's result is the twin's to the last bit."""
    parts = [np.load(folder / f"party{party}-{number}.npy") for party in range(3)]
    if row.is_network:
        network = rows.network(row.name, row.q, row.n)
        descriptors = field_of(row.q).decode(reconstruct(field_of(row.q), parts))
        return all(
            (descriptors[k] == run_twin(network.program, network.weights, image[None], rounding)[0]).all()
            for k, image in enumerate(rows.images(row))
            for rounding in [dealt_rounding(rows.plan(row), MASTER, kit_number(row, number, k))]
        )
    size = parts[0].size // 2
    if row.name == "W3M":
        table = (parts[0][:size] ^ parts[1][:size] ^ parts[2][:size]).reshape(cells.CELLS, -1)
        found = cells.peeled([cell.tobytes() for cell in table], cells.hash_keys(bytes(cells.SEED_BYTES), rows.ROOM))
        numbers = [int.from_bytes(bytes.fromhex(one.reference_id)[:8], "little") for one in found or ()]
        return sorted(numbers) == list(rows.NEAR)
    count = row.n if row.name == "W3" else 1 + (row.n - 1).bit_length()
    bits = np.unpackbits(parts[0][:size] ^ parts[1][:size] ^ parts[2][:size], count=count, bitorder="little")
    probe, references = rows.gallery(row)
    distances, limit = rows.halves(row.q, probe, references), rows.limit(row.q)
    if row.name == "W3":
        return bool((bits == (distances > limit)).all())
    position = sum(int(bit) << k for k, bit in enumerate(bits[1:]))
    return bool(bits[0] == (distances.min() <= limit) and distances[position] == distances.min())


def _plaintext(row: Row) -> Callable[[], object]:
    if row.is_network:
        module, inputs = rows.network(row.name, row.q, row.n).module, torch.from_numpy(rows.images(row)).float()
        return lambda: module(inputs)
    if row.name == "W3M":
        one, parts = rows.large_gallery(row)
        both: tuple[Any, Any] = one, torch.cat([torch.from_numpy(part).float() for part in parts])
    else:
        both = rows.gallery(row)
    probe, references = (torch.as_tensor(x).float() / 2.0 ** unit_bits(row.q) for x in both)
    return lambda: references @ probe < 1 - rows.DISTANCE**2 / 2


def plaintext_seconds(row: Row, repeat: int) -> float:
    """The same in plaintext torch, float32, one thread: the median of as many runs."""
    torch.set_num_threads(1)
    work = _plaintext(row)
    times = []
    with torch.no_grad():
        for _ in range(repeat + 2):
            started = time.perf_counter()
            work()
            times.append(time.perf_counter() - started)
    return statistics.median(times[2:])
