"""A directory of faces, one folder a person, as arrays; its splits by image and by person; pairs to test on."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from visard.capture import is_picture, load_photo
from visard.errors import InvalidRequest
from visard.owner.networks.thesis import INPUT_SHAPE
from visard.uploads import as_planes

EIGHTHS = 8

Split = Literal["image", "person"]
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Faces:
    """Grey pictures (N, 1, 100, 100), uint8, the person of each (N,), and the people's names.

    A person's pictures follow each other, in the order of their files' names.
    """

    pictures: npt.NDArray[np.uint8]
    people: Numbers
    names: tuple[str, ...]


@dataclass(frozen=True)
class Parts:
    """Row numbers of the training, validation and test images."""

    train: Numbers
    validation: Numbers
    test: Numbers


@dataclass(frozen=True)
class Pairs:
    """Row numbers of two images each (N,) and whether they show one person (N,)."""

    first: Numbers
    second: Numbers
    same: npt.NDArray[np.bool_]


def read_faces(directory: Path) -> Faces:
    """Every picture below every folder; raises InvalidRequest and NotAnImage."""
    folders = sorted(path for path in directory.iterdir() if path.is_dir()) if directory.is_dir() else []
    files = [(k, file) for k, folder in enumerate(folders) for file in sorted(folder.iterdir())]
    files = [(k, file) for k, file in files if is_picture(file)]
    counts = np.bincount([k for k, _ in files], minlength=1)
    if len(folders) < EIGHTHS or counts.min() < 2:
        raise InvalidRequest(
            f"{directory}: a folder for each of {EIGHTHS} people or more, two pictures in each, needed"
        )
    if any(len(folder.name.split()) != 1 for folder in folders):
        raise InvalidRequest(
            f"{directory}: names of folders without spaces needed: lists of pairs could not tell them apart"
        )
    pictures = np.stack([as_planes(load_photo(file), INPUT_SHAPE) for _, file in files])
    return Faces(pictures, np.array([k for k, _ in files]), tuple(folder.name for folder in folders))


def split(faces: Faces, by: Split, fold: int, seed: int) -> Parts:
    """75 / 12.5 / 12.5 percent of every person's images, or of the people; ``fold`` says which eighth is the test.

    The eighths are drawn from ``seed``. The next eighth is the validation.
    """
    rng = np.random.default_rng(seed)
    n = len(faces.people)
    if by == "person":
        order = rng.permutation(faces.people.max() + 1)
        place = np.argsort(order)[faces.people]
        eighth = place * EIGHTHS // len(order)
    else:  # deal each person's shuffled images to the eighths in turn, so that nobody has none in any part
        order = rng.permutation(n)
        shuffled = order[np.argsort(faces.people[order], kind="stable")]
        eighth = np.empty(n, np.int64)
        eighth[shuffled] = np.arange(n) % EIGHTHS
    test, validation = fold % EIGHTHS, (fold + 1) % EIGHTHS
    rows = np.arange(n)
    return Parts(rows[(eighth != test) & (eighth != validation)], rows[eighth == validation], rows[eighth == test])


def pairs(faces: Faces, rows: Numbers, against: Numbers, seed: int) -> Pairs:
    """Every pair of one person, and as many of different people, drawn from ``seed``: an image of rows, one of against."""
    first, second = (grid.ravel() for grid in np.meshgrid(rows, against, indexing="ij"))
    overlap = np.isin(first, against) & np.isin(second, rows)
    keep = ~overlap | (first < second)
    first, second = first[keep], second[keep]
    same = faces.people[first] == faces.people[second]
    rng = np.random.default_rng(seed)
    strangers = rng.permutation(np.flatnonzero(~same))[: same.sum()]
    chosen = np.concatenate([np.flatnonzero(same), strangers])
    return Pairs(first[chosen], second[chosen], same[chosen])


def lines(faces: Faces, pairs: Pairs) -> list[str]:
    """The pairs as a list that visard.owner.evaluation.pairs reads: image i of a person is the i-th file of its folder."""
    first_of = np.searchsorted(faces.people, np.arange(len(faces.names)))

    def image(row: int) -> tuple[str, int]:
        person = int(faces.people[row])
        return faces.names[person], row - int(first_of[person]) + 1

    found = []
    for a, b in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True):
        (name, i), (other, j) = image(a), image(b)
        found.append(f"{name} {i} {j}" if name == other else f"{name} {i} {other} {j}")
    return found


def evaluation_pairs(faces: Faces, parts: Parts, rows: Numbers, by: Split, seed: int) -> Pairs:
    """Split by image: unseen images against enrolled training images. Split by person: unseen people among each other."""
    return pairs(faces, rows, parts.train if by == "image" else rows, seed)
