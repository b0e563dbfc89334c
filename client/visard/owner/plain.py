"""A face network in plaintext and floating point, as its owner can run it: what secure answers are compared with."""

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from visard.capture import Chip, chip_pixels
from visard.owner.networks.faces import face_network
from visard.owner.networks.names import FACE


def decisions(chips: Sequence[Chip], network: str = FACE) -> tuple[bool, bool, bool, bool]:
    """What it answers to the questions of the demonstration about chips of a person, of the same person, and of a stranger.

    Does the second match the first, does it again, does the stranger, and is the second nearer to the first than the stranger?
    """
    face = face_network(network)
    pixels = torch.from_numpy(np.stack([chip_pixels(chip, face.chip) for chip in chips])).permute(0, 3, 1, 2).float()
    first, second, stranger = functional.normalize(face.load()(pixels))
    limit = face.points["default"]
    same, other = bool((first - second).norm() <= limit), bool((first - stranger).norm() <= limit)
    nearer = bool((first - second).norm() < (stranger - second).norm())
    return same, same, other, same and nearer
