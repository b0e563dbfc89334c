"""What tests of single layers share: a module around the layer, and its run on shares beside the twin and torch."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from visard_engine.nn.compile import compile_module
from visard_engine.nn.errors import UnsupportedLayer
from visard_engine.nn.program import OPEN
from visard_engine.nn.twin import run_twin

from tests.engine.nn.networks import images, run_on_shares

SHAPE = (2, 12, 12)


class Entry(nn.Module):
    """A first convolution that brings pixels near 1, then the layers under test, which end in a picture or a vector."""

    def __init__(self, *layers: nn.Module, channels: int = 4) -> None:
        super().__init__()
        self.entry = nn.Conv2d(2, channels, 3, padding=1)
        self.rest = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.rest(self.entry((x - 127.5) / 128))
        return y


class Function(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def normed(layer: nn.BatchNorm1d | nn.BatchNorm2d) -> nn.Module:
    for tensor in (layer.get_buffer("running_var"), layer.weight.data):
        tensor.uniform_(0.5, 2)
    for tensor in (layer.get_buffer("running_mean"), layer.bias.data):
        tensor.uniform_(-0.5, 0.5)
    return layer


def sloped(layer: nn.PReLU) -> nn.Module:
    layer.weight.data.uniform_(-0.2, 0.6)
    return layer


async def run_layer(name: str, make: Callable[[], nn.Module], q: int) -> None:
    """The layer's program on shares is its twin's to the last bit, and torch's as far as the field's digits go."""
    torch.manual_seed(len(name))
    module = make().eval().requires_grad_(False)
    calibration, probes = images(6, SHAPE, seed=9), images(2, SHAPE, seed=5)
    result = compile_module(module, SHAPE, q=q, calibration=calibration, operating_points={}, margin=2.0, purpose=OPEN)
    found, channels, rounding = await run_on_shares(result.program, result.weights, probes)
    assert found.tolist() == run_twin(result.program, result.weights, probes, rounding).tolist()
    expected = module(torch.from_numpy(probes).float()).numpy()
    assert found.shape == expected.shape
    error = np.abs(found / 2**result.program.output.scale - expected).max()
    assert error < (0.04 if q == 31 else 4e-4) * max(1, np.abs(expected).max())
    assert len({channel.rounds for channel in channels}) == 1


def refuse_layer(make: Callable[[], nn.Module], named: str) -> None:
    """The layer is refused in a text that has its place."""
    with pytest.raises(UnsupportedLayer, match=named):
        compile_module(make(), SHAPE, q=31, calibration=images(1, SHAPE), operating_points={}, purpose=OPEN)
