"""LFW-style lists of pairs, and the images they name.

A first line of one number (pairs of each kind) or two (folds, pairs of each kind in a fold); then "name i j" for two images
of one person or "name i other j" for two people. Image i of a name is DIR/name/name_000i.jpg (or .png, .webp: see
visard.capture.SUFFIXES); where no file is named so, the i-th picture of DIR/name in the order of names. Source:
http://vis-www.cs.umass.edu/lfw/README.txt. A name may be GROUP/NAME: image i is then DIR/GROUP/NAME/NAME_000i.jpg.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from visard.capture import SUFFIXES, is_picture
from visard.errors import InvalidRequest


@dataclass(frozen=True)
class PairList:
    """Images (path and person), and pairs of them by number: (N,) each, and whether they show one person."""

    images: list[Path]
    people: list[str]
    first: npt.NDArray[np.int64]
    second: npt.NDArray[np.int64]
    same: npt.NDArray[np.bool_]

    def of(self, rows: npt.NDArray[np.int64]) -> "PairList":
        """Some of the pairs; the images stay all."""
        return replace(self, first=self.first[rows], second=self.second[rows], same=self.same[rows])


def read_pairs(file: Path, directory: Path) -> PairList:
    """Parse the list and find its images; raises InvalidRequest that names the line."""
    numbers: dict[tuple[str, str], int] = {}
    images: list[Path] = []
    rows: list[tuple[int, int, bool]] = []

    def number(name: str, index: str) -> int:
        if (name, index) not in numbers:
            numbers[name, index] = len(images)
            images.append(_image(directory, name, index))
        return numbers[name, index]

    for at, line in enumerate(_lines(file), 1):
        words = line.split()
        if not words or (at == 1 and len(words) <= 2 and all(map(str.isdigit, words))):
            continue
        if len(words) not in (3, 4) or not all(map(str.isdigit, (words[-1], words[-3 if len(words) == 4 else 1]))):
            raise InvalidRequest(f"{file}, line {at}: 'name i j' or 'name i other j' expected")
        first, second = (words[0], words[1]), (words[0] if len(words) == 3 else words[2], words[-1])
        rows.append((_named(number, first, file, at), _named(number, second, file, at), len(words) == 3))
    columns = [np.array(column) for column in zip(*rows, strict=True)] or [np.zeros(0)] * 3
    same = columns[2].astype(np.bool_)
    if min(same.sum(), (~same).sum()) < 2:
        raise InvalidRequest(f"{file}: two pairs of each kind at least are needed")
    return PairList(images, [name for name, _ in numbers], columns[0], columns[1], same)


def read_folders(directory: Path) -> tuple[list[Path], list[str]]:
    """Every picture below DIR/name, however deep, and the names; raises InvalidRequest."""
    folders = sorted(path for path in directory.iterdir() if path.is_dir()) if directory.is_dir() else []
    found = [(path, folder.name) for folder in folders for path in sorted(folder.rglob("*")) if is_picture(path)]
    if len({name for _, name in found}) < 2:
        raise InvalidRequest(f"{directory}: a folder of pictures for each of two people or more is needed")
    return [path for path, _ in found], [name for _, name in found]


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{file}: not a readable list of pairs") from error


def _named(number: Callable[[str, str], int], image: tuple[str, str], file: Path, at: int) -> int:
    try:
        return number(*image)
    except FileNotFoundError as error:
        raise InvalidRequest(f"{file}, line {at}: no image {error}") from error


def _image(directory: Path, name: str, index: str) -> Path:
    person = Path(name).name
    stem = directory / name / f"{person}_{int(index):04d}"
    for suffix in (*SUFFIXES, *map(str.upper, SUFFIXES)):
        if (path := stem.with_suffix(suffix)).exists():
            return path
    folder = directory / name
    found = sorted(p for p in folder.iterdir() if is_picture(p)) if folder.is_dir() else []
    if not any(path.stem.startswith(f"{person}_") for path in found) and 1 <= int(index) <= len(found):
        return found[int(index) - 1]
    raise FileNotFoundError(f"{stem}{SUFFIXES[0]}")
