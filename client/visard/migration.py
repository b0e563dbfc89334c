"""A new model without calling everybody in: what moving one subject returns, how far all are, searches with both models."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from visard.errors import InvalidRequest, NobodyEnrolled
from visard.results import Candidate, Identification, ModelInfo, PartyCost, Report, SubjectCount

Ask = Callable[[str], Awaitable[list[Identification]]]


@dataclass(frozen=True)
class Migration:
    """Whether a photo was the subject, and so is a reference with another model now; else nothing was stored.

    ``model`` names that one, ``reference`` is the new reference's id, None where there is none; ``erased`` of the subject's
    references of the old model were erased in the same step. ``operating_point`` names the one of the old model that decided.
    """

    subject: str
    model: str
    migrated: bool
    reference: str | None
    erased: int
    report: Report
    operating_point: str = ""


@dataclass(frozen=True)
class Enrolled:
    """Who is enrolled with a model in a gallery: how many subjects, and how many references they have."""

    model: str
    subjects: int
    references: int

    @classmethod
    def of(cls, model: str, found: Sequence[SubjectCount]) -> "Enrolled":
        """Counted."""
        return cls(model, len(found), sum(one.references for one in found))


@dataclass(frozen=True)
class MigrationStatus:
    """How far a gallery is on its way from one model to another.

    ``both`` subjects are enrolled with each of them; ``left`` are those who are enrolled with the old one alone, in order.
    """

    gallery: str
    old: Enrolled
    new: Enrolled
    both: int
    left: tuple[str, ...]


def compared(
    gallery: str, old: tuple[str, Sequence[SubjectCount]], new: tuple[str, Sequence[SubjectCount]]
) -> MigrationStatus:
    """How far it is, from the names of two models and who is enrolled with each."""
    before, after = ({one.subject for one in found} for _, found in (old, new))
    left = tuple(sorted(before - after))
    return MigrationStatus(gallery, Enrolled.of(*old), Enrolled.of(*new), len(before & after), left)


def several(models: Sequence[str]) -> Sequence[str]:
    """Names of models to search with, each once; raises InvalidRequest."""
    if isinstance(models, str | bytes) or not isinstance(models, Sequence):
        raise InvalidRequest("models: a list of names")
    if not models or not all(isinstance(name, str) and name for name in models) or len({*models}) < len(models):
        raise InvalidRequest("models: a list of names, each once")
    return models


async def together(models: Sequence[str], ask: Ask, info: Callable[[str], Awaitable[ModelInfo]]) -> Identification:
    """One answer of several models, of which at least one has somebody enrolled; asked at the same time."""
    answers = await _each(several(models), ask)
    return merged(answers, {name: await info(name) for name in answers})


async def _each(models: Sequence[str], ask: Ask) -> Mapping[str, Identification]:
    """The answer of each model with which anybody is enrolled, asked at the same time; raises what the first that fails does."""
    tasks = [asyncio.ensure_future(ask(name)) for name in models]
    try:
        found = await asyncio.gather(*(_or_nobody(task) for task in tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    answers = {name: answer for name, answer in zip(models, found, strict=True) if answer is not None}
    if not answers:
        raise NobodyEnrolled(f"nobody is enrolled with {' or '.join(models)}")
    return answers


async def _or_nobody(task: "asyncio.Task[list[Identification]]") -> Identification | None:
    try:
        (answer,) = await task
        return answer
    except NobodyEnrolled:
        return None


def merged(answers: Mapping[str, Identification], infos: Mapping[str, ModelInfo]) -> Identification:
    """One answer: each person once, at the point of whichever model lets the fewest strangers in; those of the strictest first.

    A point whose rate nobody has measured counts as looser than any other.
    """
    rates = {(name, point.name): point.false_match_rate for name, info in infos.items() for point in info.points}

    def rate(one: Candidate) -> float:
        return rates.get((one.model, one.operating_point)) or 1.0

    found = [replace(one, model=name) for name, answer in answers.items() for one in answer.candidates]
    found.sort(key=rate)  # of equal ones those of the first model
    first = {one.subject: one for one in reversed(found)}
    candidates = tuple(one for one in found if first[one.subject] is one)
    people = [one.subject for one in candidates if rate(one) == rate(candidates[0])]
    return Identification(
        people[0] if len(people) == 1 else None,
        _costs([answer.report for answer in answers.values()]),
        ", ".join(f"{name}:{answer.operating_point}" for name, answer in answers.items()),
        candidates,
        any(answer.more for answer in answers.values()),
    )


def _costs(reports: Sequence[Report]) -> Report:
    """What requests cost together that went on at the same time."""
    parties = tuple(_cost(costs) for costs in zip(*(report.parties for report in reports), strict=True))
    seconds = max(report.seconds for report in reports)
    return Report(seconds, max(report.gateway_seconds for report in reports), parties)


def _cost(costs: Sequence[PartyCost]) -> PartyCost:
    return PartyCost(
        costs[0].party,
        sum(cost.engine_seconds for cost in costs),
        sum(cost.cpu_seconds for cost in costs),
        max(cost.queue_seconds for cost in costs),
        max(cost.rounds for cost in costs),
        sum(cost.sent_mb for cost in costs),
        sum(cost.kit_mb for cost in costs),
        max(cost.peak_memory_mb for cost in costs),
    )
