"""What cannot be compiled as it is meant is refused in one line that names the layer, never passed over: one row a case."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from visard_engine.nn.errors import ModelError

from tests.engine.nn.layers import Entry
from tests.engine.nn.test_fidelity import Make, compiled, convolutions, function


def hooked(register: str, hook: Callable[..., Any]) -> nn.Module:
    module = convolutions()
    getattr(module.rest[1], register)(hook)
    return module


def patched(part: Callable[[nn.Module], nn.Module]) -> nn.Module:
    module = convolutions()
    part(module).forward = lambda x: x * 2
    return module


def wrapped(module: nn.Module) -> nn.Module:
    made: Any = torch.compile(module, backend="eager")
    assert isinstance(made, nn.Module)
    return made


def spoilt(layer: nn.Module, tensor: str, value: float = float("nan")) -> nn.Module:
    module = Entry(nn.ReLU(), layer, nn.ReLU())
    getattr(layer, tensor).data[0] = value
    return module


class Counting(nn.Module):
    """Gives something else each time."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x * self.calls


class Training(nn.Dropout):
    def train(self, mode: bool = True) -> "Training":
        self.training = True
        return self


class Failing(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise KeyError("no\nluck")


class OwnConvolution(nn.Conv2d):
    """A layer on the list, with a forward of its own."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * torch.sigmoid(x)


def scripted() -> nn.Module:
    with pytest.warns(DeprecationWarning, match="script"):
        return torch.jit.script(nn.ReLU())


def untold(x: Tensor) -> Tensor:
    y = torch.flatten(x, 1)
    y += 1
    return functional.avg_pool2d(x, 2)


REFUSED: dict[str, tuple[Make, str]] = {
    "zero": (lambda: function(lambda x: x * 0), r"rest\.0 \(mul\): a factor of 0"),
    "zero as float": (lambda: function(lambda x: 0.0 * x), "a factor of 0"),
    "infinite factor": (lambda: function(lambda x: x * float("inf")), r"rest\.0 \(mul\): mul with other=inf: finite"),
    "NaN summand": (lambda: function(lambda x: x + float("nan")), "add with other=nan"),
    "infinite clamp": (lambda: function(lambda x: torch.clamp(x, 0, float("inf"))), "clamp with max=inf"),
    "infinite limit": (lambda: Entry(nn.Hardtanh(0, float("inf"))), r"rest\.0: Hardtanh with max_val=inf"),
    "NaN slope": (lambda: Entry(nn.LeakyReLU(float("nan"))), "LeakyReLU with negative_slope=nan"),
    "huge factor": (lambda: function(lambda x: x * 10**30), r"rest\.0 \(mul\): public numbers of at most 26 bits"),
    "huge summand": (lambda: function(lambda x: x + 1e9), r"rest\.0 \(add\): public numbers of at most 26 bits"),
    "enormous summand": (lambda: function(lambda x: x + 1e30), r"rest\.0 \(add\): numbers too large"),
    "sub alpha": (lambda: function(lambda x: torch.sub(x, x * 0.5, alpha=3)), r"sub with alpha=3, only alpha=1"),
    "method sub alpha": (lambda: function(lambda x: x.sub(x * 0.5, alpha=3)), r"sub with alpha=3"),
    "add alpha": (lambda: function(lambda x: torch.add(x, x * 0.5, alpha=2)), r"add with alpha=2"),
    "add_ alpha": (lambda: function(lambda x: x.add_(x * 0.5, alpha=2)), r"add_ with alpha=2"),
    "rounded division": (lambda: function(lambda x: torch.div(x, 2, rounding_mode="floor")), "rounding_mode=floor"),
    "whole division": (lambda: function(lambda x: x // 2), "floordiv is not supported"),
    "power in place": (lambda: function(lambda x: x.__ipow__(2)), "ipow is not supported"),
    "output argument": (lambda: function(lambda x: torch.add(x, 1, out=x)), "add with out"),
    "mean as another type": (lambda: function(lambda x: x.mean((2, 3), dtype=torch.float64)), "mean with dtype"),
    "normalize with eps": (lambda: function(lambda x: functional.normalize(x, eps=9.0)), "normalize with eps=9.0"),
    "indices": (lambda: Entry(nn.MaxPool2d(2, return_indices=True)), r"rest\.0: MaxPool2d with return_indices=True"),
    "divisor": (lambda: Entry(nn.AvgPool2d(2, divisor_override=3)), "AvgPool2d with divisor_override=3"),
    "functional divisor": (lambda: function(lambda x: functional.avg_pool2d(x, 2, 2, 0, False, True, 3)), "divisor"),
    "batch changed": (lambda: function(lambda x: x.view(2, -1)), r"a reshape to \(2, -1\): the batch comes first"),
    "dropout, always on": (lambda: function(functional.dropout), r"rest\.0 \(dropout\): dropout that is always on"),
    "dropout, stays on": (lambda: Entry(Training()), r"rest\.0 \(Training\): stays in training after eval"),
    "memory in two shapes": (
        lambda: function(untold),
        r"rest\.0 \(iadd\): iadd changes in place what .* another shape",
    ),
    "forward hook": (
        lambda: hooked("register_forward_hook", lambda *_: _[2] * 2),
        r"rest\.1 \(ReLU\): the forward hook",
    ),
    "forward pre-hook": (
        lambda: hooked("register_forward_pre_hook", lambda *_: None),
        r"rest\.1 \(ReLU\): the forward",
    ),
    "patched layer": (
        lambda: patched(lambda m: m.get_submodule("rest.1")),
        r"rest\.1 \(ReLU\): its forward was replaced",
    ),
    "patched module": (lambda: patched(lambda m: m), r"Entry: its forward was replaced"),
    "derived layer": (lambda: Entry(OwnConvolution(4, 4, 1)), r"rest\.0"),
    "state": (lambda: Entry(Counting()), "Entry: its forward computes something else than the graph"),
    "NaN in a slope": (lambda: spoilt(nn.PReLU(4), "weight"), r"rest\.1\.weight: NaN or infinity"),
    "NaN in a batch norm": (lambda: spoilt(nn.BatchNorm2d(4), "running_mean"), r"rest\.1\.running_mean: NaN"),
    "infinite kernel": (lambda: spoilt(nn.Conv2d(4, 4, 1), "weight", float("inf")), r"rest\.1\.weight: NaN or inf"),
    "negative variance": (lambda: spoilt(nn.BatchNorm2d(4), "running_var", -1.0), r"rest\.1: a BatchNorm2d with a var"),
    "enormous weight": (lambda: spoilt(nn.Conv2d(4, 4, 1), "weight", 1e30), r"rest\.1: numbers too large"),
    "scripted": (scripted, "scripted or traced code"),
    "scripted part": (lambda: Entry(scripted()), r"rest\.0 .*scripted or traced code"),
    "compiled": (lambda: wrapped(convolutions()), "torch.compile has wrapped it"),
    "compiled part": (
        lambda: Entry(wrapped(nn.ReLU())),
        r"rest\.0 \(OptimizedModule\): torch.compile",
    ),
    "meta": (lambda: convolutions().to("meta"), r"entry \(Conv2d\): weight is on the meta device"),
    "not initialised": (lambda: Entry(nn.LazyConv2d(2, 1)), r"rest\.0 \(LazyConv2d\): weight is not initialised"),
    "half": (lambda: convolutions().half(), r"entry\.weight: numbers of type float16"),
    "bfloat16": (lambda: convolutions().bfloat16(), r"entry\.weight: numbers of type bfloat16"),
    "complex": (
        lambda: Entry(nn.Conv2d(4, 4, 1, dtype=torch.complex64)),
        r"rest\.0\.weight: numbers of type complex64",
    ),
    "failing": (lambda: Entry(Failing()), "Entry: its forward fails: KeyError: 'no"),
    "of another shape": (lambda: Entry(nn.Conv2d(5, 4, 1)), r"Entry: its forward fails on an image of 2x12x12"),
    "two outputs": (lambda: function(lambda x: (x, x)), "no single secret value"),  # type: ignore[arg-type, return-value]
    "odd call": (lambda: function(lambda x: functional.pad(x, "ab")), r"rest\.0 \(pad\): pad as it is called here"),  # type: ignore[arg-type]
    "nothing left": (lambda: function(lambda x: x / 1e6 * 1e6), r"rest\.0 \(truediv_1\): too few digits"),
}


@pytest.mark.parametrize("name", REFUSED)
def module__should_be_refused_in_one_line_by_name(name: str) -> None:
    make, text = REFUSED[name]
    torch.manual_seed(3)
    with pytest.raises(ModelError, match=text) as refused:
        compiled(make())
    assert "\n" not in str(refused.value)


def refusal__should_be_a_value_error() -> None:
    assert issubclass(ModelError, ValueError)  # which the client tells from a defect
