"""Thresholds by false match rate, as far as the impostors carry them, and what they are worth for people they were not made of.

A rate is carried by FEWEST false matches (the "rule of 30": within a third of the true rate with 90 % confidence; G. Doddington
et al., Speech Communication 31, 2000), or, with fewer, at the distance where the interval's upper end does not exceed it.
Between distances that were measured nothing is interpolated, and beyond them nothing extrapolated.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from visard.owner.evaluation import intervals
from visard.owner.evaluation.comparisons import Comparisons, Floats, Numbers
from visard.owner.evaluation.metrics import Estimate
from visard.owner.evaluation.sphere import cosine

RATES = {f"FMR_1E{k}": 10.0**-k for k in range(2, 8)}
LOOSE = "FMR_1E2"  # is only told where nothing stricter is carried: no model may be published with it unasked
DEFAULT = ("FMR_1E4", "FMR_1E3", LOOSE)  # what ``default`` stands for: the first of these that is carried
FEWEST = 30
HALVES, TENTHS = 2, 10
_DIGITS = 1e4  # distances are rounded down, which only makes them stricter
_SEED = 20261127


@dataclass(frozen=True)
class Threshold:
    """A distance, and the false matches within it; ``bounded``: too few for a rate, but the interval ends below it."""

    distance: float
    false_matches: int
    bounded: bool


@dataclass(frozen=True)
class Unseen:
    """Error rates of people whose comparisons the threshold was not taken from, every fold with its own threshold.

    In two folds both people of an impostor comparison are new to it, in ten at least one.
    """

    folds: int
    distances: list[float]
    fmr: Estimate
    fnmr: Estimate


@dataclass(frozen=True)
class Point:
    """One calibrated point: what is published, and what it came from.

    ``second``: distance on the second set, where that carries the rate; ``factor``: by how much the first set's distance
    misses the rate on it. ``shift``: what was taken off the first set's distance.
    """

    rate: float
    distance: float
    cosine: float
    false_matches: int
    bounded: bool
    first: float
    second: float | None
    factor: float | None
    shift: float
    unseen: Unseen | None


@dataclass(frozen=True)
class Calibration:
    """Points of one network on one set, with a margin where there is a second one; ``thresholds`` is what is published."""

    comparisons: int
    people: int
    second_comparisons: int
    thresholds: dict[str, float]
    false_match_rates: dict[str, float]
    points: dict[str, Point] = field(default_factory=dict)


def threshold(found: Comparisons, rate: float, drawn: Numbers) -> Threshold | None:
    """The largest distance that keeps a rate, or None where the comparisons do not carry it."""
    allowed = int(np.floor(rate * found.impostors + 1e-9))
    if allowed >= FEWEST:
        distance = _below(found, allowed)
        return Threshold(distance, found.near.within(distance), bounded=False)
    for count in range(allowed, -1, -1):
        if intervals.wilson(count, found.impostors)[1] > rate:
            continue  # spares the bootstrap
        distance = _below(found, count)
        if intervals.false_matches(found, distance, drawn).high <= rate:
            return Threshold(distance, found.near.within(distance), bounded=True)
    return None


def _below(found: Comparisons, allowed: int) -> float:
    """A distance within which at most so many impostors lie."""
    distances = found.near.distances
    if allowed >= len(distances):
        return float(np.floor(min(found.reach, float(distances[-1])) * _DIGITS) / _DIGITS)
    return float(np.floor(np.nextafter(distances[allowed], -np.inf) * _DIGITS) / _DIGITS)


def folds(people: int, count: int) -> Numbers:
    """Which fold each person (P,) is in; the same each time."""
    order = np.random.default_rng(_SEED).permutation(people)
    return np.asarray(np.argsort(order) * count // people, np.int64)


def unseen(found: Comparisons, rate: float, count: int, drawn: Numbers) -> Unseen | None:
    """Cross-validation by people: None where what is left for calibration does not carry the rate."""
    people = drawn.shape[1]
    fold = folds(people, count)
    distances: list[float] = []
    missed, genuine = np.zeros(people, np.int64), np.zeros(people, np.int64)
    matches, impostors = 0, 0
    drawn_matches, drawn_impostors = np.zeros(len(drawn), np.int64), np.zeros(len(drawn), np.int64)
    for k in range(count):
        own = fold == k
        rest = found.of(~own)
        made = threshold(rest, rate, drawn)
        if made is None:
            return None
        distances.append(made.distance)
        mine = found.of(own)
        side = mine.genuine
        genuine += np.bincount(side.first, minlength=people)
        missed += np.bincount(side.first[side.within(made.distance) :], minlength=people)
        if count == HALVES:
            near, total, weighed = mine.near, mine.impostors, mine.impostors_of(drawn)
        else:
            near, total = found.touching(own)
            weighed = found.impostors_of(drawn) - rest.impostors_of(drawn)
        within = near.within(made.distance)
        matches, impostors = matches + within, impostors + total
        drawn_matches += near.drawn(drawn, within)
        drawn_impostors += weighed
    with np.errstate(invalid="ignore", divide="ignore"):
        resampled: Floats = drawn_matches / drawn_impostors
    fmr = intervals.estimate(matches, impostors, resampled)
    return Unseen(count, distances, fmr, intervals.by_person(missed, genuine, drawn))


def calibrate(first: Comparisons, drawn: Numbers, second: Comparisons | None = None) -> Calibration:
    """Every rate that the first set carries, at the stricter distance of both sets.

    Where the second set does not carry a rate, the first one's distance is lowered by as much as at the strictest rate that
    both carry.
    """
    other = intervals.draws(second.images.shape[1]) if second is not None else drawn
    points: dict[str, Point] = {}
    shift = 0.0
    for name, rate in RATES.items():
        made = threshold(first, rate, drawn)
        if made is None:
            continue
        own = threshold(second, rate, other) if second is not None else None
        factor = None
        if own is not None and second is not None:
            shift = max(0.0, made.distance - own.distance)
            factor = second.near.within(made.distance) / second.impostors / rate
        distance = round(made.distance - shift, 4)
        checked = unseen(first, rate, HALVES, drawn) or unseen(first, rate, TENTHS, drawn)
        beyond = own.distance if own is not None else None
        points[name] = Point(
            *(rate, distance, cosine(distance), made.false_matches, made.bounded),
            *(made.distance, beyond, factor, shift, checked),
        )
    if len(points) > 1:
        points.pop(LOOSE, None)
    thresholds = {name: point.distance for name, point in points.items()}
    rates = {name: point.rate for name, point in points.items()}
    default = next((name for name in DEFAULT if name in points), None)
    if default is not None:
        thresholds, rates = ({"default": of[default], **of} for of in (thresholds, rates))
    return Calibration(
        first.impostors, first.people, second.impostors if second is not None else 0, thresholds, rates, points
    )


def rates_at(found: Comparisons, points: Mapping[str, float]) -> dict[str, float]:
    """The false match rate at each of some distances."""
    return {name: found.near.within(distance) / found.impostors for name, distance in points.items()}
