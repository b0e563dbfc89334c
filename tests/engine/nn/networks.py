"""Small networks that use every layer on the list, and runs of programs by three parties in one process."""

import asyncio
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from visard_engine.correlated import joined
from visard_engine.describe import describe, describe_plan
from visard_engine.field import Integers, field_of
from visard_engine.in_process import local_channels
from visard_engine.kits import Kit, deal_kit
from visard_engine.nn.compile import Compiled
from visard_engine.nn.execute import Model, embed, embed_plan
from visard_engine.nn.program import Program
from visard_engine.nn.twin import Rounding, dealt_rounding
from visard_engine.session import Run
from visard_engine.shamir import reconstruct, share

MASTER = bytes(32)


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
    """Outputs (B, ...) as the services get them, one kit an image, and the channels; ``spoilt`` takes the three shares."""
    program, field = compiled.program, field_of(compiled.program.q)
    plan, weights = describe_plan(program), share(field, field.encode(compiled.weights))
    dealt = [deal_kit(plan, MASTER, 1 + k) for k in range(len(batch))]
    images = (spoilt or tuple)(share(field, field.encode(batch)))
    channels = local_channels()

    async def party(i: int) -> Any:
        kits = [Kit(plan, 1 + k, d.part(i), i, d.corrections, bytes(32)) for k, d in enumerate(dealt)]
        found = await describe(Run(channels[i]), kits, Model(program, weights[i]), images[i])
        assert all(kit.left == 0 for kit in kits)
        return np.stack(found)

    results = await asyncio.wait_for(asyncio.gather(*(party(i) for i in range(3))), 240)
    return field.decode(reconstruct(field, list(results))), channels


async def run_on_shares(
    program: Program, weights: Integers, batch: np.ndarray, kits: int = 1
) -> tuple[Integers, list[Any], Rounding]:
    """Descriptors (B, D), the parties' channels, and the rounding that the kits' random numbers amount to.

    Each kit serves as many images as the others.
    """
    field = field_of(program.q)
    plan = embed_plan(program, len(batch) // kits)
    numbers = range(1, kits + 1)
    dealt = [deal_kit(plan, MASTER, number) for number in numbers]
    weight_shares, image_shares = share(field, field.encode(weights)), share(field, field.encode(batch))
    channels = local_channels()

    async def party(i: int) -> Any:
        kit = joined(
            [Kit(plan, n, d.part(i), i, d.corrections, bytes(32)) for n, d in zip(numbers, dealt, strict=True)]
        )
        result = await embed(Run(channels[i]), kit, Model(program, weight_shares[i]), image_shares[i])
        assert kit.left == 0
        return result

    results = await asyncio.wait_for(asyncio.gather(*(party(i) for i in range(3))), 240)
    return (
        field.decode(reconstruct(field, results)),
        channels,
        _together([dealt_rounding(plan, MASTER, n) for n in numbers]),
    )


def _together(kits: list[Rounding]) -> Rounding:
    """Each kit's own part of the elements, in order."""

    def rounding(z: Integers, drop: int) -> Integers:
        return np.concatenate([kit(part, drop) for kit, part in zip(kits, np.split(z, len(kits)), strict=True)])

    return rounding
