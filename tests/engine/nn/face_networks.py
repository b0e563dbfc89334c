"""Two well-known face networks, written down from their papers, with seeded random weights and batch-norm statistics."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class Normed(nn.Sequential):
    """A convolution and its batch norm, and a PReLU unless it is linear."""

    def __init__(
        self,
        before: int,
        after: int,
        kernel: int,
        stride: int = 1,
        padding: int = 0,
        groups: int = 1,
        lean: bool = True,
    ) -> None:
        convolution = nn.Conv2d(before, after, kernel, stride, padding, groups=groups, bias=False)
        super().__init__(convolution, nn.BatchNorm2d(after), *([nn.PReLU(after)] if lean else []))


class Bottleneck(nn.Module):
    """Expand, depthwise, project; with a shortcut where nothing changes."""

    def __init__(self, before: int, after: int, expansion: int, stride: int) -> None:
        super().__init__()
        middle = before * expansion
        self.shortcut = stride == 1 and before == after
        self.body = nn.Sequential(
            Normed(before, middle, 1),
            Normed(middle, middle, 3, stride, 1, groups=middle),
            Normed(middle, after, 1, lean=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        return x + y if self.shortcut else y


class MobileFaceNet(nn.Module):
    """S. Chen et al., "MobileFaceNets", CCBR 2018: 112x112, 0.99 M parameters, global depthwise convolution, 128 numbers."""

    input_shape = (3, 112, 112)

    def __init__(self, normalised: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = [Normed(3, 64, 3, 2, 1), Normed(64, 64, 3, 1, 1, groups=64)]
        channels = 64
        for expansion, width, count, stride in (
            (2, 64, 5, 2),
            (4, 128, 1, 2),
            (2, 128, 6, 1),
            (4, 128, 1, 2),
            (2, 128, 2, 1),
        ):
            for k in range(count):
                layers.append(Bottleneck(channels, width, expansion, stride if k == 0 else 1))
                channels = width
        self.features = nn.Sequential(*layers, Normed(128, 512, 1), Normed(512, 512, 7, groups=512, lean=False))
        self.linear, self.norm, self.normalised = nn.Linear(512, 128, bias=False), nn.BatchNorm1d(128), normalised

    def forward(self, x: Tensor) -> Tensor:
        y = self.features((x - 127.5) / 128)
        y = self.norm(self.linear(y.view(y.size(0), -1)))
        return functional.normalize(y) if self.normalised else y


class Basic(nn.Module):
    """A residual block of two 3x3 convolutions."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(after)
        self.second = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(after)
        self.relu = nn.ReLU(inplace=True)
        self.down: nn.Module = nn.Identity()
        if stride != 1 or before != after:
            self.down = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.first_norm(self.first(x)))
        y = self.second_norm(self.second(y))
        y += self.down(x)
        out: Tensor = self.relu(y)
        return out


class ResNet18(nn.Module):
    """K. He et al., "Deep residual learning for image recognition", CVPR 2016, as torchvision has it, to 128 numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.entry = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.norm, self.relu, self.pool = nn.BatchNorm2d(64), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)
        blocks: list[nn.Module] = []
        before = 64
        for after, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
            blocks += [Basic(before, after, stride), Basic(after, after, 1)]
            before = after
        self.blocks, self.average, self.last = nn.Sequential(*blocks), nn.AdaptiveAvgPool2d((1, 1)), nn.Linear(512, 128)

    def forward(self, x: Tensor) -> Tensor:
        y = self.pool(self.relu(self.norm(self.entry((x - 127.5) / 127.5))))
        out: Tensor = self.last(torch.flatten(self.average(self.blocks(y)), 1))
        return out


def settled(module: nn.Module, shape: tuple[int, int, int], seed: int = 0) -> nn.Module:
    """The module for inference: random weights, its batch norms used to random images, so that activations stay near 1."""
    torch.manual_seed(seed)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.momentum = None  # the statistics of what follows
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.uniform_(layer.bias, -0.2, 0.2)
    with torch.no_grad():
        module.train()(torch.randint(0, 256, (8, *shape)).float())
    return module.eval().requires_grad_(False)
