"""From image files to scores: each image is captured once, then judged by the float network and by the fixed-point twin.

A network either embeds pictures, and the score of a pair is the distance of its descriptors on the unit sphere, or judges both
pictures at once.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from visard.capture import Face, Picture, capture, chip_pixels, choose, cut, detect, load_photo
from visard.errors import CaptureError, InvalidRequest
from visard.owner.bring import OPEN, Shape
from visard.owner.evaluation.metrics import Floats
from visard.owner.evaluation.pairs import PairList
from visard.owner.evaluation.sphere import distances as on_sphere
from visard.owner.evaluation.sphere import unit
from visard.owner.publish import Compiled, compiler
from visard.uploads import as_planes

Pixels = npt.NDArray[np.uint8]
Judge = Callable[[Pixels], Floats]  # inputs (B, C, H, W) to descriptors (B, D) or scores (B, 1)
Which = Literal["largest", "central", "whole"]  # face of an image, or the image as it is
Advance = Callable[[], None]  # called once a step

_BATCH = 8
_ROUNDING_SEED = 0


@dataclass(frozen=True)
class Captured:
    """Pictures (C, H, W) as the network takes them, by image number; of the others, why there is none."""

    pictures: dict[int, Pixels]
    failures: dict[int, str]

    @property
    def rows(self) -> list[int]:
        """Numbers of the images that have a picture."""
        return sorted(self.pictures)


def capture_all(images: Sequence[Path], shape: Shape, which: Which, advance: Advance, chip: str = "") -> Captured:
    """A face of each image, cut as ``chip`` says, or all of it; failures are kept, because in a system they are refusals.

    Raises InvalidRequest when nothing is left.
    """
    pictures, failures = {}, {}
    for row, path in enumerate(images):
        try:
            pictures[row] = as_planes(_taken(load_photo(path), which, chip), shape)
        except CaptureError as error:
            failures[row] = str(error)
        advance()
    if not pictures:
        raise InvalidRequest(f"none of {len(images)} images can be used: {next(iter(failures.values()))}")
    return Captured(pictures, failures)


def _taken(photo: Picture, which: Which, chip: str) -> Picture:
    if which == "whole":
        return photo
    return chip_pixels(capture(photo, largest=True) if which == "largest" else cut(photo, _central(photo)), chip)


def _central(photo: Picture) -> Face:
    """The face nearest to the picture's centre: in LFW, the person that the picture is named after."""
    height, width = photo.shape[:2]

    def offset(face: Face) -> float:
        x, y, across, down = face.box
        return float(np.hypot(x + (across - width) / 2, y + (down - height) / 2))

    return choose(sorted(detect(photo), key=offset), largest=True)


def by_float(module: nn.Module) -> Judge:
    """The network in plaintext."""
    numbers = next((tensor.dtype for tensor in module.parameters()), torch.float32)
    return lambda pixels: np.asarray(module(torch.from_numpy(pixels).to(numbers)), np.float64)


def by_twin(compiled: Compiled) -> Judge:
    """The fixed-point twin, whose integers are those on shares but for the rounding's dice, as numbers.

    Descriptors are as they are compared: times 2^unit_bits of length one, and zeros where the test against a mean refuses them.
    """
    twin: Any = compiler("twin")
    program: Any = compiled.program
    rounding = twin.random_rounding(_ROUNDING_SEED)

    def judge(pixels: Pixels) -> Floats:
        found = twin.run_twin(program, compiled.weights, pixels.astype(np.int64), rounding)
        if program.purpose == OPEN:
            return np.asarray(found / 2.0**program.output.scale, np.float64)
        units = np.asarray(twin.normalised(program.q, found, rounding), np.float64)
        if program.mean_test is not None:
            units[units @ np.array(program.mean_test.vector) > program.mean_test.limit] = 0
        return units

    return judge


def half_squares(units: Mapping[int, Floats], pairs: PairList, program: Any) -> Floats:
    """What the parties compare of each pair of the twin's descriptors, with the integers of ``program.threshold``."""
    one = 4.0 ** compiler("twin").normalise.unit_bits(program.q)
    sides = zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)
    return np.array([one - float(units[a] @ units[b]) for a, b in sides], np.float64)


def half_distances(halves: Floats, program: Any) -> Floats:
    """Distances on the sphere of these."""
    return on_sphere(1 - halves / 4.0 ** compiler("twin").normalise.unit_bits(program.q))


def descriptors(captured: Captured, judge: Judge, advance: Advance) -> dict[int, Floats]:
    """A unit vector (D,) an image."""
    found = described(captured, captured.rows, judge, advance)
    return {row: unit(vector) for row, vector in found.items()}


def described(captured: Captured, rows: Sequence[int], judge: Judge, advance: Advance) -> dict[int, Floats]:
    """What the judge says of some images, as it says it."""
    return dict(zip(rows, _batched([captured.pictures[row] for row in rows], judge, advance), strict=True))


def distances(vectors: Mapping[int, Floats], pairs: PairList) -> Floats:
    """Between the images of every pair; infinite where one has no picture: there is nothing to compare."""
    sides = zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)
    found = [np.linalg.norm(vectors[a] - vectors[b]) if a in vectors and b in vectors else np.inf for a, b in sides]
    return np.array(found, np.float64)


def pair_scores(captured: Captured, pairs: PairList, judge: Judge, advance: Advance) -> Floats:
    """Of a network that judges both images of a pair at once; infinite likewise."""
    usable = np.isin(pairs.first, captured.rows) & np.isin(pairs.second, captured.rows)
    sides = zip(pairs.first[usable].tolist(), pairs.second[usable].tolist(), strict=True)
    found = _batched([np.concatenate([captured.pictures[a], captured.pictures[b]]) for a, b in sides], judge, advance)
    scores = np.full(len(pairs.same), np.inf)
    scores[usable] = [float(score[0]) for score in found]
    return scores


def _batched(pictures: Sequence[Pixels], judge: Judge, advance: Advance) -> list[Floats]:
    found: list[Floats] = []
    for start in range(0, len(pictures), _BATCH):
        batch = pictures[start : start + _BATCH]
        found += list(judge(np.stack(batch)))
        for _ in batch:
            advance()
    return found
