"""Small networks, who is enrolled with them, and what plain integers say to every question."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property

import numpy as np
from visard_engine.field import Bools, Elements, Field, Integers, field_of
from visard_engine.kits import KitPlan
from visard_engine.nn.dealt import dealt_rounding
from visard_engine.nn.operations.activations import Clip, Relu, Truncate
from visard_engine.nn.operations.arithmetic import Align, Flatten
from visard_engine.nn.operations.base import Operation
from visard_engine.nn.operations.pooling import MaxPool
from visard_engine.nn.operations.weighted import Conv, Linear
from visard_engine.nn.program import MATCH, OPEN, Program
from visard_engine.nn.twin import Rounding, floor_rounding, normalised, run_twin
from visard_engine.protocols.mean import VECTOR_BITS, Mean
from visard_engine.protocols.normalise import unit_bits

MASTER = bytes(range(32))
SHAPE = (1, 6, 6)
BITS = 6  # of weights, and of what is dropped again
SIZE = 4  # of a descriptor
# a descriptor's squared length is below the bound of either field, and far above it for a picture so many times as bright
GLARING = 400


@dataclass(frozen=True)
class Network:
    """A program and its weights, in plain integers."""

    program: Program
    weights: Integers

    @property
    def field(self) -> Field:
        """That of its program."""
        return field_of(self.program.q)

    @property
    def mean(self) -> Mean:
        """What a photo must not be too much like."""
        assert self.program.mean_test is not None
        return self.program.mean_test

    def resembles_mean(self, descriptor: Integers) -> bool:
        """Whether one that is compared is too much like the mean."""
        return int(descriptor @ np.array(self.mean.vector)) > self.mean.limit

    def describe(self, images: Integers, rounding: Rounding = floor_rounding) -> Integers:
        """Outputs (B, ...) of images, descriptors as they are compared."""
        found = run_twin(self.program, self.weights, images, rounding)
        return found if self.program.purpose == OPEN else normalised(self.program.q, found, rounding)


@cache
def network(q: int, purpose: str = MATCH) -> Network:
    """A convolution, a max-pool, a ReLU, a linear layer and a truncation; or what ends in a picture that is opened.

    What matches has a mean that one picture in ten of noise is too much like.
    """
    spare = BITS if q == 31 else 0  # either maximum
    entry: tuple[Operation, ...] = (
        Conv(0, 2, (3, 3), (1, 1), (0, 0), BITS, bias=True),
        MaxPool(1, (2, 2), (2, 2), spare),
        Relu(2, BITS),
    )
    last_bits = (Truncate(5, 3),) if q == 31 else (Align(5, 12), Truncate(6, 2))
    matching = (Flatten(3), Linear(4, SIZE, BITS, bias=True), *last_bits)
    points = {"default": 1.0} if purpose == MATCH else {}
    last = matching if purpose == MATCH else (Clip(3, 100),)
    program = Program(q, SHAPE, 0, (*entry, *last), points, purpose)
    weights = np.random.default_rng(q).integers(-1 << BITS, (1 << BITS) + 1, program.weight_count)
    return Network(program, weights) if purpose == OPEN else _with_mean(Network(program, weights))


def _with_mean(made: Network) -> Network:
    found = made.describe(np.random.default_rng(0).integers(0, 256, (200, *SHAPE))).astype(np.float64)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    mean = found.mean(axis=0) / np.linalg.norm(found.mean(axis=0))
    vector = tuple(np.rint(mean * 2.0**VECTOR_BITS).astype(np.int64).tolist())
    return replace(made, program=replace(made.program, mean=vector, mean_limit=float(np.quantile(found @ mean, 0.9))))


@dataclass(frozen=True)
class World:
    """A network, the pictures of who is enrolled with it (N, C, H, W), and one that is asked about.

    ``nearest``: whose picture that is, but for a little noise; None of a stranger.
    """

    network: Network
    enrolled: Integers
    probe: Integers
    nearest: int | None

    @cached_property
    def references(self) -> Integers:
        """(N, D)."""
        return self.network.describe(self.enrolled)

    @cached_property
    def limit(self) -> int:
        """Half a squared distance, far above that of one person's pictures, and far below that of two persons'."""
        distances = self.distances(self.network.describe(self.probe[None])[0])
        others = [d for k, d in enumerate(distances) if k != self.nearest]
        own, apart = 0 if self.nearest is None else int(distances[self.nearest]), self.one >> 7
        most = int(min(others, default=4 * (own + apart)))
        assert own + apart < most // 2, "nobody looks like anybody else here"
        assert self._clear(), "nothing is too near the mean's limit to say what a search makes of it"
        return (own + most) // 2

    def _clear(self) -> bool:
        mean = self.network.mean
        likeness = int(self.network.describe(self.probe[None])[0] @ np.array(mean.vector))
        return abs(likeness - mean.limit) > 1 << unit_bits(self.network.program.q) + VECTOR_BITS - 9

    @property
    def one(self) -> int:
        """The square of length one."""
        return 1 << 2 * unit_bits(self.network.program.q)

    def distances(self, descriptor: Integers) -> Integers:
        """Half the squared ones to each reference."""
        return self.one - self.references @ descriptor


def world(rng: np.random.Generator, q: int, purpose: str, people: int) -> World:
    """With so many enrolled; of two in three the probe is a picture."""
    made = network(q, purpose)
    for _ in range(1000):
        enrolled = rng.integers(0, 256, (people, *SHAPE))
        nearest = int(rng.integers(people)) if rng.integers(3) else None
        seen = rng.integers(0, 256, SHAPE) if nearest is None else enrolled[nearest] + rng.integers(-2, 3, SHAPE)
        found = World(made, enrolled, seen, nearest)
        try:
            if purpose == MATCH:
                _ = found.limit
        except AssertionError:
            continue
        return found
    raise AssertionError("a thousand crowds in which two look alike")


def signed(field: Field, x: Elements) -> Integers:
    """As integers around zero."""
    return field.decode(x)


def shared(rng: np.random.Generator, field: Field, x: Integers) -> tuple[Elements, Elements, Elements]:
    """Shares of degree 1 that come from a seed."""
    secret = field.encode(x)
    slope = rng.integers(0, field.p, x.shape, dtype=np.uint64).astype(field.dtype)
    one = field.add(secret, slope)
    two = field.add(one, slope)
    return one, two, field.add(two, slope)


def rounding_of(plan: KitPlan, kits: Sequence[int]) -> Rounding:
    """What truncations do with these kits, joined as a run joins them."""
    each = [dealt_rounding(plan, MASTER, kit) for kit in kits]

    def rounding(z: Integers, drop: int, below: int) -> tuple[Integers, Bools]:
        parts = [kit(part, drop, below) for kit, part in zip(each, np.split(z, len(each)), strict=True)]
        truncated, negative = zip(*parts, strict=True)
        return np.concatenate(truncated), np.concatenate(negative)

    return rounding


__all__ = ["GLARING", "MASTER", "MATCH", "OPEN", "Network", "World", "network", "shared", "world"]
