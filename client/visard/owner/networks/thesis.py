"""The four networks of the 2020 thesis that visard grew out of, as branches that a compiler can publish.

Each sees 1x100x100 pixels and ends in 64 numbers. Two are trained with the contrastive loss (R. Hadsell, S. Chopra, Y.
LeCun, "Dimensionality reduction by learning an invariant mapping", CVPR 2006) and match by distance; two put the branches
of both images side by side into a small head that is trained with cross entropy. A branch is what a model owner publishes, to
match by distance; with a head both branches and it become one program on a pair (visard.owner.networks.pairs).

This file needs torch and nothing else: the peers of the bench load it in environments without visard.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

INPUT_SHAPE = (1, 100, 100)
DESCRIPTOR_SIZE = 64
CLASSIC_PARAMETERS = 154_592
PIXEL_MEAN, PIXEL_SCALE = 128.0, 64.0

Loss = Literal["contrastive", "entropy"]


class EvenPad(nn.Module):
    """A zero row and column, where max-pooling with a ReLU after it would round an odd size up."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, H + 1, W + 1)."""
        return functional.pad(x, (0, 1, 0, 1))


def classic(normalise: bool = False) -> nn.Sequential:
    """Convolutions 4@7, 8@5, 16@3, 32@3, each with 2x2 max-pool and ReLU; 512-256-64: 154,592 parameters.

    With ``normalise`` a batch norm stands behind each convolution, for training; ``fold`` removes it again.
    """
    layers: list[nn.Module] = []
    channels = 1
    for width, kernel in ((4, 7), (8, 5), (16, 3), (32, 3)):
        layers.append(nn.Conv2d(channels, width, kernel))
        layers += [nn.BatchNorm2d(width)] if normalise else []
        layers += [*([EvenPad()] if width == 8 else []), nn.MaxPool2d(2), nn.ReLU()]
        channels = width
    layers += [nn.Flatten(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, DESCRIPTOR_SIZE)]
    return nn.Sequential(*layers)


class Residual(nn.Module):
    """A residual block; with ``down`` it halves the picture, and its shortcut averages and fills new channels with zeros."""

    def __init__(self, channels_in: int, channels: int, down: bool, normalise: bool) -> None:
        super().__init__()

        def convolution(before: int, stride: int) -> nn.Sequential:
            convolved = nn.Conv2d(before, channels, 3, stride=stride, padding=1)
            return nn.Sequential(convolved, *([nn.BatchNorm2d(channels)] if normalise else []))

        self.first = convolution(channels_in, 2 if down else 1)
        self.second = convolution(channels, 1)
        self.relu = nn.ReLU()
        self.pool = nn.AvgPool2d(2) if down else None
        self.more = channels - channels_in

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels_in, S, S) to (B, channels, S or S / 2, likewise)."""
        y = self.second(self.relu(self.first(x)))
        short = self.pool(x) if self.pool is not None else x
        if self.more:
            short = functional.pad(short, (0, 0, 0, 0, 0, self.more))
        return self.relu(y + short)  # type: ignore[no-any-return]


def resnet(normalise: bool = False) -> nn.Sequential:
    """Eight layers: a 7x7 convolution with stride 3 to 16x32x32, three residual blocks to 64x8x8, average, 1024-64."""
    entry: list[nn.Module] = [nn.Conv2d(1, 16, 7, stride=3)]
    entry += [nn.BatchNorm2d(16)] if normalise else []
    blocks = [Residual(before, after, after > before, normalise) for before, after in ((16, 16), (16, 32), (32, 64))]
    return nn.Sequential(*entry, nn.ReLU(), *blocks, nn.AvgPool2d(2), nn.Flatten(), nn.Linear(1024, DESCRIPTOR_SIZE))


class PairHead(nn.Module):
    """Two descriptors side by side, 128-128-2: logits of "different" and "same"."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(2 * DESCRIPTOR_SIZE, 128)
        self.relu = nn.ReLU()
        self.logits = nn.Linear(128, 2)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """(B, 64) twice to (B, 2)."""
        return self.logits(self.relu(self.hidden(torch.cat([first, second], dim=1))))  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Network:
    """One of the four: its branch, its loss and the accuracy that the thesis reports (percent)."""

    branch: Callable[[bool], nn.Sequential]
    loss: Loss
    thesis_accuracy: float


NETWORKS = {
    "classic-contrastive": Network(classic, "contrastive", 89.20),
    "classic-entropy": Network(classic, "entropy", 81.94),
    "resnet-contrastive": Network(resnet, "contrastive", 91.06),
    "resnet-entropy": Network(resnet, "entropy", 84.13),
}


def fold(branch: nn.Sequential, plain: nn.Sequential) -> nn.Sequential:
    """The same function without batch norms, on raw pixels: ``plain`` filled and returned, for inference.

    A branch is trained on (pixel - 128) / 64, which its first convolution takes over exactly: it has no padding.
    """
    trained = [module for module in branch.modules() if isinstance(module, nn.Conv2d | nn.BatchNorm2d | nn.Linear)]
    targets = [module for module in plain.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    folded: list[nn.Conv2d | nn.Linear] = []
    with torch.no_grad():
        for module in trained:
            if isinstance(module, nn.BatchNorm2d):
                _scale(folded[-1], module)
            else:
                folded.append(targets[len(folded)])
                folded[-1].load_state_dict(module.state_dict())
        entry = folded[0]
        entry.weight.div_(PIXEL_SCALE)
        assert entry.bias is not None
        entry.bias.sub_(entry.weight.sum(dim=(1, 2, 3)) * PIXEL_MEAN)
    return plain.eval().requires_grad_(False)


def _scale(layer: nn.Conv2d | nn.Linear, norm: nn.BatchNorm2d) -> None:
    """Put a batch norm into the convolution before it."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert layer.bias is not None
    factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    layer.weight.mul_(factor[:, None, None, None])
    layer.bias.copy_((layer.bias - norm.running_mean) * factor + norm.bias)
