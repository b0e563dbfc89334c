"""Two models' answers are one: each person once, at whichever point lets the fewest strangers in."""

import pytest
from visard import migration, opening
from visard.errors import InconsistentAnswer, InvalidRequest, NobodyEnrolled, Unavailable
from visard.results import (
    Candidate,
    Identification,
    ModelCost,
    ModelInfo,
    OperatingPoint,
    PartyCost,
    Report,
    SubjectCount,
)
from visard_wire.v1 import common_pb2

REPORT = Report(0.5, 0.4, tuple(PartyCost(party, 0.1, 0.2, 0.0, 20, 1.0, 2.0, 300.0) for party in range(3)))
COST = ModelCost(0, 0, 0, 0, 0, 0.0, 0, ())
RATES: dict[str, dict[str, float | None]] = {
    "old": {"FMR_1E3": 1e-3, "FMR_1E4": 1e-4, "loose": None},
    "new": {"FMR_1E3": 9e-4, "FMR_1E5": 1e-5},
}


def info(name: str) -> ModelInfo:
    points = tuple(OperatingPoint(point, 1.0, rate) for point, rate in RATES[name].items())
    return ModelInfo(name, bytes(32), (3, 9, 9), 31, 8, False, (8,), COST, points, "", 0)


def answer(*found: tuple[str, str], point: str = "FMR_1E3", more: bool = False) -> Identification:
    candidates = tuple(Candidate(subject, f"{subject}-{k}", at) for k, (subject, at) in enumerate(found))
    return Identification(opening.only_subject(candidates), REPORT, point, candidates, more)


def told(old: Identification | None, new: Identification | None) -> tuple[str | None, list[tuple[str, str, str]]]:
    answers = {name: one for name, one in (("old", old), ("new", new)) if one is not None}
    found = migration.merged(answers, {name: info(name) for name in answers})
    return found.subject, [(one.subject, one.model, one.operating_point) for one in found.candidates]


def person__should_be_named_once_at_the_strictest_point() -> None:
    ada, bob = ("ada", "FMR_1E3"), ("bob", "FMR_1E3")
    assert told(answer(ada), answer(("ada", "FMR_1E5"))) == ("ada", [("ada", "new", "FMR_1E5")])
    assert told(answer(("ada", "FMR_1E4")), answer(ada)) == ("ada", [("ada", "old", "FMR_1E4")])
    two = [("bob", "new", "FMR_1E3"), ("ada", "old", "FMR_1E3")]
    assert told(answer(ada), answer(bob)) == ("bob", two), "9e-4 is less than 1e-3"
    assert told(answer(ada, bob), answer()) == (None, [("ada", "old", "FMR_1E3"), ("bob", "old", "FMR_1E3")])
    assert told(answer(("ada", "loose")), answer(bob)) == ("bob", [two[0], ("ada", "old", "loose")])
    assert told(answer(ada), None) == ("ada", [("ada", "old", "FMR_1E3")])
    assert told(answer(), answer()) == (None, [])


def answer_of_both__should_say_which_points_decided_and_what_both_cost() -> None:
    found = migration.merged({"old": answer(), "new": answer(point="FMR_1E5", more=True)}, {})
    assert (found.operating_point, found.more, found.known) == ("old:FMR_1E3, new:FMR_1E5", True, True)
    assert (found.report.seconds, found.report.rounds, found.report.kit_mb) == (0.5, 20, 4.0)


async def models__should_be_passed_over_where_nobody_is_enrolled() -> None:
    async def ask(name: str) -> list[Identification]:
        if name == "old":
            raise NobodyEnrolled("nobody is enrolled")
        return [answer(("ada", "FMR_1E3"))]

    async def known(name: str) -> ModelInfo:
        return info(name)

    found = await migration.together(["old", "new"], ask, known)
    assert (found.subject, found.operating_point) == ("ada", "new:FMR_1E3")
    with pytest.raises(NobodyEnrolled):
        await migration.together(["old"], ask, known)


async def failure__should_be_that_of_the_model_that_fails() -> None:
    async def ask(name: str) -> list[Identification]:
        if name == "old":
            raise Unavailable("away")
        return [answer()]

    async def known(name: str) -> ModelInfo:
        return info(name)

    with pytest.raises(Unavailable, match="away"):
        await migration.together(["new", "old"], ask, known)


@pytest.mark.parametrize("models", ["old", [], ["old", "old"], [""], [None], None, {"old": 1}])
def models__should_be_names_each_once(models: object) -> None:
    with pytest.raises(InvalidRequest, match="models"):
        migration.several(models)  # type: ignore[arg-type]


def status__should_count_who_is_with_both_and_name_who_is_left() -> None:
    old, new = ([SubjectCount(name, 2) for name in names] for names in (("ada", "bob", "eve"), ("bob", "zoe")))
    found = migration.compared("staff", ("old", old), ("new", new))
    assert (found.old.subjects, found.old.references, found.new.subjects) == (3, 6, 2)
    assert (found.both, found.left, found.gallery) == (1, ("ada", "eve"), "staff")


def parties__should_say_the_same_of_a_move() -> None:
    said = common_pb2.Outcome(reference_ids=["ab"], migrated=True, references_erased=2)
    assert opening.moved([said] * 3) == (True, "ab", 2)
    for field, value in (("migrated", False), ("references_erased", 1), ("reference_ids", ["cd"])):
        other = common_pb2.Outcome(reference_ids=["ab"], migrated=True, references_erased=2)
        other.ClearField(field)  # type: ignore[arg-type]
        other.MergeFrom(common_pb2.Outcome(**{field: value}))  # type: ignore[arg-type]
        with pytest.raises(InconsistentAnswer):
            opening.moved([said, said, other])
    with pytest.raises(InconsistentAnswer, match="does not say"):
        opening.moved([common_pb2.Outcome(reference_ids=["ab"])] * 3)
    assert opening.moved([common_pb2.Outcome(reference_ids=["ab"], migrated=False, references_erased=0)] * 3) == (
        False,
        None,
        0,
    )
