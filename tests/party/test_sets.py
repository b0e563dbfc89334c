"""Equal sets have equal hashes in any order, an audit's tree adds up, and only a difference that lasts counts."""

import os
import random
from dataclasses import replace

import pytest
from visard_party.consistency.sets import LEAF_ROWS, Holdings, SetWatch, View, children, element_hash, set_hash
from visard_party.store.contents import LogEntry, Name, State
from visard_party.store.names import Names


def names(count: int) -> list[Name]:
    return [Name(os.urandom(16).hex(), f"s{k % 7}", "face", 1 + k % 3) for k in range(count)]


def order__should_not_matter_and_content_should() -> None:
    rows = names(50)
    shuffled = random.sample(rows, len(rows))
    assert Holdings(rows, ()).references == Holdings(shuffled, ()).references
    first = rows[0]
    others = [
        rows[1:],
        [Name(first.reference_id, "else", first.model, first.version), *rows[1:]],
        [Name(first.reference_id, first.subject, "other", first.version), *rows[1:]],
        [Name(first.reference_id, first.subject, first.model, first.version + 1), *rows[1:]],
        [replace(first, enrolled_by="enroller/x"), *rows[1:]],
        [*rows, first],
    ]
    hashes = {Holdings(changed, ()).references for changed in others} | {Holdings(rows, ()).references}
    assert len(hashes) == len(others) + 1


def parts__should_not_run_together() -> None:
    assert element_hash([b"ab", b"c"]) != element_hash([b"a", b"bc"])


def log__should_count_what_is_committed_and_what_is_pending() -> None:
    committed = LogEntry(b"1" * 16, "change", b"", State.COMMITTED, 1)
    pending = LogEntry(b"2" * 16, "change", b"", State.PENDING, 1)
    dropped = LogEntry(b"3" * 16, "", b"", State.DROPPED, 0)
    one, two = Holdings((), [committed, pending, dropped]), Holdings((), [committed])
    assert one.writes == two.writes != Holdings((), ()).writes
    assert (one.pending, two.pending) == (1, 0)


@pytest.mark.parametrize("prefix", ["", "a", "3f"])
def node__should_be_the_sum_of_its_children(prefix: str) -> None:
    holdings = Holdings(names(3000), ())
    node = holdings.node(prefix)
    below = [holdings.node(child) for child in children(prefix)]
    assert node.count == sum(child.count for child in below)
    assert node.hash == set_hash(int.from_bytes(child.hash, "big") for child in below)
    assert all(len(child.rows) in (0, child.count) for child in below)


def holdings__should_be_brought_up_to_date_as_if_hashed_anew() -> None:
    generator = random.Random(5)
    rows = {name.reference_id: name for name in names(200)}
    log = [LogEntry(bytes([k]) * 16, "change", b"", State.COMMITTED, 1) for k in range(3)]
    kept = Holdings(list(rows.values()), log[:1])
    for k in range(40):
        erased = generator.sample(sorted(rows), 3)
        changed = [replace(rows[i], version=9 + k) for i in generator.sample(sorted(rows), 3)]
        added = {name.reference_id: name for name in [*changed, *names(4)]}
        rows = {i: name for i, name in (rows | added).items() if i not in erased}
        touched = {*erased, *added, "f" * 32}  # that one was never there
        kept.update(touched, [rows[i] for i in touched if i in rows], {entry.request_id: 9 for entry in log})
        fresh = Holdings(list(rows.values()), log)
        assert (kept.references, kept.writes, kept.counts) == (fresh.references, fresh.writes, fresh.counts)
        assert [kept.node(p) for p in ("", "7", "a3")] == [fresh.node(p) for p in ("", "7", "a3")]


def leaves__should_name_their_rows() -> None:
    rows = sorted(names(LEAF_ROWS), key=lambda name: name.reference_id)
    assert Holdings(rows, ()).node("").rows == tuple(rows)
    assert Holdings([*rows, *names(1)], ()).node("").rows == ()


A, B = View(b"a", b"w", 0), View(b"b", b"w", 0)


def lasting_difference__should_count_and_a_passing_one_not() -> None:
    watch = SetWatch(patience=3)
    assert [watch.compare(1, A, B) for _ in range(3)] == [False, False, True]
    assert not watch.compare(1, A, A)
    assert [watch.compare(1, A, B) for _ in range(2)] == [False, False]
    moving = View(b"c", b"w", 0)
    assert not watch.compare(1, moving, B)  # something was written: it begins again
    assert [watch.compare(1, moving, B) for _ in range(2)] == [False, True]


def pending_writes__should_be_waited_for() -> None:
    watch = SetWatch(patience=2)
    busy = View(b"b", b"w", 1)
    assert not any(watch.compare(1, A, busy) for _ in range(10))


def peers__should_be_watched_one_by_one() -> None:
    watch = SetWatch(patience=2)
    assert [watch.compare(peer, A, B) for peer in (1, 2, 1)] == [False, False, True]
    watch.forget(2)
    assert not watch.compare(2, A, B)


def subjects__should_be_counted_once_in_each_gallery() -> None:
    people = ["ada", "ad", "adb", "a" * 8, "a" * 9, "b" * 60, "b" * 61, *(f"person-{k}" for k in range(500))]
    rows = [
        Name(os.urandom(16).hex(), who, "face", 1 + k, "", where) for k in range(3) for who in people for where in "xy"
    ]
    rows.append(Name(os.urandom(16).hex(), "nobody", "face", 0))
    assert Holdings(rows, ()).counts == (2 * len(people), 6 * len(people))
    assert Holdings(rows[-1:], ()).counts == (0, 0)


def names__should_come_out_as_they_went_in() -> None:
    rows = sorted(names(300), key=lambda name: name.reference_id)
    rows[7] = replace(rows[7], subject="x" * 128, version=70_000, enrolled_by="enroller/a", gallery="other")
    kept = Names.of(rows)
    assert list(kept) == rows
    assert list(kept[5:9]) == rows[5:9]
    assert kept.subjects == [name.subject for name in rows]
    assert [kept.find(name.reference_id) for name in rows] == list(range(300))
    assert kept.find("f" * 32) is None
    shuffled = Names.of(random.sample(rows, 300))
    assert list(shuffled.picked(shuffled.order)) == rows
    assert kept.of_subject("s3").tolist() == [name.subject == "s3" for name in rows]
    assert not kept.of_subject("s3" + "x" * 200).any()
    assert kept.chosen(~kept.of_subject("x" * 128)).room == 24, "the room of a long name goes with it"
