"""From image files to descriptors: each image is captured once, then embedded by the float network and by the twin."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from visard.capture import Chip, capture
from visard.errors import CaptureError
from visard.models import face_resnet
from visard.publish import compile_face_model, compiler

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]
A = TypeVar("A", bound=np.generic)
Advance = Callable[[], None]  # called once an image

_BATCH = 8
_ROUNDING_SEED = 0


@dataclass(frozen=True)
class Captured:
    """Chips of the images whose capture succeeded, by image number; the others, with the reason."""

    chips: dict[int, Chip]
    failures: dict[int, str]

    @property
    def rows(self) -> list[int]:
        """Numbers of the images that have a chip."""
        return sorted(self.chips)

    def pixels(self, rows: Sequence[int]) -> npt.NDArray[np.uint8]:
        """(B, 3, 150, 150)."""
        return np.stack([self.chips[row].pixels.transpose(2, 0, 1) for row in rows])


def capture_all(images: Sequence[Path], advance: Advance) -> Captured:
    """The largest face of each image; failures are kept, because in a system they are refusals."""
    chips, failures = {}, {}
    for row, path in enumerate(images):
        try:
            chip = capture(path, largest=True)
            chips[row] = Chip(chip.pixels, chip.pixels)  # the photo is not needed again
        except CaptureError as error:
            failures[row] = str(error)
        advance()
    return Captured(chips, failures)


def float_descriptors(captured: Captured, advance: Advance) -> dict[int, Floats]:
    """Of the float network in plaintext, a row (128,) an image."""
    network = face_resnet.load()

    def embed(pixels: npt.NDArray[np.uint8]) -> Floats:
        return np.asarray(network(torch.from_numpy(pixels).float()), np.float64)

    return _batched(captured, embed, advance)


class Twin:
    """The fixed-point twin of the published face network: the same integers as on shares, but for the rounding's dice."""

    def __init__(self, q: int) -> None:
        self._module: Any = compiler("twin")
        compiled: Any = compile_face_model(q=q)
        self._program, self._weights = compiled.program, compiled.weights
        self.scale = float(2**self._program.output.scale)

    def threshold(self, operating_point: str) -> int:
        """A named distance as the square of integers at the twin's scale."""
        return int(self._program.threshold(operating_point))

    def descriptors(self, captured: Captured, advance: Advance) -> dict[int, Numbers]:
        """Integers (128,) an image."""
        rounding = self._module.random_rounding(_ROUNDING_SEED)

        def embed(pixels: npt.NDArray[np.uint8]) -> Numbers:
            return np.asarray(self._module.run_twin(self._program, self._weights, pixels.astype(np.int64), rounding))

        return _batched(captured, embed, advance)


def _batched(
    captured: Captured, embed: Callable[[npt.NDArray[np.uint8]], npt.NDArray[A]], advance: Advance
) -> dict[int, npt.NDArray[A]]:
    found: dict[int, npt.NDArray[A]] = {}
    rows = captured.rows
    for start in range(0, len(rows), _BATCH):
        batch = rows[start : start + _BATCH]
        for row, descriptor in zip(batch, embed(captured.pixels(batch)), strict=True):
            found[row] = descriptor
            advance()
    return found
