"""The workloads. Each is a public description from which every process builds the same work.

W1  dlib's face network (``face-small``), one or more images; W5 SFace (``face``), as it is published
W2  the thesis' network: 1x100x100; convolutions 4@7, 8@5, 16@3, 32@3 with 2x2 max-pool and ReLU; 512-256-64
W3  distances on the sphere of one probe to N references of 128 numbers, and the comparison of each with a threshold;
    W3T the tournament for the nearest instead; W3M the search for all that are near enough, of a million references: synthetic
    ones around real descriptors (random directions where these are not there), of which three are near the probe
W4  ReLU (W4R) and 2x2 max-pool (W4P) on 250x250, one secret 3x3 convolution (W4C) on 100x100; of a row with n they are on
    n x n (bench.sizes)
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from torch import nn
from visard.owner.networks import calibration
from visard.owner.networks.faces import face_network
from visard.owner.networks.names import FACE, FACE_SMALL
from visard.owner.publish import PATTERN_MARGIN, compile_face_model
from visard_engine import matching, nearest, searching
from visard_engine.field import Integers
from visard_engine.kits import KitPlan
from visard_engine.nn.compile import Compiled, compile_module
from visard_engine.nn.execute import embed_plan
from visard_engine.nn.operations.activations import Relu, Truncate
from visard_engine.nn.operations.arithmetic import Flatten
from visard_engine.nn.operations.pooling import MaxPool
from visard_engine.nn.operations.weighted import Conv
from visard_engine.nn.program import Program
from visard_engine.protocols.normalise import unit_bits
from visard_engine.protocols.search import Labels
from visard_engine.searching import Tables
from visard_engine.sections import Section
from visard_wire import cells

from bench.thesis import SHAPE as THESIS_SHAPE
from bench.thesis import thesis_network

POINTS = {"default": 0.6}
DESCRIPTOR = 128
DISTANCE = 0.5  # between the random descriptors of W3, which are at about 1.4 from each other
_SEED = 7
_FACES = {"W1": FACE_SMALL, "W5": FACE}
ROOM = cells.ROOMS[0]  # bytes for a name in W3M
TABLES = Tables(1, cells.words_of(ROOM), cells.HASHES)  # at one threshold
NEAR = (1, 2, 3)  # references that W3M finds
NEARER, AWAY = 0.2, 0.4  # of W3M: the threshold, and how far others are from real descriptors, so that none is found
REAL = Path("../shared/reference/face_resnet_descriptors.npz")
THOUSANDS, MILLION = (10_000, 100_000), (1_000_000,)
_PART = 1 << 16
_PROGRAM, _WEIGHTS = "program.json", "weights.npy"
_SIDES = {"W4R": 250, "W4P": 250, "W4C": 100}


@dataclass(frozen=True)
class Row:
    """One workload: its name, images at a time, references, and the field."""

    name: str
    batch: int = 1
    n: int = 0
    q: int = 31

    @property
    def kits(self) -> int:
        """Kits of a run: one an image, as in the services; of a search one for each block of references, and one more."""
        return len(plans(self))

    @property
    def is_network(self) -> bool:
        """Whether it is a program on images."""
        return not self.name.startswith("W3")


@dataclass(frozen=True)
class Network:
    """A program, its weights as integers, and a torch module of the same work."""

    program: Program
    weights: Integers
    module: nn.Module


_kept: dict[tuple[str, int, int], Network] = {}  # compiled by another process


@cache
def network(name: str, q: int, side: int = 0) -> Network:
    """The program of a row; W4 on a picture of this side."""
    if (name, q, side) in _kept:
        return _kept[name, q, side]
    if name in _FACES:
        face = face_network(_FACES[name])
        compiled = compile_face_model(network=_FACES[name], q=q)
        return Network(cast(Program, compiled.program), compiled.weights, face.load())
    if name == "W2":
        return _compiled(thesis_network(), THESIS_SHAPE, q, PATTERN_MARGIN)
    plane = (1, side or _SIDES[name], side or _SIDES[name])
    operations, module = {
        "W4R": ((Relu(0, 0), Flatten(1)), nn.ReLU()),
        "W4P": ((MaxPool(0, (2, 2), (2, 2)), Flatten(1)), nn.MaxPool2d(2)),
        "W4C": (
            (Conv(0, 1, (3, 3), (1, 1), (0, 0), 12, bias=False), Truncate(1, 12), Flatten(2)),
            nn.Conv2d(1, 1, 3, bias=False),
        ),
    }[name]
    program = Program(q, plane, 0, operations, POINTS)
    weights = np.random.default_rng(_SEED).integers(-(1 << 12), 1 << 12, program.weight_count)
    return Network(program, weights, module)


def write(row: Row, folder: Path) -> None:
    """What the row's network was compiled to, two files: compiling SFace takes ten times as long as running it."""
    made = network(row.name, row.q, row.n)
    (folder / _PROGRAM).write_bytes(made.program.to_json())
    np.save(folder / _WEIGHTS, made.weights)


def read(row: Row, folder: Path) -> None:
    """Take what ``write`` wrote for the row's network, before anything asks for it; there is no torch module then."""
    program = Program.from_json((folder / _PROGRAM).read_bytes())
    _kept[row.name, row.q, row.n] = Network(program, np.load(folder / _WEIGHTS), nn.Identity())


def _compiled(module: nn.Module, shape: tuple[int, int, int], q: int, margin: float) -> Network:
    compiled: Compiled = compile_module(
        module, shape, q=q, calibration=calibration.patterns(shape), operating_points=POINTS, margin=margin
    )
    return Network(compiled.program, compiled.weights, module)


def plans(row: Row) -> list[KitPlan]:
    """What each of a run's kits holds."""
    if row.name == "W3M":
        return list(searching.search_plans(row.q, row.n, DESCRIPTOR, TABLES))
    if row.name == "W3T":
        return list(nearest.identify_plans(row.q, row.n, DESCRIPTOR))
    return [plan(row)] * row.batch


def plan(row: Row) -> KitPlan:
    """What each kit holds of a run whose kits are all alike."""
    if row.is_network:
        program = network(row.name, row.q, row.n).program
        verified = Section("coin", 1), Section("inner", program.pairs)
        return KitPlan(row.q, (*embed_plan(program, 1).sections, *verified))
    return KitPlan(row.q, (Section("compare", row.n), *matching.checks(DESCRIPTOR)))


def images(row: Row) -> Integers:
    """The images of a row, (B, C, H, W), the same in every process."""
    shape = network(row.name, row.q, row.n).program.input_shape
    rng = np.random.default_rng(_SEED + 1)
    if row.name.startswith("W4"):
        return rng.integers(-128, 128, (row.batch, *shape))
    return rng.integers(0, 256, (row.batch, *shape))


def gallery(row: Row) -> tuple[Integers, Integers]:
    """Probe (D,) and references (N, D) of W3, of length one as the services hold them."""
    rng = np.random.default_rng(_SEED + 2)
    references = rng.normal(size=(row.n, DESCRIPTOR))
    probe = references[row.n // 2] + rng.normal(size=DESCRIPTOR) / 20
    return _on_sphere(row.q, probe), _on_sphere(row.q, references)


def large_gallery(row: Row) -> tuple[Integers, Iterator[Integers]]:
    """Probe (D,) and references of W3M, some at a time: nobody needs all of them as integers."""
    people = _people()

    def around(rng: np.random.Generator, centres: npt.NDArray[np.float64], away: float) -> npt.NDArray[np.float64]:
        return np.asarray(centres + away * rng.normal(size=centres.shape) / DESCRIPTOR**0.5)

    probe = around(np.random.default_rng(_SEED), people[0], AWAY)

    def part(start: int) -> Integers:
        rng = np.random.default_rng([_SEED + 3, start])
        found = around(rng, people[rng.integers(len(people), size=min(_PART, row.n - start))], AWAY)
        if not start:
            found[list(NEAR)] = around(rng, np.repeat(probe[None], len(NEAR), axis=0), NEARER / 4)
        return _on_sphere(row.q, found)

    return _on_sphere(row.q, probe), (part(start) for start in range(0, row.n, _PART))


def _people() -> npt.NDArray[np.float64]:
    """Descriptors of real photos, or as many random directions, at length one."""
    if REAL.exists():
        found = np.load(REAL)["descriptors"].astype(np.float64)
    else:
        found = np.random.default_rng(_SEED).normal(size=(27, DESCRIPTOR))
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True))


def labels(row: Row) -> Labels:
    """Of references named by their number, as a party has them in memory."""
    words = np.zeros((row.n, cells.words_of(ROOM)), np.uint64)
    words[:, 0] = np.arange(row.n)
    words[:, 2] = int.from_bytes(b"somebody", "little")
    return Labels(words, np.array(cells.hash_keys(bytes(cells.SEED_BYTES), ROOM), np.uint64), cells.HASHES)


def _on_sphere(q: int, vectors: npt.NDArray[np.float64]) -> Integers:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(np.rint(vectors / length * 2.0 ** unit_bits(q)), np.int64)


def limit(q: int, distance: float = DISTANCE) -> int:
    """A distance as half a squared one, in integers."""
    return int(distance**2 / 2 * 4 ** unit_bits(q))


def halves(q: int, probe: Integers, references: Integers) -> Integers:
    """Half the squared distances (N,), as they are on shares."""
    return np.asarray(4 ** unit_bits(q) - references @ probe)


def parse(names: str, batches: list[int], sizes: list[int], q: int) -> list[Row]:
    """Rows from the command line: W1 for each batch, W3 and W3T for each size, W4 as its three parts."""
    rows: list[Row] = []
    for name in names.split(","):
        if name == "W1":
            rows += [Row(name, batch, q=q) for batch in batches]
        elif name in ("W3", "W3T", "W3M"):
            rows += [Row(name, n=n, q=q) for n in sizes or (MILLION if name == "W3M" else THOUSANDS)]
        elif name == "W4":
            rows += [Row(part, q=q) for part in ("W4R", "W4P", "W4C")]
        elif name in ("W2", "W5", "W4R", "W4P", "W4C"):
            rows.append(Row(name, q=q))
        else:
            raise SystemExit(f"bench: no row {name}; there are W1, W2, W3, W3T, W3M, W4, W4R, W4P, W4C, W5")
    return rows


def as_json(row: Row) -> dict[str, Any]:
    """For a worker's command line."""
    return {"name": row.name, "batch": row.batch, "n": row.n, "q": row.q}
