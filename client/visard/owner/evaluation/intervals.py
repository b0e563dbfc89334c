"""How sure a rate is: 95 % intervals by person, because comparisons of one person are not independent.

People are drawn anew, with everything that concerns them: of a false match rate both people of each comparison (R. Bolle, N.
Ratha, S. Pankanti, "Error analysis of pattern recognition systems: the subsets bootstrap", CVIU 93, 2004; N. Poh, A. Martin, S.
Bengio, "Performance generalization in biometric authentication using joint user-specific and sample bootstraps", PAMI 29,
2007). Where next to nothing was counted a bootstrap says too little: no false match drawn anew stays none. So an interval is
at least as wide as E. Wilson's (1927) for independent comparisons: of none among n its upper end is 3.8 / n.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from visard.owner.evaluation.comparisons import Bools, Comparisons, Floats, Numbers
from visard.owner.evaluation.metrics import CONFIDENCE, RESAMPLES, Estimate

_NORMAL = 1.959964  # two-sided 95 %
_SEED = 0


def draws(people: int, *, seed: int = _SEED, resamples: int = RESAMPLES) -> Numbers:
    """(resamples, people): how often each person is drawn."""
    chances = np.full(people, 1.0 / people)
    return np.random.default_rng(seed).multinomial(people, chances, resamples).astype(np.int64)


def wilson(count: int, total: int) -> tuple[float, float]:
    """Of independent trials."""
    if total == 0:
        return 0.0, 1.0
    z, rate = _NORMAL**2, count / total
    middle = rate + z / (2 * total)
    around = _NORMAL * math.sqrt(rate * (1 - rate) / total + z / (4 * total * total))
    return max(0.0, (middle - around) / (1 + z / total)), min(1.0, (middle + around) / (1 + z / total))


def estimate(count: int, total: int, resampled: Floats) -> Estimate:
    """A rate with the wider of both intervals; of nothing at all it is 0, from 0 to 1."""
    low, high = wilson(count, total)
    found = resampled[np.isfinite(resampled)]
    if found.size:
        edges = np.quantile(found, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
        low, high = min(low, float(edges[0])), max(high, float(edges[1]))
    return Estimate(count / total if total else 0.0, low, high)


def by_person(events: Numbers, trials: Numbers, drawn: Numbers) -> Estimate:
    """The rate of events (P,) in trials (P,) that belong to one person each."""
    with np.errstate(invalid="ignore", divide="ignore"):
        resampled = (drawn @ events) / (drawn @ trials)
    return estimate(int(events.sum()), int(trials.sum()), resampled)


def false_matches(comparisons: Comparisons, distance: float, drawn: Numbers) -> Estimate:
    """The false match rate within a distance, at most the comparisons' reach."""
    matches = comparisons.near.within(distance)
    with np.errstate(invalid="ignore", divide="ignore"):
        resampled = comparisons.near.drawn(drawn, matches) / comparisons.impostors_of(drawn)
    return estimate(matches, comparisons.impostors, resampled)


def false_non_matches(comparisons: Comparisons, distance: float, drawn: Numbers) -> Estimate:
    """The part of the genuine comparisons beyond a distance."""
    side, people = comparisons.genuine, drawn.shape[1]
    missed = side.first[side.within(distance) :]
    return by_person(np.bincount(missed, minlength=people), np.bincount(side.first, minlength=people), drawn)


@dataclass(frozen=True)
class Listed:
    """Who stands on both sides of the pairs (N,) of a list, by number, and how often each person is drawn (R, P)."""

    first: Numbers
    second: Numbers
    drawn: Numbers

    def of(self, chosen: Bools | Numbers) -> "Listed":
        """Some of the pairs."""
        return Listed(self.first[chosen], self.second[chosen], self.drawn)

    def weights(self, k: int) -> Numbers:
        """How often each pair is drawn in row k: as often as its person, or as both of its people."""
        weights = self.drawn[k]
        return np.asarray(
            np.where(self.first == self.second, weights[self.first], weights[self.first] * weights[self.second])
        )

    def share(self, right: Bools) -> Estimate:
        """The part of the pairs (N,) for which something is true."""
        weights = [self.weights(k) for k in range(len(self.drawn))]
        with np.errstate(invalid="ignore", divide="ignore"):
            resampled = np.array([own[right].sum() / np.float64(own.sum()) for own in weights])
        return estimate(int(right.sum()), len(right), resampled)

    def figure(self, figure: Callable[[Floats, Bools], float], scores: Floats, same: Bools) -> Estimate:
        """Any figure of scores and kinds (N,); draws without pairs of both kinds say nothing, and are left out."""
        found = []
        for k in range(len(self.drawn)):
            rows = np.repeat(np.arange(len(same)), self.weights(k))
            if same[rows].any() and not same[rows].all():
                found.append(figure(scores[rows], same[rows]))
        value = figure(scores, same)
        low, high = np.quantile(found, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]) if found else (0.0, 1.0)
        return Estimate(value, float(low), float(high))
