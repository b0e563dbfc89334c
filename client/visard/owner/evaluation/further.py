"""What is asked of an evaluation beyond its rates: calibrated points, searches, groups, images that pass as many."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from visard.errors import InvalidRequest
from visard.owner.evaluation import calibration, embed, groups, identification, photos
from visard.owner.evaluation.attack import Attack, Budget, attack
from visard.owner.evaluation.comparisons import sides_of
from visard.owner.evaluation.report import Report
from visard.owner.evaluation.run import Evaluation


def calibrate(found: Evaluation, made: Report, second: tuple[list[Path], list[str]] | None = None) -> None:
    """Points that the photos carry, with a margin where there is a second set (images, and people by image)."""
    _embeds(found, "calibration")
    other = None
    if second is not None:
        images, people = second
        theirs = photos.everything(images, people, found.captured(images))
        vectors, made.second_refused_by_mean = found.described(theirs)
        other = theirs.compare(vectors, found.found.reach)
        made.second = {name: found.point(theirs, other, limit) for name, limit in found.points.items()}
    with found.bar("calibrating", 1) as advance:
        made.calibration = calibration.calibrate(found.found, found.photos.drawn, other)
        advance()


def searchable(found: Evaluation) -> bool:
    """Whether there are people enough for a gallery, and for strangers to it."""
    return len(np.unique(found.photos.person[found.photos.rows()])) >= 2 * identification.LEAST_LEFT


def identify(found: Evaluation, made: Report, gallery: int = 0) -> None:
    """Open-set identification at every operating point."""
    _embeds(found, "identification")
    rows = found.photos.rows()
    probes, references = sides_of(found.photos.first, found.photos.second)
    made.identification = identification.identify(
        np.stack([found.vectors[row] for row in rows.tolist()]),
        found.photos.person[rows],
        found.points,
        _rates(found, made),
        gallery=gallery,
        references=references[rows],
        probes=probes[rows],
    )


def differentials(found: Evaluation, made: Report, named: Sequence[str]) -> None:
    """Error rates by group; ``named``: the group of each image, "" for none."""
    own = groups.of_people(named, found.photos.person)
    made.groups = groups.differentials(found.found, own, found.points, found.photos.drawn)


def attacked(found: Evaluation, made: Report, budget: Budget) -> Attack:
    """How many people images can be made to match; raises InvalidRequest for a network that judges pairs."""
    _embeds(found, "an attack")
    pictures = found.photos.captured.pictures
    matchable = {row: picture for row, picture in pictures.items() if found.vectors[row].any()}
    captured = embed.Captured(matchable, {})
    with found.bar("making images that match everybody", budget.total(len(found.points))) as advance:
        return attack(
            *(found.network.module, captured, found.vectors, found.pairs.people, found.points, advance),
            rates=_rates(found, made),
            test=found.test,
            budget=budget,
        )


def _rates(found: Evaluation, made: Report) -> dict[str, float]:
    """False match rates of the points: as they are named, or else as measured here."""
    return {name: made.points[name].fmr.value for name in found.points} | dict(found.network.rates)


def _embeds(found: Evaluation, what: str) -> None:
    if found.at_once:
        raise InvalidRequest(f"{what} needs a network that embeds pictures")
