"""Sums, products and shapes: on shares as their twin and as torch; others are refused by name."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from visard_engine.nn.errors import ProgramError
from visard_engine.nn.operations.arithmetic import Align, Concat, Flatten, Offset, Pad, Product, Times

from tests.engine.nn.layers import Entry, Function, refuse_layer, run_layer
from tests.engine.nn.test_program import CONV, program


class Excite(nn.Module):
    """Squeeze and excite."""

    def __init__(self, linear: bool) -> None:
        super().__init__()
        self.pool, self.gate, self.linear = nn.AdaptiveAvgPool2d(1), nn.Hardsigmoid(), linear
        self.one = nn.Linear(4, 2) if linear else nn.Conv2d(4, 2, 1)
        self.two = nn.Linear(2, 4) if linear else nn.Conv2d(2, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.pool(x)
        if self.linear:
            y = y.view(y.size(0), -1)
        y = self.gate(self.two(torch.relu(self.one(y))))
        out: Tensor = x * (y.view(y.size(0), 4, 1, 1) if self.linear else y)
        return out


LAYERS: dict[str, Callable[[], nn.Module]] = {
    "concat": lambda: Entry(Function(lambda x: torch.cat([torch.relu(x), x], dim=1)), nn.Conv2d(8, 2, 1)),
    "flat concat": lambda: Entry(
        nn.AvgPool2d(4), nn.Flatten(), Function(lambda x: torch.cat((torch.relu(x), 1 - x), 1)), nn.Linear(72, 3)
    ),
    "zero padding": lambda: Entry(nn.ZeroPad2d((1, 2, 3, 0)), nn.Conv2d(4, 2, 3)),
    "padding with a number": lambda: Entry(
        Function(lambda x: functional.pad(x, (0, 0, 0, 0, 0, 2), value=-1.5)), nn.Conv2d(6, 2, 3, padding=1)
    ),
    "arithmetic": lambda: Entry(Function(lambda x: (torch.relu(x) - x) / 3 + x * 0.3 - 0.7)),
    "square": lambda: Entry(Function(lambda x: x * x)),
    "excite": lambda: Entry(Excite(False), nn.Conv2d(4, 2, 1)),
    "linear excite": lambda: Entry(Excite(True)),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("q", [31, 61])
async def arithmetic__should_compute_its_function_on_shares(name: str, q: int) -> None:
    await run_layer(name, LAYERS[name], q)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: Entry(Function(lambda x: 1 / x)), "division by anything but a number|truediv"),
        (lambda: Entry(Function(lambda x: torch.cat([x, x], 2))), "cat along anything but channels"),
        (
            lambda: Entry(Function(lambda x: functional.pad(x, (1, 1), value=1.0))),
            "padding other than zeros around rows and columns",
        ),
        (
            lambda: Entry(Function(lambda x: functional.pad(x, (0, 0, 0, 0, 0, 1), value=1 / 3))),
            "of at most 8 fractional bits",
        ),
    ],
)
def other_arithmetic__should_be_named_with_its_place(make: Callable[[], nn.Module], named: str) -> None:
    refuse_layer(make, named)


@pytest.mark.parametrize(
    ("operations", "text"),
    [
        ((CONV, Product(0, 1)), "two narrow values"),
        ((Flatten(0), Product(0, 1)), "same shape, or one number a channel"),
        ((Pad(0, 0, 1, 0), Concat(0, 1)), "one height and width"),
        ((Pad(0, 1, 1, 0, fill=3),), "zeros around rows and columns"),
        ((Align(0, 1), Concat(0, 1)), "two values of one scale"),
        ((Times(0, 3, 41),), "0 to 40 bits"),
        ((Offset(0, 3, 41),), "0 to 40 bits to shift"),
    ],
)
def impossible_operation__should_be_refused(operations: tuple[Any, ...], text: str) -> None:
    with pytest.raises(ProgramError, match=text):
        program(*operations)
