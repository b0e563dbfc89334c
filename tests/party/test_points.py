"""A search's threshold follows its gallery; a model's points are replaced as a whole, and what is wrong with them is named."""

from dataclasses import replace

import pytest
from visard_common.errors import FailedPrecondition, InvalidArgument
from visard_engine.warm import program as small_program
from visard_party.auditlog import entry_of
from visard_party.intake.requests import check_points
from visard_party.models import calibrated
from visard_party.operations.points import carrying, of_search
from visard_wire.v1 import common_pb2

Point = common_pb2.OperatingPoint
IDENTIFY = common_pb2.OPERATION_IDENTIFY
DISTANCES = {"default": 0.8, "FMR_1E3": 0.9, "FMR_1E4": 0.8, "FMR_1E5": 0.7, "lenient": 1.1}
RATES = {"default": 1e-4, "FMR_1E3": 1e-3, "FMR_1E4": 1e-4, "FMR_1E5": 1e-5}
PROGRAM = replace(small_program(31), operating_points=DISTANCES, false_match_rates=RATES)
UNMEASURED = replace(PROGRAM, false_match_rates={})


def search(**fields: object) -> common_pb2.Request:
    return common_pb2.Request(operation=IDENTIFY, model="face", **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rows", "point"),
    [(1, "FMR_1E3"), (10, "FMR_1E3"), (11, "FMR_1E4"), (100, "FMR_1E4"), (101, "FMR_1E5"), (1000, "FMR_1E5")],
)
def search__should_take_the_loosest_point_with_which_one_stranger_in_a_hundred_is_found(rows: int, point: str) -> None:
    assert carrying(PROGRAM, rows) == of_search(search(), PROGRAM, rows) == point


def gallery_that_no_point_carries__should_be_refused_unless_told_to_go_on() -> None:
    refused = "1001 references are searched, and FMR_1E5, the strictest point of face, carries 1000: name a point, or allow it"
    with pytest.raises(FailedPrecondition, match=refused) as caught:
        of_search(search(), PROGRAM, 1001)
    assert caught.value.field == "request.allow_large_gallery"
    assert not caught.value.message.endswith("…"), "it is short enough for a status"
    assert of_search(search(allow_large_gallery=True), PROGRAM, 1001) == "FMR_1E5"
    assert of_search(search(allow_large_gallery=True), PROGRAM, 11) == "FMR_1E4", (
        "where one carries it nothing is different"
    )


def point_that_is_named__should_win() -> None:
    assert of_search(search(operating_point="lenient"), PROGRAM, 10**6) == "lenient"
    assert of_search(search(operating_point="default"), UNMEASURED, 10**6) == "default"


def points_that_nobody_has_measured__should_carry_no_gallery() -> None:
    with pytest.raises(FailedPrecondition, match=r"request\.allow_large_gallery: nobody has measured"):
        of_search(search(), UNMEASURED, 1)
    assert of_search(search(allow_large_gallery=True), UNMEASURED, 1) == "default"


def told(**changes: object) -> Point:
    fields = {"name": "default", "distance": 0.8, "false_match_rate": 1e-4} | changes
    return Point(**fields)  # type: ignore[arg-type]


WRONG: dict[str, tuple[str, list[Point]]] = {
    "none": ("request.points: 1 to 32", []),
    "too many": ("request.points: 1 to 32", [told(), *(told(name=f"p{k}") for k in range(32))]),
    "twice": ("request.points.name: each once", [told(), told()]),
    "no default": ("request.points.name: each once, and one of them default", [told(name="strict")]),
    "no name": ("request.points.name", [told(), told(name="")]),
    "an odd name": ("request.points.name: 1 to 64 of", [told(), told(name="a b")]),
    "a long name": ("request.points.name: 1 to 64 of", [told(), told(name="a" * 65)]),
    "nothing": ("request.points.distance: more than 0, less than 2", [told(distance=0)]),
    "too far": ("request.points.distance", [told(distance=2)]),
    "no number": ("request.points.distance", [told(distance=float("nan"))]),
    "a rate below 0": ("request.points.false_match_rate", [told(false_match_rate=-1e-3)]),
    "a rate of 1": ("request.points.false_match_rate", [told(false_match_rate=1)]),
    "a rate that is no number": ("request.points.false_match_rate", [told(false_match_rate=float("nan"))]),
}


@pytest.mark.parametrize("wrong", WRONG)
def points_that_are_wrong__should_be_refused_by_the_name_of_the_field(wrong: str) -> None:
    text, points = WRONG[wrong]
    with pytest.raises(InvalidArgument) as caught:
        check_points(points)
    assert caught.value.message.startswith(text)
    assert caught.value.field == text.partition(": ")[0]


def program__should_be_the_same_but_for_its_points() -> None:
    points = [told(), told(name="lenient", distance=1.5, false_match_rate=0)]
    changed = calibrated(PROGRAM, points)
    assert (changed.operating_points, changed.false_match_rates) == (
        {"default": 0.8, "lenient": 1.5},
        {"default": 1e-4},
    )
    assert replace(changed, operating_points=DISTANCES, false_match_rates=RATES) == PROGRAM
    assert changed.digest == calibrated(PROGRAM, points[::-1]).digest != PROGRAM.digest
    assert type(changed).from_json(changed.to_json()) == changed


def rates_that_contradict_distances__should_be_refused() -> None:
    with pytest.raises(
        InvalidArgument, match=r"request\.points: false match rates: a larger distance has no smaller one"
    ):
        calibrated(PROGRAM, [told(), told(name="loose", distance=1.0, false_match_rate=1e-6)])


def requests() -> dict[str, tuple[common_pb2.Request, str]]:
    calibrate = common_pb2.Request(
        operation=common_pb2.OPERATION_CALIBRATE,
        model="face",
        program_digest=b"\xab" * 32,
        points=[told(), told(name="FMR_1E4"), told(name="any", false_match_rate=0)],
    )
    publish = common_pb2.Request(operation=common_pb2.OPERATION_PUBLISH, model="face", program_digest=b"\xcd" * 32)
    points = "FMR_1E4=0.8@0.0001 any=0.8@0.0 default=0.8@0.0001"
    return {
        "calibrate": (calibrate, f"program {'ab' * 32} {points}"),
        "publish": (publish, f"program {'cd' * 32}"),
        "identify": (search(), ""),
    }


@pytest.mark.parametrize("operation", requests())
def log__should_say_which_program_and_which_points(operation: str) -> None:
    request, detail = requests()[operation]
    entry = entry_of(request, "owner/default", "OK")
    assert (entry.caller, entry.operation, entry.model, entry.detail) == (
        "owner/default",
        operation,
        request.model,
        detail,
    )
