"""The rows that a probe is compared with are those of the store: read once, then brought up to date after every write."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from visard_engine.field import field_of
from visard_party.consistency.changes import MOST, Changes
from visard_party.errors import StoreError
from visard_party.gallery import Galleries, Rows
from visard_party.spread import Part
from visard_party.store.base import PART
from visard_party.store.contents import Place, Reference
from visard_wire.secret import Secret

F31, F61 = field_of(31), field_of(61)


def reference(number: int, subject: str = "ada", expires: int = 0) -> Reference:
    share = Secret(np.arange(number, number + 4, dtype=np.uint32).tobytes())
    return Reference(f"{number:032x}", subject, "face", 1, 1, 1, expires, b"", share)


class Counting:
    """A store that counts what is read of it."""

    def __init__(self) -> None:
        self.references: list[Reference] = [reference(1), reference(2, "bob")]
        self.whole, self.single = 0, 0
        self.during: Any = None
        self.published = ["face"]

    async def models(self) -> list[str]:
        return self.published

    async def gallery_parts(self, place: Place, made: Callable[[list[Reference]], Rows], part: Part) -> list[Rows]:
        self.whole += 1
        found = [row for row in self.references if row.reference_id in part]
        if self.during:
            self.during()
        step = 2 if len(found) < PART else PART  # as small parts as there may be, or those of a store
        return [made(found[k : k + step]) for k in range(0, len(found), step)]

    async def by_ids(self, reference_ids: Iterable[str]) -> list[Reference]:
        self.single += len(list(reference_ids))
        if self.during:
            self.during()
        return [row for row in self.references if row.reference_id in reference_ids]


class Noting:
    """A write log that is told what to say."""

    def __init__(self) -> None:
        self.changes = Changes()

    def watch(self) -> Changes:
        return self.changes

    def unwatch(self, changes: Changes) -> None:
        assert changes is self.changes
        self.changes.forget()


def galleries() -> tuple[Galleries, Counting, Changes]:
    store, writes = Counting(), Noting()
    return Galleries(store, writes), store, writes.changes  # type: ignore[arg-type]


def same(one: Rows, two: Rows) -> bool:
    """In everything."""
    arrays = [(one.expires, two.expires), (np.asarray(one.shares), np.asarray(two.shares))]
    told = [(list(rows.names), rows.names.labels.shape, rows.digest, len(rows)) for rows in (one, two)]
    return told[0] == told[1] and all(len(one) == 0 or (a.dtype == b.dtype and np.array_equal(a, b)) for a, b in arrays)


def rows__should_hold_shares_and_names_in_order() -> None:
    rows = Rows.of([reference(1), reference(5, "bob")], F31)
    assert np.asarray(rows.shares).tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert rows.subjects == ["ada", "bob"]
    assert rows.digest != Rows.of([reference(1), reference(5)], F31).digest
    assert Rows.of([replace(reference(1), descriptor=Secret(bytes(16)))], F61).shares.shape == (1, 2)
    assert "shares" not in repr(rows)


def no_rows__should_be_rows() -> None:
    rows = Rows.of([], F31)
    assert len(rows) == 0
    assert rows.live(5).without("ada").subjects == []
    assert rows.digest == Rows().digest


def rows_whose_time_is_over__should_be_left_out() -> None:
    rows = Rows.of([reference(1, expires=10), reference(2, expires=11), reference(3)], F31)
    assert rows.live(9) is rows
    assert [name.reference_id[-1] for name in rows.live(10).names] == ["2", "3"]
    assert np.asarray(rows.live(11).shares).tolist() == [[3, 4, 5, 6]]


def rows_of_one_subject__should_be_left_out() -> None:
    rows = Rows.of([reference(1), reference(2, "bob")], F31)
    assert np.asarray(rows.without("ada").shares).tolist() == [[2, 3, 4, 5]]
    assert rows.without("eve") is rows


NUMBERS = st.integers(0, 12)
SUBJECTS = ["ada", "bob", 40 * "c", 100 * "d"]  # names of each room there is
STORED = st.dictionaries(NUMBERS, st.tuples(st.sampled_from(SUBJECTS), st.integers(1, 3), st.integers(0, 2)))


def stored(rows: dict[int, tuple[str, int, int]]) -> list[Reference]:
    return [replace(reference(k, s, e), version=v) for k, (s, v, e) in sorted(rows.items())]


@settings(deadline=None)
@given(STORED, STORED, st.sets(NUMBERS))
def updated_rows__should_be_those_of_a_fresh_reading(
    before: dict[int, tuple[str, int, int]], change: dict[int, tuple[str, int, int]], erased: set[int]
) -> None:
    after = {k: row for k, row in (before | change).items() if k not in erased}
    touched = {f"{k:032x}" for k in change.keys() | erased}
    present = [row for row in stored(after) if row.reference_id in touched]
    old = Rows.of(stored(before), F31)
    kept = (list(old.names), np.asarray(old.shares).tolist())
    assert same(old.updated(touched, Rows.of(present, F31)), Rows.of(stored(after), F31))
    assert (list(old.names), np.asarray(old.shares).tolist()) == kept, "who reads the old rows keeps them"


@settings(deadline=None)
@given(STORED, st.sampled_from(SUBJECTS), st.integers(0, 3))
def part_of_the_rows__should_have_the_digest_of_that_part(
    rows: dict[int, tuple[str, int, int]], subject: str, now: int
) -> None:
    part = Rows.of(stored(rows), F31).live(now).without(subject)
    fresh = [row for row in stored(rows) if row.subject != subject and not 0 < row.expires_unix_ms <= now]
    assert same(part, Rows.of(fresh, F31))


async def gallery__should_be_read_once_and_then_only_what_was_written() -> None:
    kept, store, changes = galleries()
    first = await kept.get(Place("face"), F31)
    assert await kept.get(Place("face"), F31) is first
    store.references.append(reference(3, "eve"))
    changes.note(b"1", 9, [reference(3).reference_id])
    assert (await kept.get(Place("face"), F31)).subjects == ["ada", "bob", "eve"]
    store.references = store.references[1:]
    changes.note(b"2", 9, [reference(1).reference_id])
    assert (await kept.get(Place("face"), F31)).subjects == ["bob", "eve"]
    assert (store.whole, store.single) == (1, 2)


async def write__should_copy_the_shares_that_lie_beside_it_and_no_others() -> None:
    """So an enrolment costs no second matrix; a search that began before it keeps its rows."""
    kept, store, changes = galleries()
    store.references = [reference(2 * k) for k in range(3 * PART)]
    before = await kept.get(Place("face"), F31)
    assert [len(piece) for piece in before.shares.pieces] == [PART] * 3
    fresh = reference(2 * PART + 1, "eve")
    store.references.append(fresh)
    changes.note(b"1", 9, [fresh.reference_id])
    after = await kept.get(Place("face"), F31)
    old = {id(piece) for piece in before.shares.pieces}
    assert [id(piece) in old for piece in after.shares.pieces] == [True, False, False, True]
    assert (len(before), len(after)) == (3 * PART, 3 * PART + 1)
    at = after.names.find(fresh.reference_id)
    assert at == PART + 1
    assert np.asarray(after.shares)[at].tolist() == np.arange(2 * PART + 1, 2 * PART + 5).tolist()
    left = after.without("eve")
    assert sum(id(piece) in {id(one) for one in after.shares.pieces} for piece in left.shares.pieces) == 3


async def reference_of_another_model__should_not_come_in() -> None:
    kept, store, changes = galleries()
    await kept.get(Place("face"), F31)
    store.references.append(replace(reference(3), model="other"))
    changes.note(b"1", 9, [reference(3).reference_id])
    assert (await kept.get(Place("face"), F31)).subjects == ["ada", "bob"]


@pytest.mark.parametrize("touched", [None, [f"{k:032x}" for k in range(MOST + 1)]])
async def write_that_touched_everything__should_make_it_read_again(touched: list[str] | None) -> None:
    kept, store, changes = galleries()
    await kept.get(Place("face"), F31)
    store.references.append(reference(3, "eve"))
    changes.note(b"1", 9, touched)
    assert (await kept.get(Place("face"), F31)).subjects == ["ada", "bob", "eve"]
    assert (store.whole, store.single) == (2, 0)


@pytest.mark.parametrize("whole", [True, False])
async def write_during_the_reading__should_not_be_missed(whole: bool) -> None:
    kept, store, changes = galleries()
    if not whole:
        await kept.get(Place("face"), F31)
        store.references.append(reference(4, "joe"))
        changes.note(b"0", 9, [reference(4).reference_id])

    def write() -> None:
        store.during = None
        store.references = [*store.references, reference(3, "eve")]
        changes.note(b"1", 9, [reference(3).reference_id])

    store.during = write
    await kept.get(Place("face"), F31)
    assert "eve" in (await kept.get(Place("face"), F31)).subjects


@pytest.mark.parametrize("whole", [True, False])
async def failed_reading__should_be_done_again(whole: bool) -> None:
    kept, store, changes = galleries()
    if not whole:
        await kept.get(Place("face"), F31)
    store.references.append(reference(3, "eve"))
    changes.note(b"1", 9, [reference(3).reference_id])

    def fail() -> None:
        store.during = None
        raise StoreError("away")

    store.during = fail
    with pytest.raises(StoreError):
        await kept.get(Place("face"), F31)
    assert (await kept.get(Place("face"), F31)).subjects == ["ada", "bob", "eve"]


async def erased_reference__should_leave_the_memory_though_nobody_asks() -> None:
    kept, store, changes = galleries()
    await kept.get(Place("face"), F31)
    erased = store.references.pop()
    changes.note(b"0", 9, [erased.reference_id])
    await kept.tidy()
    assert kept._kept[Place("face")].rows.subjects == ["ada"]
    assert (store.whole, store.single) == (1, 1)
    await kept.tidy()
    assert (store.whole, store.single) == (1, 1)  # nothing changed, nothing read


async def withdrawn_model__should_leave_the_memory() -> None:
    kept, store, changes = galleries()
    await kept.get(Place("face"), F31)
    store.published = []
    await kept.tidy()
    assert kept._kept == {}
    assert changes.everything  # unwatched


async def change_of_another_place__should_cost_no_copy() -> None:
    """As each verification is that is counted, beside a gallery that may be large."""
    kept, store, changes = galleries()
    rows = await kept.get(Place("face"), F31)
    store.references.append(replace(reference(7), gallery="!default"))
    changes.told({reference(7).reference_id, reference(8).reference_id})
    assert await kept.get(Place("face"), F31) is rows
    assert (store.whole, store.single) == (1, 2)
