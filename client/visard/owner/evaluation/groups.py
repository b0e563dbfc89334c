"""Differentials: error rates by group of people, at thresholds that are the same for all (ISO/IEC 19795-10).

Groups come from the list (a person "GROUP/NAME") or from a CSV of two columns: a person, or an image as it lies below DIR, and
its group. An impostor comparison counts where both are of one group: strangers who look alike are whom a threshold must tell
apart. What the groups are is for whoever brings the photos to say, and to have been allowed to say.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from visard.errors import InvalidRequest
from visard.owner.evaluation import intervals
from visard.owner.evaluation.comparisons import Comparisons, Numbers
from visard.owner.evaluation.metrics import Estimate


@dataclass(frozen=True)
class Group:
    """Of one group at one operating point."""

    people: int
    impostors: int
    genuine: int
    fmr: Estimate
    fnmr: Estimate


@dataclass(frozen=True)
class Differential:
    """At one operating point: every group, and the worst one's rate by the best one's (None where the best made no error)."""

    groups: dict[str, Group]
    fmr_ratio: float | None
    fnmr_ratio: float | None


def of_names(people: Sequence[str]) -> list[str]:
    """Groups that the list itself names, "" for people without one."""
    return [name.rpartition("/")[0] for name in people]


def read_groups(file: Path, images: Sequence[Path], people: Sequence[str], directory: Path) -> list[str]:
    """The group of each image, "" where the file names none; raises InvalidRequest."""
    try:
        with file.open(newline="") as lines:
            rows = [row for row in csv.reader(lines) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidRequest(f"{file}: not a readable CSV of image or person, group") from error
    wrong = next((number for number, row in enumerate(rows, 1) if len(row) < 2), None)
    if wrong is not None:
        raise InvalidRequest(f"{file}, row {wrong}: image or person, group expected")
    named = {row[0].strip(): row[1].strip() for row in rows}
    found = [
        next((named[key] for key in (_below(path, directory), path.name, person) if key in named), "")
        for path, person in zip(images, people, strict=True)
    ]
    if not any(found):
        raise InvalidRequest(f"{file}: names none of the images, nor anybody on them")
    return found


def _below(path: Path, directory: Path) -> str:
    return path.relative_to(directory).as_posix() if path.is_relative_to(directory) else path.as_posix()


def of_people(groups: Sequence[str], person: Numbers) -> list[str]:
    """The group of each person by number, from those of the images: the one of most of them."""
    found = []
    for number in range(int(person.max()) + 1):
        named = [groups[row] for row in np.flatnonzero(person == number).tolist() if groups[row]]
        found.append(max(sorted(set(named)), key=named.count) if named else "")
    return found


def differentials(
    found: Comparisons, groups: Sequence[str], points: Mapping[str, float], drawn: Numbers
) -> dict[str, Differential]:
    """By operating point; people of no group count nowhere."""
    names = np.array(groups)
    parts = {name: found.of(names == name) for name in sorted({name for name in groups if name})}
    if len(parts) < 2:
        raise InvalidRequest("two groups of people at least are needed to compare them")
    answer = {}
    for point, distance in points.items():
        made = {
            name: Group(
                part.people,
                part.impostors,
                len(part.genuine.distances),
                intervals.false_matches(part, distance, drawn),
                intervals.false_non_matches(part, distance, drawn),
            )
            for name, part in parts.items()
        }
        ratios = [_ratio([getattr(group, rate).value for group in made.values()]) for rate in ("fmr", "fnmr")]
        answer[point] = Differential(made, *ratios)
    return answer


def _ratio(rates: list[float]) -> float | None:
    return max(rates) / min(rates) if min(rates) > 0 else None
