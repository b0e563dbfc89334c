"""A subject is changed by whoever enrolled every reference of it, or has a right to it; nobody else is told whose it is."""

import pytest
from visard_party.operations import rights
from visard_party.store.contents import Name, Right
from visard_wire.v1 import common_pb2

KIOSK, OTHER = "enroller/kiosk-7", "enroller/kiosk-8"
MINE = Name("a", "ada", "face", 1, KIOSK)
THEIRS = Name("b", "ada", "face", 1, OTHER)
NOBODYS = Name("c", "ada", "face", 1)
CHANGES = ("ENROL", "DELETE", "RENAME", "REVIEW", "MIGRATE")


def request(operation: str) -> common_pb2.Request:
    return common_pb2.Request(
        operation=common_pb2.Operation.Value(f"OPERATION_{operation}"), subject="ada", model="face"
    )


@pytest.mark.parametrize("operation", CHANGES)
def change__should_need_a_right_where_a_reference_is_not_the_callers(operation: str) -> None:
    asked = request(operation)
    assert not rights.needs_right(asked, KIOSK, []), "a name that is free"
    assert not rights.needs_right(asked, KIOSK, [MINE, MINE])
    for concerned in ([THEIRS], [MINE, THEIRS], [THEIRS, MINE], [NOBODYS]):
        assert rights.needs_right(asked, KIOSK, concerned)


def other_operations__should_take_nothing_from_anybody() -> None:
    names = {
        common_pb2.Operation.Name(number).removeprefix("OPERATION_")
        for number in common_pb2.Operation.values()
        if number
    } - {*CHANGES}
    assert "EXPIRE" in names
    assert not any(rights.needs_right(request(name), KIOSK, [THEIRS]) for name in names)


def administrator__should_review_what_others_have_enrolled() -> None:
    for caller in ("admin/default", "admin"):
        assert not rights.needs_right(request("REVIEW"), caller, [THEIRS])
    assert rights.needs_right(request("REVIEW"), "enroller/admin", [THEIRS])


def callers_of_two_roles__should_be_two_callers() -> None:
    assert rights.needs_right(request("DELETE"), "owner/kiosk-7", [MINE])


def refusal__should_name_the_field_and_the_way_out_and_not_the_owner() -> None:
    fault = rights.refusal(request("ENROL"), KIOSK)
    assert (fault.code, fault.field) == ("PERMISSION_DENIED", "request.subject")
    assert KIOSK in fault.message
    assert "an administrator can grant" in fault.message
    assert "an administrator can grant" in (fault.allowed or "")
    assert OTHER not in fault.message


def right__should_have_a_name_that_no_reference_and_no_other_right_has() -> None:
    words: list[tuple[str, ...]] = [("face", "ada", KIOSK), ("face", "", KIOSK), ("fac", "eada", KIOSK)]
    words += [("face", "ada", OTHER), ("face", "ada", KIOSK, "staff"), ("face", "ada", KIOSK, "default", "enrol")]
    ids = {Right(*each).right_id for each in words}
    assert len(ids) == len(words)
    assert all(len(right_id) == 32 and int(right_id, 16) for right_id in ids)
    name = Right(*words[0]).name
    assert (name.is_right, name.enrolled_by, name.subject) == (True, KIOSK, "ada")
    assert not MINE.is_right
