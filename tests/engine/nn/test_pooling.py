"""Pooling: on shares as its twin, to the last bit, and as torch; other windows are refused by name."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from visard_engine.nn.operations.activations import Relu
from visard_engine.nn.operations.pooling import AveragePool, MaxPool
from visard_engine.nn.operations.weighted import Conv
from visard_engine.nn.twin import random_rounding, run_twin

from tests.engine.nn.layers import Entry, Function, refuse_layer, run_layer
from tests.engine.nn.networks import images
from tests.engine.nn.test_compile import SMALL, compiled, scaled

LAYERS: dict[str, Callable[[], nn.Module]] = {
    "padded max": lambda: Entry(nn.ReLU(), nn.MaxPool2d(3, 2, padding=1)),
    "max to the edge": lambda: Entry(nn.ReLU(), nn.MaxPool2d(5, 3, ceil_mode=True)),
    "adaptive max": lambda: Entry(nn.AdaptiveMaxPool2d((3, 4))),
    "odd average": lambda: Entry(nn.AvgPool2d(3), nn.ReLU()),
    "padded average": lambda: Entry(nn.AvgPool2d(3, 2, padding=1)),
    "adaptive average": lambda: Entry(nn.ReLU(), nn.AdaptiveAvgPool2d((4, 3))),
    "global average": lambda: Entry(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)),
    "mean": lambda: Entry(Function(lambda x: x.mean((2, 3)))),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("q", [31, 61])
async def pooling__should_compute_its_function_on_shares(name: str, q: int) -> None:
    await run_layer(name, LAYERS[name], q)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: Entry(nn.MaxPool2d(3, padding=1)), r"rest\.0: MaxPool2d with padding .* only after a ReLU"),
        (lambda: Entry(nn.MaxPool2d(3, dilation=2)), r"rest\.0: MaxPool2d with dilation"),
        (lambda: Entry(nn.AvgPool2d(3, padding=1, count_include_pad=False)), r"rest\.0: AvgPool2d with"),
        (lambda: Entry(nn.AdaptiveAvgPool2d(5)), r"rest\.0: AdaptiveAvgPool2d from 12x12 to 5"),
        (lambda: Entry(Function(lambda x: x.mean(1))), "mean over anything but rows and columns"),
    ],
)
def other_pooling__should_be_named_with_its_place(make: Callable[[], nn.Module], named: str) -> None:
    refuse_layer(make, named)


def pooling__should_come_before_its_relu() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(
        scaled(nn.Conv2d(1, 2, 3)), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(18, 4)
    ).eval()
    operations = compiled(module).program.operations
    assert [type(op) for op in operations[:3]] == [Conv, MaxPool, Relu]


def relu_that_is_read_twice__should_stay_where_it_is() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.relu, self.pool = scaled(nn.Conv2d(1, 2, 3)), nn.ReLU(), nn.MaxPool2d(2)
            self.average, self.last = nn.AvgPool2d(2), nn.Linear(18, 4)

        def forward(self, x: Tensor) -> Tensor:
            y = self.relu(self.conv(x))
            out: Tensor = self.last(torch.flatten(self.pool(y) + self.average(y), 1))
            return out

    torch.manual_seed(0)
    module = Twice().eval().requires_grad_(False)
    result = compiled(module)
    assert [type(op) for op in result.program.operations[:4]] == [Conv, Relu, MaxPool, AveragePool]
    probes = images(3, SMALL, seed=4)
    found = run_twin(result.program, result.weights, probes, random_rounding(1)) / 2**result.program.output.scale
    assert np.abs(found - module(torch.from_numpy(probes).float()).numpy()).max() < 0.02
