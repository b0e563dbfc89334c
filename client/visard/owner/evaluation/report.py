"""What ``visard evaluate`` reports: the figures of one set of distances, calibrated thresholds, differing decisions."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from visard.owner.evaluation import metrics
from visard.owner.evaluation.attack import Attack, Coverage
from visard.owner.evaluation.metrics import Bools, Curve, Estimate, Floats

FOLDS = 10
RATES = {"1e-2": 1e-2, "1e-3": 1e-3}
_FEWEST_MATCHES = 100  # so many false matches, at least, lie below a calibrated threshold


@dataclass(frozen=True)
class Figures:
    """Of one way to compute distances: 10-fold accuracy, EER, TAR at each FAR, the threshold that is best on all pairs."""

    accuracy: Estimate
    equal_error_rate: Estimate
    tar_at_far: dict[str, Estimate]
    best_threshold: float
    curve: Curve


@dataclass(frozen=True)
class Rates:
    """Of the decisions at one operating point: how many are right, and how many impostors match and genuine pairs do not."""

    accuracy: Estimate
    false_match_rate: Estimate
    false_non_match_rate: Estimate


@dataclass(frozen=True)
class Calibration:
    """Distances by false match rate, over first images of the list against second ones of other people."""

    comparisons: int
    people: int
    thresholds: dict[str, float]
    rates: dict[str, float]  # of the operating points that the network has


@dataclass(frozen=True)
class Secure:
    """A sample through running services: only bits come back, so decisions are all that can be compared."""

    pairs: int
    operating_point: str
    accuracy: Estimate
    differ_from_float: int
    differ_from_twin: int
    seconds: float


@dataclass
class Report:
    """What an evaluation found: figures of the float network and of its twin, and what else was asked for."""

    genuine: int
    impostors: int
    images: int
    people: int
    failures: dict[str, str]
    figures: dict[str, Figures] = field(default_factory=dict)
    points: dict[str, dict[str, Rates]] = field(default_factory=dict)  # by operating point, then as figures
    decisions_differ: dict[str, int] = field(default_factory=dict)
    calibration: Calibration | None = None
    secure: Secure | None = None
    attack: Attack | None = None


def figures(distances: Floats, same: Bools) -> Figures:
    """All figures of one set of distances; a pair without a distance has an infinite one, and never matches."""
    decisions = metrics.fold_decisions(distances, same, metrics.folds(same, FOLDS))

    def tar(rate: float) -> Estimate:
        return metrics.bootstrap(lambda d, s: metrics.tar_at_far(d, s, rate), distances, same)

    return Figures(
        metrics.proportion(decisions == same),
        metrics.bootstrap(metrics.equal_error_rate, distances, same),
        {name: tar(rate) for name, rate in RATES.items()},
        metrics.best_threshold(distances, same),
        metrics.curve(distances, same),
    )


def rates(decisions: Bools, same: Bools) -> Rates:
    """Accuracy and error rates of decisions at an operating point, each with its interval."""
    wrong = decisions != same
    return Rates(*(metrics.proportion(part) for part in (~wrong, wrong[~same], wrong[same])))


def calibrate(impostors: Floats, people: int, points: dict[str, float]) -> Calibration:
    """Thresholds for FMR_1E2, FMR_1E3 and so on, as far as the impostors' distances carry, and the rates at ``points``."""
    thresholds = {
        f"FMR_1E{k}": metrics.threshold_at_far(impostors, 10.0**-k)
        for k in range(2, 10)
        if len(impostors) * 10.0**-k >= _FEWEST_MATCHES
    }
    found = {name: float((impostors <= limit).mean()) for name, limit in points.items()}
    return Calibration(len(impostors), people, thresholds, found)


def sample(same: Bools, count: int) -> npt.NDArray[np.int64]:
    """``count`` pairs, half of each kind, evenly spread over the list."""
    kinds = [np.flatnonzero(same), np.flatnonzero(~same)]
    sizes = [min(count - count // 2, len(kinds[0])), min(count // 2, len(kinds[1]))]
    return np.concatenate([kind[np.arange(n) * len(kind) // n] for kind, n in zip(kinds, sizes, strict=True) if n])


def as_json(report: Report) -> dict[str, object]:
    """For ``json.dumps``: curves as lists of [threshold, FAR, TAR] with finite thresholds."""
    answer = _plain(vars(report))
    assert isinstance(answer, dict)
    return answer


def _plain(value: object) -> object:
    match value:
        case Curve():
            columns = zip(value.thresholds.tolist(), value.far.tolist(), value.tar.tolist(), strict=True)
            return [[round(x, 6) for x in row] for row in columns if np.isfinite(row[0])]
        case Estimate() | Figures() | Rates() | Calibration() | Secure() | Attack() | Coverage():
            return _plain(vars(value))
        case dict():
            return {key: _plain(item) for key, item in value.items()}
    return value
