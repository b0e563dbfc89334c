"""Pairs of real photos for end-to-end tests, as chips, and what the float network says of them."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional
from visard.capture import Chip, capture
from visard.owner.networks import face_resnet


@dataclass(frozen=True)
class Pair:
    """Two chips and whether they show one person."""

    first: Chip
    second: Chip
    same: bool

    @property
    def distance(self) -> float:
        """Between the float network's descriptors at length one."""
        return float(np.linalg.norm(descriptor(self.first) - descriptor(self.second)))

    @property
    def float_match(self) -> bool:
        """The float network's decision."""
        return self.distance <= face_resnet.OPERATING_POINTS["default"]


@cache
def network() -> face_resnet.FaceResNet:
    """The float network."""
    return face_resnet.load()


def descriptor(chip: Chip) -> np.ndarray:
    """The float network's descriptor (128,), at length one."""
    pixels = torch.from_numpy(chip.pixels.transpose(2, 0, 1).copy()).float()
    described: torch.Tensor = network()(pixels[None])
    return np.asarray(functional.normalize(described)[0])


def pairs(shared: Path, same: int, different: int, skip: int = 0) -> list[Pair]:
    """The first pairs of each kind in the LFW development test list, after ``skip`` of each."""
    folder = shared / "data" / "lfw-dev"
    lines = [line.split() for line in (folder / "pairs.txt").read_text().splitlines()]
    matched = [line for line in lines if len(line) == 3][skip : skip + same]
    mismatched = [line for line in lines if len(line) == 4][skip : skip + different]

    def chip(name: str, number: str) -> Chip:
        return capture(folder / name / f"{name}_{int(number):04d}.jpg", largest=True)

    found = [Pair(chip(name, a), chip(name, b), True) for name, a, b in matched]
    return found + [Pair(chip(name, a), chip(other, b), False) for name, a, other, b in mismatched]
