"""Open-set identification: random galleries of some people, probes of these and of people left out (ISO/IEC 19795-1).

A search names whoever is nearest, if within the point's distance. FPIR is the part of the probes of people who are not in the
gallery for whom somebody is named; FNIR the part of the probes of people who are, for whom not they are named: nobody, or
somebody else who is nearer.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from visard.errors import InvalidRequest
from visard.owner.evaluation import intervals
from visard.owner.evaluation.comparisons import Bools, Floats, Numbers
from visard.owner.evaluation.metrics import Estimate
from visard.owner.evaluation.sphere import distances

GALLERIES = 20
LEAST_LEFT = 10  # people out of the gallery, if they are to say something
_SEED = 20261127


@dataclass(frozen=True)
class Found:
    """At one operating point: both rates, with intervals by person of the probes, and what N times the point's FMR promises."""

    distance: float
    fpir: Estimate
    fnir: Estimate
    expected: float | None


@dataclass(frozen=True)
class Identification:
    """Searches of so many random galleries, one photo a person, and how many probes there were of both kinds."""

    gallery: int
    galleries: int
    strangers: int
    mates: int
    points: dict[str, Found]


def size_of(gallery: int, people: int) -> int:
    """How many of so many people are in a gallery: those asked for, or half at 0, so that the others are strangers.

    Raises InvalidRequest where too few are left out.
    """
    size = gallery or people // 2
    if not 1 <= size <= people - LEAST_LEFT:
        raise InvalidRequest(
            f"a gallery of {size} of {people} people: 1 to {people - LEAST_LEFT}, so that {LEAST_LEFT} are left as strangers"
        )
    return size


def identify(
    vectors: Floats,
    person: Numbers,
    points: Mapping[str, float],
    rates: Mapping[str, float],
    *,
    gallery: int = 0,
    galleries: int = GALLERIES,
    references: Bools | None = None,
    probes: Bools | None = None,
) -> Identification:
    """Search galleries of ``gallery`` people (half of them at 0) with unit vectors (N, D) of person (N,).

    ``references`` and ``probes`` (N,): which photos may be which; else all. Raises InvalidRequest where too few are left out.
    """
    people = int(person.max()) + 1
    may = np.ones(len(person), np.bool_)
    references, probes = (may if given is None else given for given in (references, probes))
    enrollable = np.unique(person[references])
    size = size_of(gallery, len(enrollable))
    rng = np.random.default_rng(_SEED)
    asked = {kind: np.zeros(people, np.int64) for kind in ("strangers", "mates")}
    wrong = {(name, kind): np.zeros(people, np.int64) for name in points for kind in asked}
    for _ in range(galleries):
        rows = _gallery(person, rng.permutation(np.flatnonzero(references)), rng.permutation(enrollable)[:size])
        rest = np.setdiff1d(np.flatnonzero(probes), rows)
        found = distances(vectors[rest] @ vectors[rows].T)
        named, nearest = person[rows][found.argmin(axis=1)], found.min(axis=1)
        mate = np.isin(person[rest], person[rows])
        for kind, chosen in (("strangers", ~mate), ("mates", mate)):
            asked[kind] += np.bincount(person[rest][chosen], minlength=people)
        for name, distance in points.items():
            within = nearest <= distance
            missed = ~within | (named != person[rest])
            for kind, errors in (("strangers", within & ~mate), ("mates", missed & mate)):
                wrong[name, kind] += np.bincount(person[rest][errors], minlength=people)
    drawn = intervals.draws(people)
    answer = {}
    for name, distance in points.items():
        fpir, fnir = (_rate(wrong[name, kind], asked[kind], galleries, drawn) for kind in ("strangers", "mates"))
        rate = rates.get(name)
        answer[name] = Found(distance, fpir, fnir, 1 - (1 - rate) ** size if rate is not None else None)
    strangers, mates = (int(asked[kind].sum()) for kind in ("strangers", "mates"))
    return Identification(size, galleries, strangers, mates, answer)


def _gallery(person: Numbers, rows: Numbers, chosen: Numbers) -> Numbers:
    """One row of each chosen person, the first in the order of ``rows``."""
    _, firsts = np.unique(person[rows], return_index=True)
    rows = rows[firsts]
    return np.asarray(rows[np.isin(person[rows], chosen)])


def _rate(wrong: Numbers, asked: Numbers, galleries: int, drawn: Numbers) -> Estimate:
    """By person; a probe that was asked in several galleries is one photo all the same."""
    found = intervals.by_person(wrong, asked, drawn)
    independent = max(1, int(asked.sum()) // galleries)
    low, high = intervals.wilson(round(found.value * independent), independent)
    return Estimate(found.value, min(found.low, low), max(found.high, high))
