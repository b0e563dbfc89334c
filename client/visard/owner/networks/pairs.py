"""A branch and its head as one network on two pictures at once, so that a pair is judged on shares like any other input.

The thesis' cross-entropy networks put the descriptors of two pictures side by side into a head. Here both branches run side
by side as well: every convolution has two groups with the same weights, every matrix two equal blocks, and the last matrix
of the branch joins the head's first one, for there is nothing between them. The head sees both orders, as in training.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from visard.owner.networks.thesis import EvenPad, PairHead, Residual

_STEEPNESS = 256.0


class PairResidual(nn.Module):
    """Two residual blocks side by side; a public kernel of zeros and ones puts the new channels behind each one's own."""

    spread: Tensor

    def __init__(self, block: Residual) -> None:
        super().__init__()
        self.first = doubled(_only(block.first))
        self.second = doubled(_only(block.second))
        self.relu = nn.ReLU()
        self.pool = block.pool
        kernel = torch.zeros(self.first.out_channels, self.first.in_channels // 2, 1, 1)
        for k in range(self.first.in_channels):
            group, channel = divmod(k, kernel.shape[1])
            kernel[group * len(kernel) // 2 + channel, channel] = 1
        self.register_buffer("spread", kernel)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 2 C, S, S) to (B, 2 channels, S or S / 2, likewise)."""
        y = self.second(self.relu(self.first(x)))
        short = functional.conv2d(self.pool(x), self.spread, groups=2) if self.pool is not None else x
        return self.relu(y + short)  # type: ignore[no-any-return]


class Decide(nn.Module):
    """1 where a score is at most 0, else 0: what the score was is not to be seen.

    In between lies only a score from 0 to 2^-16, which in a field of 31 bits has too few fractional bits to exist.
    """

    def forward(self, score: Tensor) -> Tensor:
        """(B, 1) to the same."""
        near = functional.hardtanh(score, -1.0, 1.0)  # small enough to be multiplied
        once = torch.clamp(1.0 - near * _STEEPNESS, 0.0, 1.0)
        return torch.clamp(1.0 - (1.0 - once) * _STEEPNESS, 0.0, 1.0)


def side_by_side(branch: nn.Sequential, head: PairHead, *, decide: bool) -> nn.Sequential:
    """(B, 2, H, W) raw pixels to the score (B, 1), at most 0 where both show one person; or to that decision, 1 or 0."""
    *layers, last = branch
    assert isinstance(last, nn.Linear)
    found = [_pair_of(layer) for layer in layers]
    found += [_joined(last, head.hidden), nn.ReLU(), _difference(head.logits)]
    return nn.Sequential(*found, *([Decide()] if decide else [])).eval().requires_grad_(False)


def _pair_of(layer: nn.Module) -> nn.Module:
    match layer:
        case nn.Conv2d():
            return doubled(layer)
        case nn.Linear():
            return _blocks(layer)
        case Residual():
            return PairResidual(layer)
        case EvenPad() | nn.MaxPool2d() | nn.AvgPool2d() | nn.ReLU() | nn.Flatten():
            return layer
    raise TypeError(type(layer).__name__)


def _only(part: nn.Sequential) -> nn.Conv2d:
    (layer,) = part
    assert isinstance(layer, nn.Conv2d)
    return layer


def doubled(layer: nn.Conv2d) -> nn.Conv2d:
    """The same convolution for each half of twice the channels."""
    assert layer.bias is not None
    assert layer.groups == 1
    size, stride, padding = layer.kernel_size, layer.stride, layer.padding
    pair = nn.Conv2d(2 * layer.in_channels, 2 * layer.out_channels, size, stride, padding, groups=2)  # type: ignore[arg-type]
    _fill(pair, torch.cat([layer.weight] * 2), torch.cat([layer.bias] * 2))
    return pair


def _blocks(layer: nn.Linear) -> nn.Linear:
    pair = nn.Linear(2 * layer.in_features, 2 * layer.out_features)
    _fill(pair, _diagonal(layer.weight), torch.cat([layer.bias] * 2))
    return pair


def _joined(last: nn.Linear, hidden: nn.Linear) -> nn.Linear:
    """Both branches' last matrix, then the head's first one, in both orders."""
    pair = nn.Linear(2 * last.in_features, 2 * hidden.out_features)
    first, second = hidden.weight.double().chunk(2, dim=1)
    orders = torch.cat([torch.cat([first, second], dim=1), torch.cat([second, first], dim=1)])
    matrix, bias = last.weight.double(), torch.cat([last.bias.double()] * 2)
    _fill(pair, orders @ _diagonal(matrix), orders @ bias + torch.cat([hidden.bias.double()] * 2))
    return pair


def _difference(logits: nn.Linear) -> nn.Linear:
    """ "Different" minus "same", both orders together."""
    score = nn.Linear(2 * logits.in_features, 1)
    weight, bias = logits.weight[0] - logits.weight[1], logits.bias[0] - logits.bias[1]
    _fill(score, torch.cat([weight, weight])[None], 2 * bias[None])
    return score


def _fill(layer: nn.Conv2d | nn.Linear, weight: Tensor, bias: Tensor) -> None:
    with torch.no_grad():
        layer.weight.copy_(weight)
        assert layer.bias is not None
        layer.bias.copy_(bias)


def _diagonal(matrix: Tensor) -> Tensor:
    """(m, n) twice, as the blocks of (2 m, 2 n)."""
    zeros = torch.zeros_like(matrix)
    return torch.cat([torch.cat([matrix, zeros], dim=1), torch.cat([zeros, matrix], dim=1)])
