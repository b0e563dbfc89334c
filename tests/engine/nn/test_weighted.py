"""Convolutions and matrices, secret and public: on shares as their twin and as torch; others are refused by name."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from visard_engine.nn.errors import ProgramError
from visard_engine.nn.operations.weighted import Conv, Filter

from tests.engine.nn.layers import Entry, refuse_layer, run_layer
from tests.engine.nn.test_program import program


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


LAYERS: dict[str, Callable[[], nn.Module]] = {
    "depthwise": lambda: Entry(nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=4), nn.ReLU()),
    "groups": lambda: Entry(nn.Conv2d(4, 6, (3, 1), padding=(1, 0), groups=2, bias=False)),
    "dilation": lambda: Entry(nn.Conv2d(4, 3, 3, dilation=2, padding=2), nn.ReLU()),
    "grouped dilation": lambda: Entry(nn.Conv2d(4, 4, 3, dilation=(1, 3), groups=4)),
    "same": lambda: Entry(nn.Conv2d(4, 3, (3, 5), padding="same")),
    "public kernels": lambda: Entry(Kernels(public=True, groups=1)),
    "public depthwise": lambda: Entry(Kernels(public=True, groups=4)),
    "secret kernels": lambda: Entry(Kernels(public=False, groups=2)),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("q", [31, 61])
async def weighted_layer__should_compute_its_function_on_shares(name: str, q: int) -> None:
    await run_layer(name, LAYERS[name], q)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: Entry(nn.Conv2d(4, 4, 2, padding="same")), r"rest\.0: Conv2d with padding 'same'"),
    ],
)
def other_weighted_layer__should_be_named_with_its_place(make: Callable[[], nn.Module], named: str) -> None:
    refuse_layer(make, named)


@pytest.mark.parametrize(
    ("operations", "text"),
    [
        ((Conv(0, 4, (3, 3), (1, 1), (0, 0), 12, bias=True, groups=2),), "groups of equal size"),
        ((Conv(0, 4, (3, 3), (1, 1), (0, 0), 12, bias=True, dilation=(3, 1)),), "a window no larger"),
        ((Filter(0, 1, (3, 3), (1, 1), (0, 0), 0, (1,) * 9),), "all taps"),
        ((Filter(0, 1, (3, 3), (1, 1), (3, 0), 0, (1,) * 27),), "padding below the kernel"),
    ],
)
def impossible_operation__should_be_refused(operations: tuple[Any, ...], text: str) -> None:
    with pytest.raises(ProgramError, match=text):
        program(*operations)
