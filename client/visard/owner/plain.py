"""The face network in plaintext and floating point, as its owner can run it: what secure answers are compared with."""

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from visard.capture import Chip
from visard.owner.networks import face_resnet


def decisions(chips: Sequence[Chip]) -> tuple[bool, bool, bool, bool]:
    """What it answers to the questions of the demonstration about chips of a person, of the same person, and of a stranger.

    Does the second match the first, does it again, does the stranger, and is the second nearer to the first than the stranger?
    """
    pixels = torch.from_numpy(np.stack([chip.pixels for chip in chips])).permute(0, 3, 1, 2).float()
    first, second, stranger = functional.normalize(face_resnet.load()(pixels))
    limit = face_resnet.OPERATING_POINTS["default"]
    same, other = bool((first - second).norm() <= limit), bool((first - stranger).norm() <= limit)
    nearer = bool((first - second).norm() < (stranger - second).norm())
    return same, same, other, same and nearer
