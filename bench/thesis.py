"""The thesis' classic CNN (visard.owner.networks.thesis) with random weights, which torch alone can load, as a peer does."""

from typing import cast

import torch
from torch import nn
from visard.owner.networks.thesis import INPUT_SHAPE as SHAPE
from visard.owner.networks.thesis import classic

__all__ = ["SHAPE", "thesis_network"]

_SEED = 7


def thesis_network() -> nn.Sequential:
    """Random weights, the same each time; raw pixels in."""
    torch.manual_seed(_SEED)
    network = classic()
    first = cast(nn.Conv2d, network[0])
    first.weight.data.div_(64)
    return network.eval().requires_grad_(False)
