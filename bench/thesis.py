"""The classic CNN of the 2020 thesis that visard grew out of: 154,592 parameters."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

SHAPE = (1, 100, 100)
_SEED = 7


class EvenPad(nn.Module):
    """A zero row and column, where max-pooling with a ReLU after it would round an odd size up."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, H + 1, W + 1)."""
        return functional.pad(x, (0, 1, 0, 1))


def thesis_network() -> nn.Sequential:
    """1x100x100; convolutions 4@7, 8@5, 16@3, 32@3, each with 2x2 max-pool and ReLU; 512-256-64. Random weights."""
    torch.manual_seed(_SEED)
    layers: list[nn.Module] = []
    channels = 1
    for width, kernel in ((4, 7), (8, 5), (16, 3), (32, 3)):
        layers += [nn.Conv2d(channels, width, kernel), *([EvenPad()] if width == 8 else []), nn.MaxPool2d(2), nn.ReLU()]
        channels = width
    layers += [nn.Flatten(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 64)]
    first = cast(nn.Conv2d, layers[0])
    first.weight.data.div_(64)  # raw pixels in
    return nn.Sequential(*layers).eval().requires_grad_(False)
