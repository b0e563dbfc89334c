"""Thresholds by false match rate, as far as the impostors carry them, and what they are worth for people they were not made of.

A rate is carried by FEWEST false matches (the "rule of 30": within a third of the true rate with 90 % confidence; G. Doddington
et al., Speech Communication 31, 2000), or, with fewer, at the distance where the upper end of E. Wilson's interval does not
exceed it: that takes 3.8 comparisons for each one in the rate. People drawn anew widen that interval; it is reported beside.
Between distances that were measured nothing is interpolated, and beyond them nothing extrapolated.
"""

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

    ``second``: distance on the second set, where that carries the rate; ``factor``: how many times the rate comes through there
    at the first set's distance. ``shift``: what was taken off that one, the margin.
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
    """Points of one network on one set, with a margin where there is a second one.

    ``thresholds`` is what is published; ``default`` says which of them callers get who name none.
    """

    comparisons: int
    people: int
    second_comparisons: int
    thresholds: dict[str, float]
    default: str | None
    points: dict[str, Point] = field(default_factory=dict)


def threshold(found: Comparisons, rate: float) -> Threshold | None:
    """The largest distance that keeps a rate, or None where the comparisons do not carry it."""
    allowed = int(np.floor(rate * found.impostors + 1e-9))
    if allowed >= FEWEST:
        distance = _below(found, allowed)
        return Threshold(distance, found.near.within(distance), bounded=False)
    for count in range(allowed, -1, -1):
        if intervals.wilson(count, found.impostors)[1] <= rate:
            distance = _below(found, count)
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


def unseen(found: Comparisons, rate: float, count: int, drawn: Numbers, shift: float = 0.0) -> Unseen | None:
    """Cross-validation by people, at distances less ``shift``; None where too few are left to carry the rate."""
    people = drawn.shape[1]
    fold = folds(people, count)
    distances: list[float] = []
    missed, genuine = np.zeros(people, np.int64), np.zeros(people, np.int64)
    matches, impostors = 0, 0
    drawn_matches, drawn_impostors = np.zeros(len(drawn), np.int64), np.zeros(len(drawn), np.int64)
    for k in range(count):
        own = fold == k
        rest = found.of(~own)
        made = threshold(rest, rate)
        if made is None:
            return None
        distance = round(made.distance - shift, 4)
        distances.append(distance)
        mine = found.of(own)
        side = mine.genuine
        genuine += np.bincount(side.first, minlength=people)
        missed += np.bincount(side.first[side.within(distance) :], minlength=people)
        if count == HALVES:
            near, total, weighed = mine.near, mine.impostors, mine.impostors_of(drawn)
        else:
            near, total = found.touching(own)
            weighed = found.impostors_of(drawn) - rest.impostors_of(drawn)
        within = near.within(distance)
        matches, impostors = matches + within, impostors + total
        drawn_matches += near.drawn(drawn, within)
        drawn_impostors += weighed
    with np.errstate(invalid="ignore", divide="ignore"):
        resampled: Floats = drawn_matches / drawn_impostors
    fmr = intervals.estimate(matches, impostors, resampled)
    return Unseen(count, distances, fmr, intervals.by_person(missed, genuine, drawn))


def calibrate(first: Comparisons, drawn: Numbers, second: Comparisons | None = None) -> Calibration:
    """Every rate that the first set carries, at the stricter distance of both sets where the second one carries it too.

    Where it does not, the first one's distance stands, unless the second shows that it lets through more, with 95 % confidence:
    such a point is left out.
    """
    points: dict[str, Point] = {}
    strictest = np.inf
    for name, rate in RATES.items():
        made = threshold(first, rate)
        if made is None:
            continue
        own = threshold(second, rate) if second is not None else None
        factor, worst = None, 0.0
        if second is not None:
            within = second.near.within(made.distance)
            factor, worst = within / second.impostors / rate, intervals.wilson(within, second.impostors)[0]
        if own is None and worst > rate:
            continue
        strictest = min(made.distance, strictest, *(() if own is None else (own.distance,)))
        shift = round(made.distance - strictest, 4)
        checked = unseen(first, rate, HALVES, drawn, shift) or unseen(first, rate, TENTHS, drawn, shift)
        points[name] = Point(
            *(rate, strictest, cosine(strictest), made.false_matches, made.bounded),
            *(made.distance, own.distance if own is not None else None, factor, shift, checked),
        )
    if len(points) > 1:
        points.pop(LOOSE, None)
    thresholds = {name: point.distance for name, point in points.items()}
    default = next((name for name in DEFAULT if name in points), None)
    others = second.impostors if second is not None else 0
    return Calibration(first.impostors, first.people, others, thresholds, default, points)
