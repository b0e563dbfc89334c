"""Every store keeps the promises of visard_party.store.base: durable staging, atomic commits, sticky drops, same order.

On SQLite, on a MongoDB replica set (TLS, SCRAM) and on a standalone mongod: see conftest.py.
"""

import asyncio
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from visard_party.errors import ForeignStore, RequestConflict, StoreError
from visard_party.store import open_store
from visard_party.store.base import Store
from visard_party.store.contents import Change, LogEntry, Place, State, rows_digest

from tests.party.store.content import ONE, THREE, TWO, reference


async def staged_write__should_be_unseen_until_committed(store: Store) -> None:
    await store.stage(ONE, Change((reference("b"), reference("a"))), b"digest")
    assert await store.references(Place("face"), "ada") == []
    assert await store.names() == []
    assert await store.states([ONE, TWO]) == {ONE: State.PENDING, TWO: State.UNKNOWN}
    assert await store.pending() == [ONE]
    assert (await store.commit(ONE)).changes == 2
    found = await store.references(Place("face"), "ada")
    assert found == [reference("a"), reference("b")]
    assert [name.reference_id for name in await store.names()] == ["a", "b"]
    assert await store.pending() == []
    assert await store.states([ONE]) == {ONE: State.COMMITTED}


async def commit__should_be_applied_once(store: Store) -> None:
    await store.stage(ONE, Change((reference("a"),)), b"digest")
    assert [(await store.commit(ONE)).changes for _ in range(3)] == [1, 1, 1]
    assert len(await store.gallery(Place("face"))) == 1


async def staging__should_be_idempotent_for_the_same_content_only(store: Store) -> None:
    write = Change((reference("a"),))
    await store.stage(ONE, write, b"digest")
    await store.stage(ONE, write, b"digest")
    with pytest.raises(RequestConflict):
        await store.stage(ONE, Change((reference("b"),)), b"other")
    await store.commit(ONE)
    await store.stage(ONE, write, b"digest")
    assert await store.states([ONE]) == {ONE: State.COMMITTED}
    assert len(await store.gallery(Place("face"))) == 1


async def dropped_write__should_stay_dropped(store: Store) -> None:
    await store.stage(ONE, Change((reference("a"),)), b"digest")
    await store.drop(ONE)
    await store.drop(ONE)
    assert await store.states([ONE]) == {ONE: State.DROPPED}
    for attempt in (store.commit(ONE), store.stage(ONE, Change((reference("a"),)), b"digest")):
        with pytest.raises(RequestConflict):
            await attempt
    await store.drop(TWO)  # dropped before it was ever seen
    with pytest.raises(RequestConflict):
        await store.stage(TWO, Change((reference("b"),)), b"digest")
    assert await store.gallery(Place("face")) == []


async def refused_write__should_be_remembered_until_its_request_is_long_over(store: Store) -> None:
    await store.drop(ONE, 1000)
    await store.prune(1000)
    assert await store.states([ONE]) == {ONE: State.DROPPED}
    with pytest.raises(RequestConflict):
        await store.stage(ONE, Change((reference("a"),)), b"digest", 1000)
    await store.prune(1001)
    assert await store.states([ONE]) == {ONE: State.UNKNOWN}


async def committed_write__should_not_be_dropped(store: Store) -> None:
    await store.stage(ONE, Change((reference("a"),)), b"digest")
    await store.commit(ONE)
    with pytest.raises(RequestConflict):
        await store.drop(ONE)
    with pytest.raises(RequestConflict):
        await store.commit(TWO)
    assert len(await store.gallery(Place("face"))) == 1


@pytest.mark.parametrize("deletion_first", [True, False])
async def order_of_commits__should_not_matter(store: Store, deletion_first: bool) -> None:
    await store.stage(ONE, Change((reference("a"), reference("b"))), b"1")
    await store.stage(TWO, Change(erase=("a",)), b"2")
    for request in (TWO, ONE) if deletion_first else (ONE, TWO):
        await store.commit(request)
    assert [row.reference_id for row in await store.gallery(Place("face"))] == ["b"]


async def rows__should_come_in_the_same_order_everywhere(store: Store) -> None:
    ids = [f"{k:02x}" for k in (7, 3, 255, 16)]
    for k, name in enumerate(ids):
        request = bytes([k + 1]) * 16
        await store.stage(request, Change((reference(name, f"s{k}"),)), b"d")
        await store.commit(request)
    gallery = await store.gallery(Place("face"))
    assert [row.reference_id for row in gallery] == sorted(ids)
    other = [reference(n, f"s{ids.index(n)}") for n in sorted(ids)]
    names = [row.name for row in other]
    assert rows_digest([row.name for row in gallery]) == rows_digest(names)
    assert await store.names() == names
    assert rows_digest(names) != rows_digest(names[:-1])


async def subjects__should_be_paged_by_name(store: Store) -> None:
    rows = [reference(f"r{k}", f"subject-{k % 5}") for k in range(12)] + [reference("x", "zoe", "other")]
    await store.stage(ONE, Change(tuple(rows)), b"d")
    await store.commit(ONE)
    first = await store.subjects(Place("face"), 3, "", 10)
    rest = await store.subjects(Place("face"), 3, first[-1].subject, 10)
    assert [(s.subject, s.references) for s in [*first, *rest]] == [
        ("subject-0", 3),
        ("subject-1", 3),
        ("subject-2", 2),
        ("subject-3", 2),
        ("subject-4", 2),
    ]
    assert len(await store.names()) == 13


async def subjects__should_be_those_whose_time_is_not_over(store: Store) -> None:
    times = {"r0": ("ada", 0), "r1": ("ada", 100), "r2": ("bob", 100), "r3": ("eve", 101)}
    rows = [replace(reference(name, subject), expires_unix_ms=over) for name, (subject, over) in times.items()]
    await store.stage(ONE, Change(tuple(rows)), b"d")
    await store.commit(ONE)

    async def listed(at: int) -> dict[str, int]:
        return {s.subject: s.references for s in await store.subjects(Place("face"), 10, "", at)}

    assert await listed(99) == {"ada": 2, "bob": 1, "eve": 1}
    assert await listed(100) == {"ada": 1, "eve": 1}
    assert await listed(101) == {"ada": 1}
    assert [s.subject for s in await store.subjects(Place("face"), 1, "ada", 100)] == ["eve"], "pages skip nobody"
    for at in (99, 100, 101):
        live = [row for row in rows if row.live(at)]
        over = {name.reference_id for name in await store.expired("face", at, 10)}
        assert over == {row.reference_id for row in rows} - {row.reference_id for row in live}
        assert await listed(at) == Counter(row.subject for row in live)


async def request_ids__should_be_remembered_until_they_expire(store: Store) -> None:
    assert await store.remember(ONE, 1000, 2000)
    assert not await store.remember(ONE, 1999, 3000)
    assert await store.remember(ONE, 2001, 3000)


async def readers__should_see_whole_commits_while_writers_write(store: Store) -> None:
    async def write(k: int) -> None:
        request = bytes([k]) * 16
        await store.stage(request, Change(tuple(reference(f"{k}-{j}") for j in range(10))), b"d")
        await store.commit(request)

    async def read() -> None:
        for _ in range(30):
            assert len(await store.gallery(Place("face"))) % 10 == 0

    await asyncio.gather(*(write(k) for k in range(1, 11)), read(), read())
    assert len(await store.gallery(Place("face"))) == 100


async def everything__should_survive_reopening(uri: str, tmp_path: Path) -> None:
    first = await open_store(uri, tmp_path, 0)
    await first.stage(ONE, Change((reference("a"),)), b"1")
    await first.commit(ONE)
    await first.stage(TWO, Change((reference("b"),)), b"2")
    await first.drop(THREE)
    await first.close()
    again = await open_store(uri, tmp_path, 0)
    assert await again.states([ONE, TWO, THREE]) == {ONE: State.COMMITTED, TWO: State.PENDING, THREE: State.DROPPED}
    assert (await again.commit(TWO)).changes == 1
    assert len(await again.gallery(Place("face"))) == 2
    await again.close()


WRITER = """
import asyncio, sys
from pathlib import Path
from visard_party.store import open_store
from visard_party.store.contents import (Change)
from tests.party.store.content import reference
async def main():
    store = await open_store(sys.argv[1], Path(sys.argv[2]), 0)
    for k in range(1, 10_000):
        request = k.to_bytes(16, "big")
        await store.stage(request, Change(tuple(reference(f"{k}-{j}") for j in range(8))), b"d")
        print("staged", k, flush=True)
        await store.commit(request)
        print("committed", k, flush=True)
asyncio.run(main())
"""


@pytest.mark.parametrize("lines", [1, 2, 7, 40])
async def killed_writer__should_leave_whole_writes(uri: str, tmp_path: Path, lines: int) -> None:
    process = subprocess.Popen([sys.executable, "-c", WRITER, uri, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    seen = [process.stdout.readline().split() for _ in range(lines)]
    process.send_signal(signal.SIGKILL)
    seen += [line.split() for line in process.communicate()[0].splitlines() if len(line.split()) == 2]
    store = await open_store(uri, tmp_path, 0)
    for kind, k in seen:
        (state,) = (await store.states([int(k).to_bytes(16, "big")])).values()
        assert state is State.COMMITTED or (kind == "staged" and state is State.PENDING)
    rows = len(await store.gallery(Place("face")))
    committed = sum(kind == "committed" for kind, _ in seen)
    assert rows % 8 == 0
    assert rows >= 8 * committed
    await store.close()


async def expired_references__should_be_found(store: Store) -> None:
    rows = (
        reference("a", expires=10),
        reference("b", expires=20),
        reference("c"),
        reference("d", model="o", expires=5),
    )
    await store.stage(ONE, Change(rows), b"1")
    assert await store.expired("face", 100, 10) == []
    await store.commit(ONE)
    assert [n.reference_id for n in await store.expired("face", 10, 10)] == ["a"]
    assert [n.reference_id for n in await store.expired("face", 100, 10)] == ["a", "b"]
    assert [n.reference_id for n in await store.expired("face", 100, 1)] == ["a"]


async def log_entry__should_say_what_was_done(store: Store) -> None:
    assert await store.entry(ONE) is None
    await store.stage(ONE, Change((reference("a"), reference("b"))), b"digest")
    assert await store.entry(ONE) == LogEntry(ONE, "change", b"digest", State.PENDING, 2)
    await store.commit(ONE)
    assert await store.entry(ONE) == LogEntry(ONE, "change", b"digest", State.COMMITTED, 2)
    await store.drop(TWO)
    assert [(e.request_id, e.state) for e in await store.log()] == [(ONE, State.COMMITTED), (TWO, State.DROPPED)]


async def pruning__should_forget_what_is_finished_and_over(store: Store) -> None:
    for request, expires in ((ONE, 10), (TWO, 20), (THREE, 10)):
        await store.stage(request, Change((reference(request.hex()),)), b"d", expires)
    await store.commit(ONE)
    await store.commit(TWO)
    four, five = b"4" * 16, b"5" * 16
    await store.stage(four, Change(erase=(ONE.hex(),)), b"d", 10)
    await store.commit(four)
    await store.stage(five, Change((reference("never"),)), b"d", 10)
    await store.drop(five)
    await store.prune(10)
    assert len(await store.log()) == 5, "not before their time"
    await store.prune(11)
    assert {e.request_id: e.state for e in await store.log()} == {TWO: State.COMMITTED, THREE: State.PENDING}
    assert await store.tombstones("", 9) == []
    await store.commit(THREE)
    assert {row.reference_id for row in await store.gallery(Place("face"))} == {TWO.hex(), THREE.hex()}


async def tombstones__should_be_found_by_id_and_may_be_kept_longer_than_writes(store: Store) -> None:
    for request, name, expires in ((ONE, "a", 10), (TWO, "b", 20)):
        await store.stage(request, Change(erase=(name,)), b"d", expires)
        await store.commit(request)
    assert await store.erased(["a", "b", "c"]) == {"a", "b"}
    assert await store.erased([]) == set()
    await store.prune(30, 15)
    assert await store.log() == []
    assert await store.erased(["a", "b"]) == {"b"}


async def place__should_be_read_page_by_page(store: Store) -> None:
    rows = [reference(name) for name in "abcd"]
    others = [replace(reference("aa"), gallery="other"), reference("bb", model="other")]
    await store.stage(ONE, Change((*rows, *others)), b"d")
    assert await store.place_page(Place("face"), "", 9) == []
    await store.commit(ONE)
    assert await store.place_page(Place("face"), "", 3) == rows[:3]
    assert await store.place_page(Place("face"), "c", 3) == rows[3:]
    assert await store.place_page(Place("face", "nobody"), "", 3) == []


async def references__should_be_had_by_id(store: Store) -> None:
    rows = (reference("a"), reference("b", "bob"), reference("c", model="other"))
    await store.stage(ONE, Change(rows), b"d")
    assert await store.by_ids(["a"]) == []
    await store.commit(ONE)
    await store.stage(TWO, Change((reference("d"),)), b"d")
    assert await store.by_ids(["c", "x", "a", "d"]) == [rows[0], rows[2]]
    assert await store.by_ids([]) == []


async def store_of_another_party__should_be_refused(uri: str, tmp_path: Path) -> None:
    await (await open_store(uri, tmp_path, 2)).close()
    with pytest.raises(ForeignStore, match="party 2"):
        await open_store(uri, tmp_path, 1)
    await (await open_store(uri, tmp_path, 2)).close()


async def unknown_backend__should_be_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="allowed: sqlite, mongodb"):
        await open_store("postgres://somewhere", tmp_path, 0)
