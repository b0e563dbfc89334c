"""What a gallery's rules say, and to whom a gallery is told of."""

from pathlib import Path

import pytest
from visard_common.errors import NotFound
from visard_party.operations import galleries
from visard_party.store import open_store
from visard_party.store.base import Store
from visard_party.store.contents import May, Place, Right, Rule
from visard_wire.limits import DEFAULT_GALLERY
from visard_wire.v1 import common_pb2

ADMIN, HR, DOOR, STRANGER = "admin", "enroller/hr-1", "verifier/door-3", "enroller/visitor"
STAFF = (
    Right("", "", "", "staff", May.EXIST),
    Right("", "", "enroller/hr-*", "staff", May.ENROL),
    Right("", "", "*", "open", May.VERIFY),
    Right("", "", "", "open", May.EXIST),
    Right("", "", "verifier/door-*", "staff", May.SEARCH),
    Right("", "", "", "closed", May.EXIST),
    Right("face", "ada", STRANGER, "staff"),
)


@pytest.fixture
async def store(tmp_path: Path) -> Store:
    found = await open_store("sqlite", tmp_path, 0)
    await found.stage(b"1" * 16, Rule(give=STAFF), b"d")
    await found.commit(b"1" * 16)
    return found


@pytest.mark.parametrize(
    ("gallery", "caller", "may"),
    [
        ("staff", HR, "enrol"),
        ("staff", DOOR, "search"),
        ("open", STRANGER, "verify"),
        ("open", DOOR, "verify"),
        (DEFAULT_GALLERY, STRANGER, "enrol"),
        (DEFAULT_GALLERY, DOOR, "search"),
        ("staff", ADMIN, "any"),
        ("closed", ADMIN, "any"),
    ],
)
async def caller__should_do_what_a_rule_lets(store: Store, gallery: str, caller: str, may: str) -> None:
    await galleries.require(store, gallery, caller, may)


@pytest.mark.parametrize(
    ("gallery", "caller", "may"),
    [
        ("staff", HR, "search"),  # another kind
        ("staff", DOOR, "enrol"),
        ("staff", STRANGER, "enrol"),  # a right to a subject is none to the gallery
        ("staff", "", "enrol"),
        ("staff", "enroller/hr", "enrol"),  # the pattern ends in a line and something
        ("staff", "xenroller/hr-1", "enrol"),
        ("closed", HR, "exist"),  # nor is that it is there
        ("closed", HR, "enrol"),
        ("open", HR, "enrol"),
        ("none", HR, "enrol"),
        ("none", ADMIN, "any"),
        ("Staff", HR, "enrol"),
    ],
)
async def others__should_be_told_the_same_as_if_there_were_no_such_gallery(
    store: Store, gallery: str, caller: str, may: str
) -> None:
    with pytest.raises(NotFound) as refused:
        await galleries.require(store, gallery, caller, may)
    with pytest.raises(NotFound) as absent:
        await galleries.require(store, "never.made", caller, may)
    assert refused.value.message == absent.value.message.replace("never.made", gallery)
    assert (refused.value.retry_after, refused.value.field) == (absent.value.retry_after, absent.value.field)


async def default_gallery__should_be_open_until_it_has_rules(store: Store) -> None:
    await galleries.require(store, DEFAULT_GALLERY, STRANGER, "search")
    rule = Right("", "", "enroller/hr-*", DEFAULT_GALLERY, May.SEARCH)
    await store.stage(b"2" * 16, Rule(give=(Right("", "", "", DEFAULT_GALLERY, May.EXIST), rule)), b"d")
    await store.commit(b"2" * 16)
    await galleries.require(store, DEFAULT_GALLERY, HR, "search")
    for caller, may in ((STRANGER, "search"), (HR, "verify")):
        with pytest.raises(NotFound):
            await galleries.require(store, DEFAULT_GALLERY, caller, may)


@pytest.mark.parametrize(
    ("caller", "told"),
    [
        (HR, {DEFAULT_GALLERY: 3, "open": 1, "staff": 1}),
        (DOOR, {DEFAULT_GALLERY: 3, "open": 1, "staff": 1}),
        (STRANGER, {DEFAULT_GALLERY: 3, "open": 1}),
        (ADMIN, {DEFAULT_GALLERY: 3, "open": 1, "staff": 2, "closed": 0}),
    ],
)
async def caller__should_be_told_of_galleries_where_it_may_do_something(
    store: Store, caller: str, told: dict[str, int]
) -> None:
    found = await galleries.listed(store, "", caller)
    assert [name for name, _ in found] == sorted(told)
    assert {name: len(rules) for name, rules in found} == told
    for name in (*told, "staff", "closed", "none"):
        one = await galleries.listed(store, name, caller)
        assert one == [entry for entry in found if entry[0] == name]


def place__should_follow_from_the_request() -> None:
    assert Place.of(common_pb2.Request(model="face")) == Place("face", DEFAULT_GALLERY)
    assert Place.of(common_pb2.Request(model="face", gallery="staff")) == Place("face", "staff")
    named = common_pb2.Request(model="face", gallery=DEFAULT_GALLERY)
    assert Place.of(named) == Place.of(common_pb2.Request(model="face"))
