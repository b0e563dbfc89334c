"""Small networks that use every layer on the list, and runs of programs by three parties in one process."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from visard_engine.describe import describe, describe_plan
from visard_engine.field import Bools, Integers, field_of
from visard_engine.kits import Kit, KitPlan
from visard_engine.nn.compile import Compiled
from visard_engine.nn.dealt import dealt_rounding
from visard_engine.nn.execute import Model, embed, embed_plan
from visard_engine.nn.program import Program
from visard_engine.nn.twin import Rounding
from visard_engine.protocols.verification import verify
from visard_engine.sections import Section
from visard_engine.session import Run, Session
from visard_engine.shamir import reconstruct, share

from tests.engine.harness import MASTER, play, run

VERIFICATION = 3  # rounds


class Residual(nn.Module):
    """Two convolutions with batch norm, a shortcut that is averaged and padded, and a second exit path."""

    def __init__(self) -> None:
        super().__init__()
        self.entry = nn.Conv2d(2, 4, 3, stride=2)
        self.relu = nn.ReLU()
        self.pool = nn.MaxPool2d(3, stride=2)
        self.first = nn.Conv2d(4, 6, 3, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.second = nn.Conv2d(6, 6, 3, padding=1)
        self.average = nn.AvgPool2d(2)
        self.hidden = nn.Linear(6 * 4, 10)
        self.last = nn.Linear(10, 5, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.relu(self.entry(x)))
        y = self.second(self.relu(self.norm(self.first(x))))
        y = self.relu(functional.pad(y, (0, 1, 0, 1)) + functional.pad(self.average(x), (0, 0, 0, 0, 0, 2)))
        out: Tensor = self.last(self.relu(self.hidden(torch.flatten(y, 1))))
        return out


def residual(seed: int = 0) -> Residual:
    """The network for 2 x 21 x 21 images, with random weights that keep activations near 1."""
    torch.manual_seed(seed)
    network = Residual().eval().requires_grad_(False)
    network.entry.weight.div_(128)
    network.get_buffer("norm.running_mean").uniform_(-0.1, 0.1)
    network.get_buffer("norm.running_var").uniform_(0.5, 2)
    network.norm.weight.uniform_(0.5, 2)
    network.norm.bias.uniform_(-0.1, 0.1)
    return network


SHAPE = (2, 21, 21)


def images(n: int, shape: tuple[int, ...] = SHAPE, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, *shape)).astype(np.uint8)


async def describe_on_shares(compiled: Compiled, batch: np.ndarray, spoilt: Any = None) -> tuple[Integers, list[Any]]:
    """Outputs (B, ...) as the services get them, descriptors at length one, one kit an image, and the channels.

    ``spoilt`` takes the three shares.
    """
    program, field = compiled.program, field_of(compiled.program.q)
    weights, images = (share(field, field.encode(x)) for x in (compiled.weights, batch))
    spoil: Any = spoilt or tuple
    pictures = spoil(images)

    async def part(run: Run, kits: list[Kit]) -> Any:
        i = run.channel.party
        return np.stack(await describe(run, kits, Model(program, weights[i]), pictures[i]))

    outcome = await play(describe_plan(program), part, kits=len(batch))
    found = field.decode(reconstruct(field, outcome.results))
    return found, outcome.channels


async def run_on_shares(
    program: Program, weights: Integers, batch: np.ndarray, kits: int = 1
) -> tuple[Integers, list[Any], Rounding]:
    """Descriptors (B, D), the parties' channels, and the rounding that the kits' random numbers amount to.

    Each kit serves as many images as the others. What is claimed of the run is verified.
    """
    field = field_of(program.q)
    each = len(batch) // kits
    network = embed_plan(program, each)
    plan = KitPlan(program.q, (*network.sections, Section("coin", 1), Section("inner", each * program.pairs)))
    weight_shares, image_shares = share(field, field.encode(weights)), share(field, field.encode(batch))
    rounds = set[int]()

    async def body(s: Session, i: int) -> Any:
        result = await embed(s, Model(program, weight_shares[i]), image_shares[i])
        rounds.add(s.channel.rounds)
        await verify(s, each * program.pairs)
        return result

    outcome = await run(plan, body, 1, kits=kits)
    assert {channel.rounds for channel in outcome.channels} == {max(rounds) + VERIFICATION}
    return (
        field.decode(reconstruct(field, outcome.results)),
        outcome.channels,
        _together([dealt_rounding(plan, MASTER, 1 + k) for k in range(kits)]),
    )


def _together(kits: list[Rounding]) -> Rounding:
    """Each kit's own part of the elements, in order."""

    def rounding(z: Integers, drop: int, below: int) -> tuple[Integers, Bools]:
        parts = [kit(part, drop, below) for kit, part in zip(kits, np.split(z, len(kits)), strict=True)]
        truncated, negative = zip(*parts, strict=True)
        return np.concatenate(truncated), np.concatenate(negative)

    return rounding
