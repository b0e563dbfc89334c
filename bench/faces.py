"""Faces of a folder as both published networks see them: quality and descriptors of length one, kept in a file once measured."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from visard.capture import Chip, Picture, Quality, capture, chip_pixels, is_picture, load_photo, quality
from visard.errors import CaptureError
from visard.owner import linear
from visard.owner.networks import sface
from visard.owner.networks.faces import face_network
from visard.owner.networks.names import FACE, FACE_SMALL

Floats = npt.NDArray[np.float64]

NETWORKS = ("sface", "dlib")
MEASURES = tuple(field.name for field in fields(Quality))
_BATCH = 16


@dataclass(frozen=True)
class Faces:
    """Of N photos that show a usable face: person, file, quality (N, measures), landmarks (N, 5, 2), descriptors (N, 128).

    ``refused``: of how many photos more there is no face to use.
    """

    people: list[str]
    files: list[str]
    measures: Floats
    landmarks: Floats
    sface: Floats
    dlib: Floats
    refused: int

    def quality(self, row: int) -> Quality:
        """Of one photo."""
        return Quality(*self.measures[row].tolist())

    def of(self, network: str) -> Floats:
        """Descriptors of "sface" or "dlib"."""
        return self.sface if network == "sface" else self.dlib


def one_thread() -> None:
    """As in the services, and on machines that are shared."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def read(folder: Path, kept: Path | None = None) -> Faces:
    """The largest face of each picture in ``folder``, a folder a person; from the file ``kept`` if it is there, else into it."""
    if kept is not None and kept.exists():
        with np.load(kept) as found:
            arrays = {name: found[name] for name in found.files}
        lists = {name: arrays.pop(name).tolist() for name in ("people", "files", "refused")}
        return Faces(**lists, **arrays)
    faces = _measured(sorted(path for path in folder.glob("*/*") if is_picture(path)))
    if kept is not None:
        np.savez(kept, **vars(faces))
    return faces


def _measured(files: Sequence[Path]) -> Faces:
    chips, used = [], []
    for file in files:
        try:
            chips.append(capture(load_photo(file), largest=True))
            used.append(file)
        except CaptureError:
            continue
    marks = [chip.face.landmarks for chip in chips if chip.face is not None]
    return Faces(
        people=[file.parent.name for file in used],
        files=[file.name for file in used],
        measures=np.array([astuple(quality(chip)) for chip in chips]),
        landmarks=np.array(marks),
        sface=Describer("sface")(chips),
        dlib=Describer("dlib")(chips),
        refused=len(files) - len(used),
    )


class Describer:
    """A face network in plaintext: chips to descriptors (N, 128) of length 1."""

    def __init__(self, network: str) -> None:
        self._sface = network == "sface"
        face = face_network(FACE if self._sface else FACE_SMALL)
        self._module = linear.published(face.load(), face)

    def __call__(self, chips: Sequence[Chip]) -> Floats:
        """In batches."""
        found = []
        for start in range(0, len(chips), _BATCH):
            pixels = np.stack([self._cut(chip) for chip in chips[start : start + _BATCH]])
            found.append(self._module(torch.from_numpy(pixels).permute(0, 3, 1, 2).float()).double().numpy())
        raw = np.concatenate(found)
        return np.asarray(raw / np.linalg.norm(raw, axis=1, keepdims=True), np.float64)

    def _cut(self, chip: Chip) -> Picture:
        return chip_pixels(chip, sface.CHIP if self._sface else "")


def comparisons(faces: Faces, network: str) -> tuple[Floats, npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
    """Of every two photos: cosine (M,), whether they show one person (M,), and their rows (M, 2)."""
    rows = np.stack(np.triu_indices(len(faces.people), 1), axis=1)
    people = np.unique(faces.people, return_inverse=True)[1]
    cosines = (faces.of(network) @ faces.of(network).T)[rows[:, 0], rows[:, 1]]
    return cosines, people[rows[:, 0]] == people[rows[:, 1]], rows


def limit(cosines: Floats, rate: float) -> float:
    """The cosine that a part ``rate`` of strangers' comparisons exceeds."""
    return float(np.sort(cosines)[::-1][int(rate * len(cosines))])
