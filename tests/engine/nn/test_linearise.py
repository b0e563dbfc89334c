"""Channels that become linear: exactly what was put there, borders included; cheaper; and chosen where it matters least."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from visard_engine.cost import cost
from visard_engine.nn.compile import compile_module
from visard_engine.nn.errors import ModelError, UnsupportedLayer
from visard_engine.nn.linearise import Lines, fitted, linearised
from visard_engine.nn.program import OPEN
from visard_engine.nn.twin import run_twin

from tests.engine.nn.layers import Function, normed, sloped
from tests.engine.nn.networks import images, run_on_shares

SHAPE = (3, 13, 12)
CHANNELS = 10
PLACE = "rest.2"  # of the activation between a pointwise and a depthwise convolution


class Separable(nn.Module):
    """An entry, then a pointwise and a depthwise convolution with an activation between, then a convolution of all channels."""

    def __init__(
        self, depthwise: dict[str, Any], activation: nn.Module, after: tuple[nn.Module, ...] = (), *, bias: bool = True
    ) -> None:
        super().__init__()
        self.entry = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), normed(nn.BatchNorm2d(8)), sloped(nn.PReLU(8)))
        self.rest = nn.Sequential(
            *(nn.Conv2d(8, CHANNELS, 1, bias=bias), normed(nn.BatchNorm2d(CHANNELS)), activation),
            *(nn.Conv2d(CHANNELS, CHANNELS, groups=CHANNELS, bias=bias, **depthwise), normed(nn.BatchNorm2d(CHANNELS))),
            *(*after, nn.Conv2d(CHANNELS, 4, 1, bias=bias)),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.rest(self.entry((x - 127.5) / 128))
        return y


class Lined(nn.Module):
    """A pointwise convolution, an activation, and what takes some channels' places, as it is written."""

    def __init__(self, convolution: nn.Module, norm: nn.Module, activation: nn.Module, lines: Lines) -> None:
        super().__init__()
        self.usual, self.lines = nn.Sequential(convolution, norm, activation), lines

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.usual(x)
        weights, biases = torch.from_numpy(self.lines.weights), torch.from_numpy(self.lines.biases)
        y[:, self.lines.channels] = torch.einsum("kc,bchw->bkhw", weights, x) + biases[:, None, None]
        return y


def separable(name: str = "padded") -> nn.Module:
    torch.manual_seed(len(name))
    return NETWORKS[name]().eval().requires_grad_(False)


NETWORKS = {
    "padded": lambda: Separable({"kernel_size": 3, "padding": 1}, sloped(nn.PReLU(CHANNELS))),
    "strides": lambda: Separable({"kernel_size": 3, "padding": 1, "stride": 2}, nn.LeakyReLU(0.2), (nn.ReLU(),)),
    "not padded": lambda: Separable({"kernel_size": (2, 3), "stride": (1, 2)}, nn.ReLU(inplace=True)),
    "dilated": lambda: Separable({"kernel_size": 3, "padding": (1, 2), "dilation": 2}, sloped(nn.PReLU(1))),
    "without bias": lambda: Separable({"kernel_size": 5, "padding": 2}, sloped(nn.PReLU(CHANNELS)), bias=False),
    "channels apart": lambda: Separable(
        {"kernel_size": 3, "padding": 1},
        nn.ReLU(),
        (
            *(sloped(nn.PReLU(CHANNELS)), normed(nn.BatchNorm2d(CHANNELS)), nn.Dropout(), sloped(nn.PReLU(1))),
            *(nn.Conv2d(CHANNELS, CHANNELS, 3, groups=CHANNELS), normed(nn.BatchNorm2d(CHANNELS)), nn.ReLU6()),
        ),
    ),
}


def lines_of(channels: tuple[int, ...]) -> Lines:
    random = np.random.default_rng(len(channels))
    count = len(channels)
    return Lines(PLACE, np.array(channels, np.int64), random.uniform(-1, 1, (count, 8)), random.uniform(-2, 2, count))


@pytest.mark.parametrize("channels", [(3,), (0, 1, 4, 9), tuple(range(CHANNELS))])
@pytest.mark.parametrize("name", NETWORKS)
def linearised_network__should_compute_its_lines_exactly(name: str, channels: tuple[int, ...]) -> None:
    module, lines = separable(name).double(), lines_of(channels)
    x = torch.from_numpy(images(2, SHAPE)).double()
    before = module(x)
    found = linearised(module, SHAPE, [lines])
    assert torch.equal(module(x), before)
    rest = module.get_submodule("rest")
    assert isinstance(rest, nn.Sequential)
    rest[0], rest[1], rest[2] = Lined(rest[0], rest[1], rest[2], lines), nn.Identity(), nn.Identity()
    expected = module(x)
    assert not torch.allclose(expected, before, atol=1e-3)
    assert found(x).shape == expected.shape
    assert torch.allclose(found(x), expected, rtol=0, atol=1e-12)


def linearised_network__should_not_have_the_activations_of_its_lines() -> None:
    found = linearised(separable(), SHAPE, [lines_of((0, 1, 4, 9))])
    assert found.get_submodule(PLACE).weight.shape == (6,)
    assert PLACE not in dict(linearised(separable(), SHAPE, [lines_of(tuple(range(CHANNELS)))]).named_modules())


def two_places_in_a_row__should_both_be_merged() -> None:
    torch.manual_seed(0)
    block = [nn.Conv2d(8, 8, 3, padding=1, groups=8), sloped(nn.PReLU(8)), nn.Conv2d(8, 8, 1), sloped(nn.PReLU(8))]
    last = [nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=8), nn.ReLU(), nn.Conv2d(8, 4, 1)]
    first = [nn.Conv2d(3, 8, 1), nn.ReLU()]
    module = nn.Sequential(*first, *block, *last).eval().requires_grad_(False).double()
    weights = np.random.default_rng(0).uniform(-1, 1, (2, 8))
    some = [
        Lines("1", np.array([1, 6]), weights[:, :3], np.array([1.0, -2.0])),
        Lines("5", np.array([1, 7]), weights, np.array([3.0, 0.0])),
    ]
    x = torch.from_numpy(images(2, SHAPE)).double() / 64
    found = linearised(module, SHAPE, some)
    for one in some:
        k = int(one.place)
        module[k - 1], module[k] = Lined(module[k - 1], nn.Identity(), module[k], one), nn.Identity()
    assert torch.allclose(found(x), module(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("q", [31, 61])
async def linearised_network__should_run_on_shares_as_its_twin(q: int) -> None:
    module = linearised(separable("strides"), SHAPE, [lines_of((0, 1, 4, 9))])
    options: dict[str, Any] = {"operating_points": {}, "margin": 2.0, "purpose": OPEN}
    result = compile_module(module, SHAPE, q=q, calibration=images(4, SHAPE, seed=9), **options)
    probes = images(2, SHAPE, seed=5)
    found, _, rounding = await run_on_shares(result.program, result.weights, probes)
    assert found.tolist() == run_twin(result.program, result.weights, probes, rounding).tolist()
    expected = module(torch.from_numpy(probes).float()).numpy()
    error = np.abs(found / 2**result.program.output.scale - expected).max()
    assert error < (0.04 if q == 31 else 4e-4) * max(1, np.abs(expected).max())


def linearised_network__should_cost_less() -> None:
    options: dict[str, Any] = {"calibration": images(4, SHAPE), "operating_points": {}, "margin": 2.0, "purpose": OPEN}
    module = separable("strides")
    before = cost(compile_module(module, SHAPE, q=31, **options).program)
    merged = linearised(module, SHAPE, [lines_of(tuple(range(5)))])
    after = cost(compile_module(merged, SHAPE, q=31, **options).program)
    gone = 5 * SHAPE[1] * SHAPE[2]
    assert before.nonlinear - after.nonlinear == gone
    assert before.sent_bytes - after.sent_bytes >= 7 * gone
    assert before.kit_bytes - after.kit_bytes >= 19 * gone
    assert after.rounds == before.rounds


def fitted_lines__should_be_the_same_each_time_and_take_what_was_asked() -> None:
    module, photos = separable("strides"), images(6, SHAPE)
    found = fitted(module, SHAPE, 0.2, photos)
    elements = (8 + CHANNELS) * SHAPE[1] * SHAPE[2] + CHANNELS * 7 * 6
    (line,) = found
    assert len(line.channels) == -(-round(0.2 * elements) // (SHAPE[1] * SHAPE[2]))
    (again,) = fitted(module, SHAPE, 0.2, photos)
    for name in ("channels", "weights", "biases"):
        assert getattr(line, name).tolist() == getattr(again, name).tolist()
    assert fitted(module, SHAPE, 0.0, photos) == ()


def channels_that_are_lines_already__should_go_first_and_lose_nothing() -> None:
    module = separable("padded")
    module.get_parameter(f"{PLACE}.weight")[[2, 7]] = 1.0
    (found,) = fitted(module, SHAPE, 0.1, images(6, SHAPE))
    assert len(found.channels) == 2
    x = torch.from_numpy(images(2, SHAPE, seed=7)).float()
    assert torch.allclose(linearised(module, SHAPE, [found])(x), module(x), atol=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
def fitted_lines__should_come_closer_than_lines_of_other_networks(name: str) -> None:
    module, photos = separable(name), images(6, SHAPE)
    x = torch.from_numpy(images(2, SHAPE, seed=7)).float()
    (found,) = fitted(module, SHAPE, 0.1, photos)
    other = Lines(found.place, found.channels, np.zeros_like(found.weights), np.zeros_like(found.biases))
    errors = [float((linearised(module, SHAPE, [one])(x) - module(x)).norm()) for one in (found, other)]
    assert errors[0] <= errors[1]


def share__should_be_of_the_activations_that_are_functions_as_well() -> None:
    module = nn.Sequential(separable("strides"), Function(torch.relu), nn.Conv2d(4, 2, 1))
    (found,) = fitted(module, SHAPE, 0.2, images(6, SHAPE))
    elements = (8 + CHANNELS) * SHAPE[1] * SHAPE[2] + (CHANNELS + 4) * 7 * 6
    assert len(found.channels) == -(-round(0.2 * elements) // (SHAPE[1] * SHAPE[2]))


@pytest.mark.parametrize("share", [-0.1, 1.0, 1.5, float("nan")])
def impossible_share__should_be_refused(share: float) -> None:
    with pytest.raises(ModelError, match="0 or more and less than 1"):
        fitted(separable(), SHAPE, share, images(1, SHAPE))


def more_than_there_is__should_be_refused() -> None:
    with pytest.raises(UnsupportedLayer, match="elements: 1560 of this network's can be lines"):
        fitted(separable(), SHAPE, 0.9, images(1, SHAPE))


@pytest.mark.parametrize(
    "layers",
    [
        (nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 2, 1)),  # borders of two kernels
        (nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 2, 1)),
        (nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 8, 3, groups=4), nn.Conv2d(8, 2, 1)),
        (nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 3, groups=4), nn.MaxPool2d(2), nn.Conv2d(4, 2, 1)),
        (
            nn.Conv2d(3, 4, 1),
            nn.ReLU(),
            nn.Conv2d(4, 4, 3, groups=4, padding_mode="reflect", padding=1),
            nn.Conv2d(4, 2, 1),
        ),
    ],
)
def other_places__should_be_left_alone(layers: tuple[nn.Module, ...]) -> None:
    module = nn.Sequential(*layers)
    with pytest.raises(UnsupportedLayer, match=" 0 of this network's can be lines"):
        fitted(module, SHAPE, 0.1, images(1, SHAPE))
    with pytest.raises(UnsupportedLayer, match="1: no activation between"):
        linearised(module, SHAPE, [Lines("1", np.array([0]), np.ones((1, 3)), np.zeros(1))])


@pytest.mark.parametrize("channels", [(), (2, 1), (1, 1), (-1, 2), (0, CHANNELS)])
def lines_of_no_channels__should_be_refused(channels: tuple[int, ...]) -> None:
    with pytest.raises(UnsupportedLayer, match="channels that rise, from 0 to 9, each with 8 weights and a bias"):
        linearised(separable(), SHAPE, [lines_of(channels)])
