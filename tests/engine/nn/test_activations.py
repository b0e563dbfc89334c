"""Activations: on shares as their twin, to the last bit, and as torch; others are refused by name."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from visard_engine.nn.errors import ProgramError
from visard_engine.nn.operations.activations import Clip, Prelu

from tests.engine.nn.layers import Entry, Function, refuse_layer, run_layer, sloped
from tests.engine.nn.test_program import CONV, program


class Two(nn.Module):
    """Two convolutions of one value, one of them of a channel more that is 1 everywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(4, 2, 3, padding=1), nn.Conv2d(5, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.one(x), self.two(functional.pad(x, (0, 0, 0, 0, 0, 1), value=1.0))], 1)


LAYERS: dict[str, Callable[[], nn.Module]] = {
    "prelu": lambda: Entry(sloped(nn.PReLU(4)), nn.Conv2d(4, 2, 1)),
    "prelu before depthwise": lambda: Entry(sloped(nn.PReLU(4)), nn.Conv2d(4, 8, 3, padding=1, groups=4)),
    "prelu before groups": lambda: Entry(sloped(nn.PReLU(4)), nn.Conv2d(4, 6, 3, groups=2), sloped(nn.PReLU(6))),
    "prelu before two": lambda: Entry(sloped(nn.PReLU(4)), Two(), nn.Conv2d(4, 2, 1)),
    "one slope": lambda: Entry(nn.ReLU(), Function(lambda x: x - 0.5), sloped(nn.PReLU())),
    "leaky relu": lambda: Entry(nn.LeakyReLU(0.2), nn.MaxPool2d(2)),
    "relu6": lambda: Entry(Function(lambda x: x * 5), nn.ReLU6(), nn.Conv2d(4, 2, 3)),
    "hard tanh": lambda: Entry(nn.Hardtanh(-0.3, 0.7)),
    "hard sigmoid": lambda: Entry(Function(lambda x: x * 4), nn.Hardsigmoid()),
    "hard swish": lambda: Entry(Function(lambda x: x * 4), nn.Hardswish()),
    "clamp": lambda: Entry(Function(lambda x: torch.clamp(x, 0.1, 0.6))),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("q", [31, 61])
async def activation__should_compute_its_function_on_shares(name: str, q: int) -> None:
    await run_layer(name, LAYERS[name], q)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: Entry(nn.Identity(), nn.GELU()), r"rest\.1: GELU is not supported"),
        (lambda: Entry(nn.Sigmoid()), r"rest\.0: Sigmoid is not supported"),
        (lambda: Entry(nn.SiLU()), r"rest\.0: SiLU"),
        (lambda: Entry(Function(torch.sigmoid)), r"rest\.0 \(sigmoid\): sigmoid is not supported"),
    ],
)
def other_activation__should_be_named_with_its_place(make: Callable[[], nn.Module], named: str) -> None:
    refuse_layer(make, named)


@pytest.mark.parametrize(
    ("operations", "text"),
    [
        ((CONV, Prelu(1, 0, 8)), "1 to 12 bits to drop"),
        ((CONV, Clip(1, 5)), "a narrow input"),
    ],
)
def impossible_operation__should_be_refused(operations: tuple[Any, ...], text: str) -> None:
    with pytest.raises(ProgramError, match=text):
        program(*operations)
