"""The demonstrations of the 2020 thesis that visard grew out of, as models: image operations on an image nobody sees.

    visard model publish sharpen visard.owner.networks.demonstrations:sharpen --open-output
    visard run sharpen photo.jpg -o sharp.png

Pixels are 0 to 255, 1x100x100 unless --input says otherwise. A kernel that is a parameter is secret: shared among the
parties like the image. One that is a buffer is public: it stands in the program, and takes no interaction.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

INPUT_SHAPE = (1, 100, 100)
FACTOR = 0.75  # how much of the edges is added back
GREY = 128.0

# second differences along a row, and along a column
HORIZONTAL = torch.tensor([[0.0, 0.0, 0.0], [-1.0, 2.0, -1.0], [0.0, 0.0, 0.0]])
VERTICAL = HORIZONTAL.T.contiguous()
BLUR = torch.tensor([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]) / 16


class AboveGrey(nn.Module):
    """How much brighter than grey: without the shift a ReLU would change no pixel."""

    def forward(self, x: Tensor) -> Tensor:
        """max(0, x - 128)."""
        return functional.relu(x - GREY)


class PublicSharpen(nn.Module):
    """x + factor (horizontal edges + vertical edges), all kernels public."""

    horizontal: Tensor
    vertical: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.register_buffer("horizontal", HORIZONTAL.repeat(channels, 1, 1, 1))
        self.register_buffer("vertical", VERTICAL.repeat(channels, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        rows = functional.conv2d(x, self.horizontal, padding=1, groups=self.channels)
        columns = functional.conv2d(x, self.vertical, padding=1, groups=self.channels)
        return x + (rows + columns) * FACTOR


class SecretSharpen(nn.Module):
    """x + factor (horizontal edges + vertical edges), with secret masks and a secret factor."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.edges = nn.Conv2d(channels, 2 * channels, 3, padding=1, groups=channels, bias=False)
        self.factor = nn.Conv2d(2 * channels, channels, 1, groups=channels, bias=False)
        with torch.no_grad():
            self.edges.weight.copy_(torch.stack([HORIZONTAL, VERTICAL]).repeat(channels, 1, 1)[:, None])
            self.factor.weight.fill_(FACTOR)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        return x + self.factor(self.edges(x))  # type: ignore[no-any-return]


def convolution() -> nn.Module:
    """One secret 3x3 convolution: a blur."""
    layer = nn.Conv2d(1, 1, 3, padding=1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(BLUR)
    return layer


def max_pool() -> nn.Module:
    """2x2 max-pooling."""
    return nn.MaxPool2d(2)


def relu() -> nn.Module:
    """ReLU, of the pixels less grey."""
    return AboveGrey()


def sharpen_public() -> nn.Module:
    """Sharpening with public kernels, grey."""
    return PublicSharpen(1)


def sharpen() -> nn.Module:
    """Sharpening with secret kernels, grey."""
    return SecretSharpen(1)


def sharpen_colour() -> nn.Module:
    """Sharpening with secret kernels; publish it with --input 3xHxW."""
    return SecretSharpen(3)
