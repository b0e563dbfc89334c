"""A program computes what its module computes in eager torch, or ."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations, parametrize, prune
from visard_engine.nn import fidelity
from visard_engine.nn.compile import Compiled, compile_module
from visard_engine.nn.errors import Differs
from visard_engine.nn.lowering.emitter import known
from visard_engine.nn.lowering.emitters import EMITTERS
from visard_engine.nn.program import OPEN
from visard_engine.nn.twin import random_rounding, run_twin

from tests.engine.nn.layers import Entry, Function, normed
from tests.engine.nn.networks import images

SHAPE = (2, 12, 12)
Make = Callable[[], nn.Module]


def compiled(module: nn.Module, q: int = 31, **options: Any) -> Compiled:
    calibration = images(4, SHAPE, seed=9)
    options = {"operating_points": {}, "margin": 2.0, "purpose": OPEN, **options}
    return compile_module(module, SHAPE, q=q, calibration=calibration, **options)


def function(f: Callable[[Tensor], Tensor]) -> nn.Module:
    return Entry(Function(f))


class Acts(nn.Module):
    """relu, written as its owner likes, of what is added to the result once more: a pre-activation block."""

    def __init__(self, act: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.norm, self.act, self.conv = normed(nn.BatchNorm2d(4)), act, nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(x)
        z: Tensor = self.conv(self.act(y))
        return z + y  # what y is now depends on whether act changed it


class Through(nn.Module):
    """Changed under the name that a layer gave it, which at inference does nothing."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer(x)
        y -= 0.3
        return torch.relu(y) + x


def changed(change: Callable[[Tensor, Tensor], object]) -> nn.Module:
    """y is made of x, changed together with x, and read again under both of its names."""

    def both(x: Tensor) -> Tensor:
        y = x * 0.5
        other = y
        change(y, x)
        return other + x

    return function(both)


def augmented(name: str) -> nn.Module:
    def both(x: Tensor) -> Tensor:
        y = x * 0.5
        other = y
        match name:
            case "+=":
                y += x
            case "-=":
                y -= x
            case "*=":
                y *= x
            case "/=":
                y /= 4
        return torch.cat([other, y], 1)

    return function(both)


IN_PLACE: dict[str, Make] = {
    "relu": lambda: Entry(Acts(nn.ReLU(inplace=True))),
    "relu by copy": lambda: Entry(Acts(nn.ReLU())),
    "leaky relu": lambda: Entry(Acts(nn.LeakyReLU(0.2, inplace=True))),
    "hardtanh": lambda: Entry(Acts(nn.Hardtanh(-0.5, 0.5, inplace=True))),
    "relu6": lambda: Entry(Acts(nn.ReLU6(inplace=True))),
    "hardswish": lambda: Entry(Acts(nn.Hardswish(inplace=True))),
    "functional relu": lambda: Entry(Acts(lambda x: functional.relu(x, inplace=True))),
    "functional relu by position": lambda: Entry(Acts(lambda x: functional.relu(x, True))),
    "functional hardtanh": lambda: Entry(Acts(lambda x: functional.hardtanh(x, -0.5, 0.5, inplace=True))),
    "functional leaky relu": lambda: Entry(Acts(lambda x: functional.leaky_relu(x, 0.3, inplace=True))),
    "hardtanh_": lambda: Entry(Acts(lambda x: functional.hardtanh_(x, -0.5, 0.5))),
    "leaky_relu_": lambda: Entry(Acts(lambda x: functional.leaky_relu_(x, 0.3))),
    "torch.relu_": lambda: Entry(Acts(torch.relu_)),
    "clamp_": lambda: Entry(Acts(lambda x: x.clamp_(-0.5, 0.5))),
    "relu_ through a name": lambda: changed(lambda y, _: y.relu_()),
    "add_": lambda: changed(lambda y, x: y.add_(x)),
    "sub_ of a number": lambda: changed(lambda y, _: y.sub_(0.25)),
    "mul_": lambda: changed(lambda y, x: y.mul_(x)),
    "div_": lambda: changed(lambda y, _: y.div_(3)),
    "of the operand": lambda: changed(lambda _, x: x.mul_(0.5)),
    "twice": lambda: changed(lambda y, x: y.add_(x).mul_(y)),
    **{name: (lambda name=name: augmented(name)) for name in ("+=", "-=", "*=", "/=")},  # type: ignore[misc]
    "through identity": lambda: Entry(Through(nn.Identity())),
    "through dropout": lambda: Entry(Through(nn.Dropout())),
    "before pooling": lambda: function(lambda x: functional.max_pool2d(x.relu_(), 2) + functional.avg_pool2d(x, 2)),
    "flat, and never read as a picture again": lambda: function(lambda x: torch.flatten(x, 1).relu_()),
    "the image": lambda: Function(lambda x: x.sub_(100.0) + x),
}

NUMBERS: dict[str, Make] = {
    "negative power of two": lambda: function(lambda x: x * -0.5),
    "negative": lambda: function(lambda x: x * -0.3),
    "negative whole": lambda: function(lambda x: x * -3),
    "divided by a negative": lambda: function(lambda x: x / -7),
    "number less x": lambda: function(lambda x: 0.7 - x),
    "default arguments, spelt out": lambda: function(lambda x: torch.add(torch.sub(x, x * 3, alpha=1), x, alpha=1)),
    "division, not rounded": lambda: function(lambda x: torch.div(x, 4, rounding_mode=None)),
    "float64": lambda: function(lambda x: x * 0.3).double(),
    "dropout, off": lambda: function(lambda x: functional.dropout(x, 0.5, training=False)),
}


def convolutions() -> Entry:
    return Entry(nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3))


def reloaded(wrap: Callable[[nn.Module], object]) -> nn.Module:
    """Wrapped, then filled with other weights: what the wrapper computed at first is stale."""
    torch.manual_seed(1)
    source, target = convolutions(), convolutions()
    for module in (source, target):
        wrap(module.rest[0])
    target.load_state_dict(source.state_dict())
    return target


def old_weight_norm(layer: nn.Module) -> None:
    with pytest.warns(FutureWarning):
        nn.utils.weight_norm(layer)
    layer.get_parameter("weight_g").data.mul_(1.7)


def spectral(layer: nn.Module, wrap: Callable[..., object]) -> None:
    wrap(layer, n_power_iterations=3)
    layer.train()
    layer(torch.randn(1, 4, 12, 12))


class Doubled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * x


COMPUTED: dict[str, Make] = {
    "weight norm, as a hook": lambda: reloaded(old_weight_norm),
    "weight norm": lambda: reloaded(parametrizations.weight_norm),
    "spectral norm, as a hook": lambda: reloaded(lambda layer: spectral(layer, nn.utils.spectral_norm)),
    "spectral norm": lambda: reloaded(lambda layer: spectral(layer, parametrizations.spectral_norm)),
    "pruned": lambda: reloaded(lambda layer: prune.l1_unstructured(layer, "weight", 0.5)),  # type: ignore[no-untyped-call]
    "own parametrization": lambda: reloaded(
        lambda layer: parametrize.register_parametrization(layer, "weight", Doubled())
    ),
}

FAITHFUL = {
    f"{title}: {name}": make
    for title, table in (("in place", IN_PLACE), ("numbers", NUMBERS), ("computed", COMPUTED))
    for name, make in table.items()
}


@pytest.mark.parametrize("name", FAITHFUL)
def program__should_compute_what_eager_torch_does(name: str) -> None:
    torch.manual_seed(3)
    module = FAITHFUL[name]().eval()
    result, probes = compiled(module, 61), images(2, SHAPE, seed=5)
    found = run_twin(result.program, result.weights, probes, random_rounding(1)) / 2**result.program.output.scale
    with torch.no_grad():
        dtype = next((p.dtype for p in module.parameters()), torch.float32)
        truth = copy_of(module)(torch.from_numpy(probes).to(dtype)).numpy()
    assert np.abs(found - truth).max() < 1e-3 * np.abs(truth).max()


def copy_of(module: nn.Module) -> nn.Module:
    """What old hooks have put on a layer has a history, which torch does not copy: then the module itself."""
    try:
        return copy.deepcopy(module)
    except RuntimeError:
        return module


@pytest.mark.parametrize("wrap", [old_weight_norm, parametrizations.weight_norm])
def module__should_be_left_as_it_is(wrap: Callable[[nn.Module], object]) -> None:
    module = reloaded(wrap).train()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    compiled(module)
    assert module.training
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())
    assert module(torch.zeros(1, *SHAPE)).shape == (1, 2, 8, 8)


@pytest.mark.parametrize("q", [31, 61])
@pytest.mark.parametrize(
    ("layer", "instead", "named"),
    [  # lowerings with a fault each, as they could be written by mistake
        (lambda: nn.LeakyReLU(0.05), nn.ReLU, r"rest\.1 \(LeakyReLU\)"),
        (lambda: nn.Hardtanh(-0.5, 0.5), nn.ReLU6, r"rest\.1 \(Hardtanh\)"),
        (lambda: nn.MaxPool2d(2), nn.AvgPool2d, r"rest\.1 \(MaxPool2d\)"),
        (lambda: normed(nn.BatchNorm2d(4)), nn.Identity, r"rest\.1 \(BatchNorm2d\)"),
        (
            lambda: nn.AvgPool2d(2),
            nn.Identity,
            r"rest\.1 \(AvgPool2d\): \(4, 6, 6\) in torch, \(4, 12, 12\) in the program",
        ),
    ],
)
def wrong_lowering__should_be_found_and_named(
    q: int, layer: Make, instead: type[nn.Module], named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(3)
    module = Entry(nn.Identity(), layer(), Function(lambda x: x - 0.1))
    kind, right = type(module.rest[1]), EMITTERS.modules[type(module.rest[1])]
    other = EMITTERS.modules[instead].emit
    monkeypatch.setitem(EMITTERS.modules, kind, known(other, " ".join(right.arguments), **right.only))
    with pytest.raises(Differs, match=named):
        compiled(module, q)


def forward_replaced_on_a_class__should_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nn.ReLU, "forward", lambda _, x: functional.relu(x) * 1.01)
    with pytest.raises(Differs, match=r"rest\.1 \(ReLU\): the program computes something else"):
        compiled(convolutions())


def weights_off_by_a_bit__should_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound of a layer is rounding's: one weight wrong by a hundredth is beyond it, and so is one bias."""
    torch.manual_seed(3)
    check = fidelity.check

    def tampered(owner: Any, builder: Any, program: Any, weights: np.ndarray, calibration: Any) -> None:
        weights = weights.copy()
        weights[0] += 2 ** next(op.weight_bits for op in program.operations if op.kind == "conv") // 100
        check(owner, builder, program, weights, calibration)

    monkeypatch.setattr(fidelity, "check", tampered)
    with pytest.raises(Differs, match=r"entry \(Conv2d\)"):
        compiled(convolutions())


def zero_branch__should_pass() -> None:
    """A residual branch that training starts at zero rounds to nothing, and harms nothing."""

    class Zero(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
            nn.init.constant_(self.norm.weight, 1e-7)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.norm(self.conv(x))
            return x + y

    torch.manual_seed(3)
    assert compiled(Entry(Zero())).program.output.shape == (4, 12, 12)
