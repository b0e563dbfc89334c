"""Every layer on the list: its program computes the module's function, and on shares the twin's to the last bit."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from visard_engine.nn.compile import Compiled, compile_module
from visard_engine.nn.errors import UnsupportedLayer
from visard_engine.nn.lowering.emitters import EMITTERS
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


class Kernels(nn.Module):
    """functional.conv2d with a kernel that is public (a buffer) or secret (a parameter)."""

    def __init__(self, public: bool, groups: int) -> None:
        super().__init__()
        kernel, self.groups = torch.randn(4, 4 // groups, 3, 3) / 4, groups
        if public:
            self.register_buffer("kernel", (kernel * 64).round() / 64)
        else:
            self.kernel = nn.Parameter(kernel)

    def forward(self, x: Tensor) -> Tensor:
        return functional.conv2d(x, self.kernel, padding=1, groups=self.groups)


def normed(layer: nn.BatchNorm1d | nn.BatchNorm2d) -> nn.Module:
    for tensor in (layer.get_buffer("running_var"), layer.weight.data):
        tensor.uniform_(0.5, 2)
    for tensor in (layer.get_buffer("running_mean"), layer.bias.data):
        tensor.uniform_(-0.5, 0.5)
    return layer


def sloped(layer: nn.PReLU) -> nn.Module:
    layer.weight.data.uniform_(-0.2, 0.6)
    return layer


LAYERS: dict[str, Callable[[], nn.Module]] = {
    "depthwise": lambda: Entry(nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=4), nn.ReLU()),
    "groups": lambda: Entry(nn.Conv2d(4, 6, (3, 1), padding=(1, 0), groups=2, bias=False)),
    "dilation": lambda: Entry(nn.Conv2d(4, 3, 3, dilation=2, padding=2), nn.ReLU()),
    "grouped dilation": lambda: Entry(nn.Conv2d(4, 4, 3, dilation=(1, 3), groups=4)),
    "same": lambda: Entry(nn.Conv2d(4, 3, (3, 5), padding="same")),
    "batch norm alone": lambda: Entry(nn.ReLU(), normed(nn.BatchNorm2d(4)), nn.ReLU()),
    "flat batch norm": lambda: Entry(nn.Flatten(), nn.Linear(576, 5), normed(nn.BatchNorm1d(5))),
    "flat batch norm alone": lambda: Entry(nn.AvgPool2d(4), nn.Flatten(), normed(nn.BatchNorm1d(36))),
    "prelu": lambda: Entry(sloped(nn.PReLU(4)), nn.Conv2d(4, 2, 1)),
    "prelu before depthwise": lambda: Entry(sloped(nn.PReLU(4)), nn.Conv2d(4, 8, 3, padding=1, groups=4)),
    "prelu before groups": lambda: Entry(sloped(nn.PReLU(4)), nn.Conv2d(4, 6, 3, groups=2), sloped(nn.PReLU(6))),
    "one slope": lambda: Entry(nn.ReLU(), Function(lambda x: x - 0.5), sloped(nn.PReLU())),
    "leaky relu": lambda: Entry(nn.LeakyReLU(0.2), nn.MaxPool2d(2)),
    "relu6": lambda: Entry(Function(lambda x: x * 5), nn.ReLU6(), nn.Conv2d(4, 2, 3)),
    "hard tanh": lambda: Entry(nn.Hardtanh(-0.3, 0.7)),
    "hard sigmoid": lambda: Entry(Function(lambda x: x * 4), nn.Hardsigmoid()),
    "hard swish": lambda: Entry(Function(lambda x: x * 4), nn.Hardswish()),
    "clamp": lambda: Entry(Function(lambda x: torch.clamp(x, 0.1, 0.6))),
    "padded max": lambda: Entry(nn.ReLU(), nn.MaxPool2d(3, 2, padding=1)),
    "max to the edge": lambda: Entry(nn.ReLU(), nn.MaxPool2d(5, 3, ceil_mode=True)),
    "adaptive max": lambda: Entry(nn.AdaptiveMaxPool2d((3, 4))),
    "odd average": lambda: Entry(nn.AvgPool2d(3), nn.ReLU()),
    "padded average": lambda: Entry(nn.AvgPool2d(3, 2, padding=1)),
    "adaptive average": lambda: Entry(nn.ReLU(), nn.AdaptiveAvgPool2d((4, 3))),
    "global average": lambda: Entry(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)),
    "mean": lambda: Entry(Function(lambda x: x.mean((2, 3)))),
    "concat": lambda: Entry(Function(lambda x: torch.cat([torch.relu(x), x], dim=1)), nn.Conv2d(8, 2, 1)),
    "flat concat": lambda: Entry(
        nn.AvgPool2d(4), nn.Flatten(), Function(lambda x: torch.cat((torch.relu(x), 1 - x), 1)), nn.Linear(72, 3)
    ),
    "zero padding": lambda: Entry(nn.ZeroPad2d((1, 2, 3, 0)), nn.Conv2d(4, 2, 3)),
    "arithmetic": lambda: Entry(Function(lambda x: (torch.relu(x) - x) / 3 + x * 0.3 - 0.7)),
    "square": lambda: Entry(Function(lambda x: x * x)),
    "excite": lambda: Entry(Excite(False), nn.Conv2d(4, 2, 1)),
    "linear excite": lambda: Entry(Excite(True)),
    "public kernels": lambda: Entry(Kernels(public=True, groups=1)),
    "public depthwise": lambda: Entry(Kernels(public=True, groups=4)),
    "secret kernels": lambda: Entry(Kernels(public=False, groups=2)),
}


def compiled(name: str, q: int) -> tuple[nn.Module, Compiled]:
    torch.manual_seed(len(name))
    module = LAYERS[name]().eval().requires_grad_(False)
    calibration = images(6, SHAPE, seed=9)
    return module, compile_module(
        module, SHAPE, q=q, calibration=calibration, operating_points={}, margin=2.0, purpose=OPEN
    )


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("q", [31, 61])
async def layer__should_compute_its_function_on_shares(name: str, q: int) -> None:
    module, result = compiled(name, q)
    probes = images(2, SHAPE, seed=5)
    found, channels, rounding = await run_on_shares(result.program, result.weights, probes)
    assert found.tolist() == run_twin(result.program, result.weights, probes, rounding).tolist()
    expected = module(torch.from_numpy(probes).float()).numpy()
    assert found.shape == expected.shape
    error = np.abs(found / 2**result.program.output.scale - expected).max()
    assert error < (0.04 if q == 31 else 4e-4) * max(1, np.abs(expected).max())
    assert len({channel.rounds for channel in channels}) == 1


@pytest.mark.parametrize("length", [0.01, 1.0, 50.0])
async def normalised_output__should_have_length_one(length: float) -> None:
    torch.manual_seed(1)
    module = Entry(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(36, 8), Function(functional.normalize)).eval()
    module.requires_grad_(False)
    module.get_parameter("rest.2.weight").mul_(length)
    module.get_parameter("rest.2.bias").mul_(length)
    calibration, probes = images(8, SHAPE, seed=9), images(2, SHAPE, seed=5)
    points = {"default": 1.0}
    result = compile_module(module, SHAPE, q=61, calibration=calibration, operating_points=points)
    found, _, rounding = await run_on_shares(result.program, result.weights, probes)
    assert found.tolist() == run_twin(result.program, result.weights, probes, rounding).tolist()
    expected = module(torch.from_numpy(probes).float()).numpy()
    assert np.abs(found / 2**result.program.output.scale - expected).max() < (0.02 if length < 0.1 else 2e-4)
    with pytest.raises(UnsupportedLayer, match=r"rest\.3 \(normalize\): normalize needs the 61-bit field"):
        compile_module(module, SHAPE, q=31, calibration=calibration, operating_points=points)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: Entry(nn.Identity(), nn.GELU()), r"rest\.1: GELU is not supported"),
        (lambda: Entry(nn.Sigmoid()), r"rest\.0: Sigmoid is not supported"),
        (lambda: Entry(nn.SiLU()), r"rest\.0: SiLU"),
        (lambda: Entry(nn.MaxPool2d(3, padding=1)), r"rest\.0: MaxPool2d with padding .* only after a ReLU"),
        (lambda: Entry(nn.MaxPool2d(3, dilation=2)), r"rest\.0: MaxPool2d with dilation"),
        (lambda: Entry(nn.AvgPool2d(3, padding=1, count_include_pad=False)), r"rest\.0: AvgPool2d with"),
        (lambda: Entry(nn.AdaptiveAvgPool2d(5)), r"rest\.0: AdaptiveAvgPool2d from 12x12 to 5"),
        (lambda: Entry(nn.Conv2d(4, 4, 2, padding="same")), r"rest\.0: Conv2d with padding 'same'"),
        (lambda: Entry(Function(lambda x: 1 / x)), "division by anything but a number|truediv"),
        (lambda: Entry(Function(lambda x: torch.cat([x, x], 2))), "cat along anything but channels"),
        (lambda: Entry(Function(lambda x: x.mean(1))), "mean over anything but rows and columns"),
        (lambda: Entry(Function(lambda x: x if x.sum() > 0 else -x)), "forward depends on data"),
        (lambda: Entry(Function(torch.sigmoid)), r"rest\.0 \(sigmoid\): sigmoid is not supported"),
    ],
)
def layer_off_the_list__should_be_named_with_its_place(make: Callable[[], nn.Module], named: str) -> None:
    with pytest.raises(UnsupportedLayer, match=named):
        compile_module(make(), SHAPE, q=31, calibration=images(1, SHAPE), operating_points={}, purpose=OPEN)


def documentation__should_list_every_layer() -> None:
    text = (Path(__file__).parents[3] / "docs" / "models.md").read_text()
    missing = [kind.__name__ for kind in EMITTERS.modules if not re.search(rf"\b{kind.__name__}\b", text)]
    assert missing == []
