"""What ``visard evaluate`` reports, and how it stands in JSON."""

import dataclasses
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from visard.owner.evaluation import intervals, metrics
from visard.owner.evaluation.attack import Attack
from visard.owner.evaluation.calibration import Calibration
from visard.owner.evaluation.comparisons import Comparisons, genuine_among
from visard.owner.evaluation.groups import Differential
from visard.owner.evaluation.identification import Identification
from visard.owner.evaluation.intervals import Listed
from visard.owner.evaluation.metrics import Bools, Curve, Estimate, Floats, Numbers
from visard.owner.evaluation.sphere import cosine

FOLDS = 10
RATES = {"1e-2": 1e-2, "1e-3": 1e-3}


@dataclass(frozen=True)
class Figures:
    """Of the pairs of the list: 10-fold accuracy, EER, TAR at each FAR, the threshold that is best on all pairs."""

    accuracy: Estimate
    equal_error_rate: Estimate
    tar_at_far: dict[str, Estimate]
    best_threshold: float
    curve: Curve


@dataclass(frozen=True)
class Point:
    """One operating point over all comparisons of the photos that have a usable face.

    ``false_reject_rate`` and ``false_accept_rate`` count a photo without one as a refusal instead.
    """

    distance: float
    cosine: float | None
    fmr: Estimate
    fnmr: Estimate
    false_matches: int
    impostors: int
    false_non_matches: int
    genuine: int
    false_reject_rate: float
    false_accept_rate: float


@dataclass(frozen=True)
class Twin:
    """The fixed-point twin on some of the pairs: decisions that differ from float by operating point, how far scores are off."""

    pairs: int
    decisions_differ: dict[str, int]
    largest_difference: float


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

    model: str
    genuine: int
    impostors: int
    images: int
    people: int
    failures: dict[str, str]
    figures: dict[str, Figures] = field(default_factory=dict)
    points: dict[str, Point] = field(default_factory=dict)
    twin: Twin | None = None
    calibration: Calibration | None = None
    identification: Identification | None = None
    groups: dict[str, Differential] = field(default_factory=dict)
    second: dict[str, Point] = field(default_factory=dict)  # the operating points on the second set
    refused_by_mean: Estimate | None = None  # part of the photos, where the model tests them against a mean
    second_refused_by_mean: Estimate | None = None
    secure: Secure | None = None
    attack: Attack | None = None

    @property
    def failures_to_capture(self) -> int:
        """Images without a usable face."""
        return len(self.failures)


def figures(scores: Floats, same: Bools, listed: Listed) -> Figures:
    """All figures of the scores of some pairs, with intervals by person."""
    decisions = metrics.fold_decisions(scores, same, metrics.folds(same, FOLDS))

    def tar(rate: float) -> Estimate:
        return listed.figure(lambda s, kind: metrics.tar_at_far(s, kind, rate), scores, same)

    return Figures(
        listed.share(decisions == same),
        listed.figure(metrics.equal_error_rate, scores, same),
        {name: tar(rate) for name, rate in RATES.items()},
        metrics.best_threshold(scores, same),
        metrics.curve(scores, same),
    )


def point(
    found: Comparisons, distance: float, drawn: Numbers, attempted: Numbers | None = None, *, on_sphere: bool = True
) -> Point:
    """Error rates within a distance; ``attempted`` (3, P) counts the photos with those that could not be captured."""
    genuine, missed = len(found.genuine.distances), len(found.genuine.distances) - found.genuine.within(distance)
    matches = found.near.within(distance)
    all_genuine, all_impostors = genuine, found.impostors
    if attempted is not None:
        ones = np.ones((1, attempted.shape[1]), np.int64)
        all_genuine = genuine_among(attempted)
        all_impostors = int(dataclasses.replace(found, images=attempted).impostors_of(ones)[0])
    return Point(
        distance,
        cosine(distance) if on_sphere else None,
        intervals.false_matches(found, distance, drawn),
        intervals.false_non_matches(found, distance, drawn),
        *(matches, found.impostors, missed, genuine),
        1 - (genuine - missed) / max(all_genuine, 1),
        matches / max(all_impostors, 1),
    )


def sample(same: Bools, count: int) -> npt.NDArray[np.int64]:
    """``count`` pairs, half of each kind, evenly spread over the list."""
    kinds = [np.flatnonzero(same), np.flatnonzero(~same)]
    sizes = [min(count - count // 2, len(kinds[0])), min(count // 2, len(kinds[1]))]
    return np.concatenate([kind[np.arange(n) * len(kind) // n] for kind, n in zip(kinds, sizes, strict=True) if n])


def as_json(report: Report) -> dict[str, object]:
    """For ``json.dumps``: a rate ``x`` is a number, and ``x_interval`` its ends; curves are [threshold, FAR, TAR]."""
    answer = _plain(report)
    assert isinstance(answer, dict)
    return answer | {"failures_to_capture": report.failures_to_capture}


def as_line(report: Report) -> dict[str, object]:
    """The same without curves, attempts and lists of images: what ``--json`` ends with."""
    whole = as_json(report)
    kept = ("model", "points", "calibration", "identification", "groups", "second", "twin", "secure", "attack")
    return {name: whole[name] for name in kept if whole[name]} | {"failures_to_capture": report.failures_to_capture}


def _plain(value: object) -> object:
    match value:
        case Curve():
            columns = zip(value.thresholds.tolist(), value.far.tolist(), value.tar.tolist(), strict=True)
            return [[round(x, 6) for x in row] for row in columns if np.isfinite(row[0])]
        case dict():
            return _named({str(key): item for key, item in value.items()})
        case list() | tuple():
            return [_plain(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _named({entry.name: getattr(value, entry.name) for entry in dataclasses.fields(value)})
    return value


def _named(entries: dict[str, object]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, item in entries.items():
        if isinstance(item, Estimate):
            found |= {name: item.value, f"{name}_interval": [item.low, item.high]}
        else:
            found[name] = _plain(item)
    return found
