"""A torch module becomes a program of the same function; every other layer and every dangerous range is refused by name."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from visard_engine.nn.compile import PROFILES, Compiled, compile_module
from visard_engine.nn.errors import RangeExceeded, UnsupportedLayer
from visard_engine.nn.operations.weighted import Conv
from visard_engine.nn.twin import normalised, random_rounding, run_twin
from visard_engine.protocols import norm
from visard_engine.protocols.normalise import unit_bits

from tests.engine.nn.networks import SHAPE, images, residual

POINTS = {"default": 0.6}
SMALL = (1, 8, 8)


def compiled(module: nn.Module, shape: tuple[int, int, int] = SMALL, q: int = 31, **options: Any) -> Compiled:
    calibration = images(6, shape, seed=9)
    return compile_module(module, shape, q=q, calibration=calibration, operating_points=POINTS, **options)


def scaled(module: nn.Conv2d) -> nn.Conv2d:
    """A first layer for raw pixels."""
    with torch.no_grad():
        module.weight.div_(128)
    return module


def sequential(*layers: nn.Module, last: int) -> nn.Sequential:
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(last, 4))


def conv(*arguments: Any, **options: Any) -> nn.Conv2d:
    return scaled(nn.Conv2d(*arguments, **options))


@pytest.mark.parametrize(
    "make",
    [
        lambda: sequential(conv(1, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), last=4),
        lambda: sequential(conv(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), last=144),
        lambda: sequential(conv(1, 2, 3, stride=2), nn.MaxPool2d(2), nn.ReLU(), last=2),
        lambda: sequential(conv(1, 2, 1), nn.Identity(), nn.Dropout(), nn.AvgPool2d(4), last=8),
        lambda: sequential(nn.AvgPool2d((2, 4)), conv(1, 2, (2, 1)), nn.ReLU(), nn.ReLU(), last=12),
    ],
)
@pytest.mark.parametrize("q", [31, 61])
def program__should_compute_the_modules_function(make: Callable[[], nn.Sequential], q: int) -> None:
    torch.manual_seed(3)
    module = make().eval().requires_grad_(False)
    module[-1].get_parameter("weight").div_(8)  # descriptors of a length that the norm test of q = 31 lets pass
    module[-1].get_parameter("bias").div_(8)
    result = compiled(module, q=q)
    probes = images(4, SMALL, seed=5)
    found = run_twin(result.program, result.weights, probes, random_rounding(1)) / 2**result.program.output.scale
    assert np.abs(found - module(torch.from_numpy(probes).float()).numpy()).max() < (0.02 if q == 31 else 1e-3)


@pytest.mark.parametrize("q", [31, 61])
def residual_network__should_keep_its_structure(q: int) -> None:
    result = compiled(residual(), SHAPE, q)
    kinds = [op.kind for op in result.program.operations]
    assert kinds.count("conv") == 3
    assert kinds.count("relu") == 4
    assert result.program.output.scale >= PROFILES[q].output
    assert result.program.weight_count == len(result.weights)
    assert result.multiply_adds == sum(layer.multiply_adds for layer in result.layers)


@pytest.mark.parametrize("q", [31, 61])
@pytest.mark.parametrize("factor", [1e-3, 0.05, 1.0])
def descriptors__should_have_as_many_bits_as_their_length_needs(q: int, factor: float) -> None:
    """Short ones too: what a normalisation looks up of their lengths is accurate to a thousandth."""
    module = residual()
    module.last.weight.data.mul_(factor)
    result = compiled(module, SHAPE, q)
    found = run_twin(result.program, result.weights, images(6, SHAPE, seed=9), random_rounding(1))
    most = int((found**2).sum(axis=1).max())
    assert norm.bound(q) >> 4 <= most <= norm.bound(q) >> 1
    plain = functional.normalize(module(torch.from_numpy(images(6, SHAPE, seed=9)).float())).numpy()
    assert np.abs(normalised(q, found, random_rounding(2)) / 2 ** unit_bits(q) - plain).max() < 0.03


class Functional(nn.Module):
    """One function between a convolution and the end."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.conv, self.last, self.function = scaled(nn.Conv2d(1, 2, 3)), nn.Linear(72, 4), function

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.last(torch.flatten(self.function(self.conv(x)), 1))
        return y


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: nn.Sequential(nn.Conv2d(1, 2, 3), nn.Sigmoid()), "1: Sigmoid"),
        (lambda: nn.Sequential(nn.Conv2d(1, 2, 3), nn.GroupNorm(1, 2)), "1: GroupNorm"),
        (lambda: nn.Sequential(nn.Conv2d(1, 2, 3, padding=1, padding_mode="reflect")), "padding_mode=reflect"),
        (lambda: nn.Sequential(nn.MaxPool2d(3, padding=1)), "0: MaxPool2d with padding"),
        (lambda: Functional(torch.sigmoid), "sigmoid"),
        (lambda: Functional(lambda x: functional.pad(x, (0, -1))), "padding other than zeros"),
        (lambda: Functional(lambda x: functional.pad(x, (0, 1), value=1.0)), "padding other than zeros"),
    ],
)
def layer_off_the_list__should_be_refused_by_name(make: Callable[[], nn.Module], named: str) -> None:
    with pytest.raises(UnsupportedLayer, match=named):
        compiled(make().eval())


def small_activations__should_get_more_bits() -> None:
    network = residual()
    network.first.weight.div_(64)
    network.second.weight.mul_(64)  # the rest sees what it saw before
    probes = images(3, seed=4)
    expected = network(torch.from_numpy(probes).float()).numpy()
    errors = []
    for profile in (PROFILES[31], replace(PROFILES[31], reach=0)):
        result = compiled(network, SHAPE, 31, profile=profile)
        assert min(layer.headroom_bits for layer in result.layers) > 2
        found = run_twin(result.program, result.weights, probes, random_rounding(1)) / 2**result.program.output.scale
        errors.append(np.abs(found - expected).max())
    assert errors[0] < errors[1] / 3


def layer_beyond_the_range__should_give_bits_away() -> None:
    network = residual()
    network.first.weight.mul_(400)
    network.second.weight.div_(400)  # the rest sees what it saw before
    probes = images(3, seed=4)
    result = compiled(network, SHAPE, 31)
    bits = [op.weight_bits for op in result.program.operations if isinstance(op, Conv)]
    assert bits[1] < PROFILES[31].products - PROFILES[31].activations
    assert bits[0] == PROFILES[31].products
    assert min(layer.headroom_bits for layer in result.layers) > 2
    found = run_twin(result.program, result.weights, probes, random_rounding(1)) / 2**result.program.output.scale
    assert np.abs(found - network(torch.from_numpy(probes).float()).numpy()).max() < 0.05


def range_beyond_the_field__should_be_refused_by_layer() -> None:
    network = residual()
    network.first.weight.mul_(1 << 16)
    with pytest.raises(RangeExceeded, match=r"relu.*2\^28"):
        compiled(network, SHAPE, 31)
    assert compiled(network, SHAPE, 61).program.q == 61  # the larger field has room


def long_descriptor__should_give_bits_away() -> None:
    network = residual()
    network.last.weight.mul_(16)
    result = compiled(network, SHAPE, 31)
    assert 4 <= result.program.output.scale < PROFILES[31].output


def margin__should_be_kept() -> None:
    for margin in (2.0, 16.0):
        result = compiled(residual(), SHAPE, margin=margin)
        opened = [layer for layer in result.layers if layer.kind in ("relu", "truncate", "max_pool")]
        assert min(layer.headroom_bits for layer in opened) > np.log2(margin)
    with pytest.raises(RangeExceeded, match="margin"):
        compiled(residual(), SHAPE, margin=2.0**20)


def name_of_a_layer__should_change_nothing() -> None:
    """What gives bits away goes by the names of the graph, where the output has one as well."""
    found = set()
    for name in ("last", "output", "fewer"):
        torch.manual_seed(3)
        layers = nn.Sequential()
        layers.add_module("flat", nn.Flatten())
        layers.add_module(name, nn.Linear(64, 8))  # a descriptor that is too long for the output's usual bits
        found.add(compiled(layers.eval()).program.digest)
    assert len(found) == 1
