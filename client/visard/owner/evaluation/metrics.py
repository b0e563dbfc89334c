"""Error rates of distances between pairs of faces. Pure: arrays in, numbers out.

A pair matches where its distance is at most the threshold. FAR (or FMR) is the part of the impostor pairs that match, TAR
the part of the genuine ones, FRR = 1 - TAR. Terms: ISO/IEC 19795-1. How sure they are: visard.owner.evaluation.intervals.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.int64]

RESAMPLES = 1000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A figure of 0 to 1 and its 95 % interval; as text in percent."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        digits = max(2, 1 - math.floor(math.log10(100 * self.high))) if self.high > 0 else 2  # two that say something
        return "{:.{d}f} [{:.{d}f}, {:.{d}f}] %".format(*(100 * x for x in (self.value, self.low, self.high)), d=digits)


@dataclass(frozen=True)
class Curve:
    """FAR and TAR (K,) at every threshold (K,) where one of them changes, ascending."""

    thresholds: Floats
    far: Floats
    tar: Floats


def curve(distances: Floats, same: Bools) -> Curve:
    """The ROC, from "nothing matches" (threshold -inf) to "everything does"."""
    thresholds = np.concatenate([[-np.inf], np.unique(distances)])
    return Curve(thresholds, _below(distances[~same], thresholds), _below(distances[same], thresholds))


def _below(distances: Floats, thresholds: Floats) -> Floats:
    """The part of the distances at or below each threshold."""
    return np.searchsorted(np.sort(distances), thresholds, side="right") / max(len(distances), 1)


def accuracy(distances: Floats, same: Bools, threshold: float) -> float:
    """Part of the pairs that a threshold decides rightly."""
    return float(((distances <= threshold) == same).mean())


def best_threshold(distances: Floats, same: Bools) -> float:
    """The middle of the first interval of thresholds that decide most pairs rightly."""
    order = np.argsort(distances, kind="stable")
    ordered = distances[order]
    ends = np.append(ordered[1:] != ordered[:-1], True)  # equal distances are decided alike
    right = np.concatenate([[0], np.cumsum(np.where(same[order], 1, -1))[ends]])
    values = np.concatenate([[ordered[0]], ordered[ends]])
    k = int(right.argmax())
    if k == 0:
        return float(np.nextafter(ordered[0], -np.inf))
    return float((values[k] + values[k + 1]) / 2) if k + 1 < len(values) else float(values[k])


def folds(same: Bools, count: int) -> Numbers:
    """The fold of each pair: the genuine pairs in ``count`` equal runs in the order of the file, the impostors likewise."""
    place = np.where(same, np.cumsum(same), np.cumsum(~same)) - 1
    return np.asarray(place * count // np.where(same, same.sum(), (~same).sum()), np.int64)


def fold_decisions(distances: Floats, same: Bools, fold: Numbers) -> Bools:
    """Each pair's decision at the threshold that is best on the other folds."""
    decisions = np.zeros(len(same), np.bool_)
    for k in np.unique(fold):
        inside = fold == k
        decisions[inside] = distances[inside] <= best_threshold(distances[~inside], same[~inside])
    return decisions


def equal_error_rate(distances: Floats, same: Bools) -> float:
    """Where FAR and FRR cross, on the straight line between the two thresholds around it."""
    c = curve(distances, same)
    gap = c.far - (1 - c.tar)
    k = int(np.argmax(gap >= 0))  # gap starts at -1, ends at 1 and only grows
    part = -gap[k - 1] / (gap[k] - gap[k - 1])
    return float(c.far[k - 1] + part * (c.far[k] - c.far[k - 1]))


def threshold_at_far(impostors: Floats, rate: float) -> float:
    """The largest impostor distance at or below which at most ``rate`` of the impostor pairs lie."""
    ordered = np.sort(impostors)
    allowed = int(np.floor(rate * len(ordered) + 1e-9))
    if allowed >= len(ordered):
        return float(ordered[-1])
    return float(np.nextafter(ordered[allowed], -np.inf))  # just below the first that must not match


def tar_at_far(distances: Floats, same: Bools, rate: float) -> float:
    """The part of the genuine pairs that match where at most ``rate`` of the impostor pairs do."""
    return float((distances[same] <= threshold_at_far(distances[~same], rate)).mean())
