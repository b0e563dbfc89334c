"""A network centred on a place: the mean descriptor of photos of it is subtracted from every descriptor.

It goes into the last layer's bias and costs nothing. What is alike in all photos of a camera tells nobody apart; taken away, an
image that is like everybody is like nobody. But a mean holds for its place alone: with another's, several times as many strangers
match as a point is named for. So the points are measured anew with it, and none of the network's own is kept; and on other people
than those of the mean, whom it pushes farther apart than anybody else.
"""

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from visard.capture import is_picture
from visard.errors import InvalidRequest
from visard.owner.bring import Network
from visard.owner.evaluation import embed

FEWEST = 20  # photos that a mean is made of
_APART = 1e-3  # largest difference, of the mean's length, between what is subtracted and the mean


def centred(network: Network, directory: Path, measured: Sequence[Path] = ()) -> Network:
    """The network less the mean descriptor of the photos in a directory and those below it, without points or a mean test.

    Photos whose face cannot be taken are left out. ``measured``: photos that it is to be evaluated with. Raises InvalidRequest
    where one of these lies in a folder of the mean's photos, for fewer than FEWEST photos, and for a network that judges pairs or
    does not end in a layer with a bias.
    """
    if network.judges or network.shape is None:
        raise InvalidRequest("a mean is subtracted from descriptors: of a network that judges pairs there are none")
    found = sorted(path for path in directory.rglob("*") if is_picture(path))
    if len(found) < FEWEST:
        raise InvalidRequest(f"{directory}: {FEWEST} photos or more make a mean, and there are {len(found)}")
    if common := {path.resolve().parent for path in found} & {path.resolve().parent for path in measured}:
        raise InvalidRequest(
            f"{directory}: photos of {len(common)} people are to make the mean and to be measured with, {min(common).name} for "
            "one: points measured so let in many times as many strangers as they are named for; take others for the mean"
        )
    which: embed.Which = "largest" if network.chip else "whole"
    captured = embed.capture_all(found, network.shape, which, lambda: None, network.chip)
    if len(captured.rows) < FEWEST:
        raise InvalidRequest(f"{directory}: {FEWEST} photos or more make a mean, and {len(captured.rows)} can be used")
    described = embed.described(captured, captured.rows, embed.by_float(network.module), lambda: None)
    mean = np.mean(list(described.values()), axis=0)
    pixels = np.stack([captured.pictures[row] for row in captured.rows[:2]])
    module = less(network.module, mean, pixels)
    return replace(network, module=module, points={}, rates={}, mean=(), mean_limit=0.0)


def less(module: nn.Module, mean: npt.NDArray[np.float64], pixels: npt.NDArray[np.uint8]) -> nn.Module:
    """A copy whose descriptors (B, D) are less by a vector (D,): tried on pixels (B, C, H, W). Raises InvalidRequest."""
    made = copy.deepcopy(module)
    biases = [part.bias for part in made.modules() if isinstance(part, nn.Linear) and part.out_features == len(mean)]
    if biases and biases[-1] is not None:
        with torch.no_grad():
            biases[-1].sub_(torch.from_numpy(mean).to(biases[-1]))
        subtracted = embed.by_float(module)(pixels) - embed.by_float(made)(pixels)
        if np.abs(subtracted - mean).max() <= _APART * np.linalg.norm(mean):
            return made
    raise InvalidRequest("the network does not end in a linear layer with a bias, from which a mean could be taken")
