"""Operating points of a model: named distances, and what is known of how many strangers lie within. Read, put together, checked.

Distances are Euclidean, between descriptors on the unit sphere: a cosine c is the distance sqrt(2 - 2 c).
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from visard.errors import InvalidRequest
from visard.rates import percent
from visard.results import DEFAULT_POINT, OperatingPoint

# A match with one stranger in a thousand is as loose as a model may be unless its owner says so: one image can be made that
# passes as most people at a looser point (docs/models/face.md), and budgets follow from the rate.
LOOSEST = 1e-3
_CALIBRATED = "FMR_1E"  # how visard evaluate names a threshold, before the rate's exponent
_USUAL = "FMR_1E4"  # where the default lies


@dataclass(frozen=True)
class Points:
    """Distances by name, and the false match rates of those whose rate is known."""

    distances: Mapping[str, float] = field(default_factory=dict)
    rates: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, points: Iterable[OperatingPoint]) -> "Points":
        """Those of a published model."""
        told = list(points)
        rates = {point.name: point.false_match_rate for point in told if point.false_match_rate is not None}
        return cls({point.name: point.distance for point in told}, rates)

    def without(self, names: Iterable[str]) -> "Points":
        """The others."""
        gone = set(names)
        return Points(*({n: x for n, x in known.items() if n not in gone} for known in (self.distances, self.rates)))

    def joined(self, others: "Points") -> "Points":
        """With others, which count more."""
        kept = self.without(others.distances)
        return Points({**kept.distances, **others.distances}, {**kept.rates, **others.rates})

    def named(self, name: str, other: str) -> "Points":
        """The same with another name for one of them."""
        rates = {other: self.rates[name]} if name in self.rates else {}
        return self.joined(Points({other: self.distances[name]}, rates))


def parse_points(pairs: Sequence[str]) -> dict[str, float]:
    """NAME=DISTANCE, each; raises InvalidRequest."""
    found: dict[str, float] = {}
    for pair in pairs:
        name, _, value = pair.partition("=")
        try:
            found[name] = float(value)
        except ValueError:
            found[name] = -1.0
        if not re.fullmatch(r"[A-Za-z0-9_]{1,64}", name) or not 0 < found[name] < 2:
            raise InvalidRequest(
                f"point {pair!r}: NAME=DISTANCE is needed, on the unit sphere (0 to 2), such as default=1.1"
            )
    return found


def read_points(file: Path) -> dict[str, float]:
    """The thresholds that ``visard evaluate`` has calibrated, from its JSON file; raises InvalidRequest."""
    return _report(file)[0]


def _report(file: Path) -> tuple[dict[str, float], str]:
    """The thresholds, and the name of that which is to be the default, if the report names one."""
    try:
        told = json.loads(file.read_text())["calibration"]
        found = parse_points([f"{name}={float(limit)!r}" for name, limit in told["thresholds"].items()])
        return found, str(told.get("default") or "")
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InvalidRequest(f"{file}: not a report of visard evaluate with calibrated thresholds") from error


def stated(calibrated: Path | None, pairs: Sequence[str]) -> Points:
    """What an owner names: thresholds of a report, which are called after their rates, and NAME=DISTANCE, which count more.

    Raises InvalidRequest.
    """
    measured, default = _report(calibrated) if calibrated is not None else ({}, "")
    rates = {name: 10.0 ** -int(name.removeprefix(_CALIBRATED)) for name in measured if name.startswith(_CALIBRATED)}
    found = Points(measured, rates)
    if default in measured:
        found = found.named(default, DEFAULT_POINT)
    return found.joined(Points(parse_points(pairs)))  # of the latter nobody has measured a rate


def changed(before: Points, fresh: Points, *, only: bool = False) -> Points:
    """Points with fresh ones in the place of those of the same names, or with ``only`` in the place of all.

    The default is another name for one of the points: unless it is named itself it goes with that one, which is the strictest of
    those where it was before; of points that stand alone it is FMR_1E4.
    """
    together = fresh if only else before.joined(fresh)
    if DEFAULT_POINT in fresh.distances:
        return together
    at = before.distances.get(DEFAULT_POINT)
    same = [name for name in fresh.distances if at is not None and before.distances.get(name) == at]
    followed = min(same, key=fresh.distances.__getitem__, default=_USUAL if only else "")
    return together.named(followed, DEFAULT_POINT) if followed in fresh.distances else together


def check(points: Points) -> None:
    """Raise InvalidRequest for an operating point that is looser than LOOSEST, or of which nobody knows how loose it is."""
    for name in sorted(points.distances):
        rate = points.rates.get(name)
        if rate is None or rate > LOOSEST:
            known = f"its false match rate is {percent(rate)}" if rate is not None else ""
            loose = known or "nobody has measured its false match rate"
            raise InvalidRequest(
                f"operating point {name}: {loose}, and {percent(LOOSEST)} is allowed: calibrate it (visard "
                "evaluate), or allow loose points explicitly (allow_loose=True)"
            )
