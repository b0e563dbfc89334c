"""What is special about the embedded store: its file is private, another schema is refused, a full disk breaks nothing."""

import asyncio
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from visard_party.errors import SchemaMismatch, StoreError, StoreFull
from visard_party.store import open_store
from visard_party.store.base import restored
from visard_party.store.contents import (
    Calibrate,
    Change,
    Page,
    Place,
    Publish,
    Rename,
    Renew,
    Rule,
    State,
    Withdraw,
    Write,
)
from visard_party.store.sqlite import OF_SUBJECT, PLACE_PAGE, SqliteStore
from visard_wire.secret import Secret

from tests.party.store.content import ONE, THREE, TWO, model, reference


async def database__should_be_private(tmp_path: Path) -> None:
    store = await open_store("sqlite", tmp_path / "data", 0)
    assert (tmp_path / "data" / "visard.sqlite").stat().st_mode & 0o777 == 0o600
    await store.close()


async def other_schema__should_be_refused(tmp_path: Path) -> None:
    await (await open_store("sqlite", tmp_path, 0)).close()
    with sqlite3.connect(tmp_path / "visard.sqlite") as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(SchemaMismatch, match="99"):
        await open_store("sqlite", tmp_path, 0)


async def page_of_a_place__should_read_no_other_place_and_sort_nothing(tmp_path: Path) -> None:
    """Also in a store that an earlier program has made."""
    await (await SqliteStore.open(tmp_path, 0)).close()
    with sqlite3.connect(tmp_path / "visard.sqlite") as db:
        db.execute("DROP INDEX refs_by_place")
    await (await SqliteStore.open(tmp_path, 0)).close()
    with sqlite3.connect(tmp_path / "visard.sqlite") as db:
        rows = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {PLACE_PAGE}", ("face", "staff", "", 129))]
        subject = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {OF_SUBJECT}", ("face", "staff", "ada"))]
    assert rows == ["SEARCH refs USING INDEX refs_by_place (model=? AND gallery=? AND reference_id>?)"]
    assert subject[0] == "SEARCH refs USING INDEX refs_by_subject (model=? AND gallery=? AND subject=?)"


async def file_that_is_no_database__should_be_refused(tmp_path: Path) -> None:
    (tmp_path / "visard.sqlite").write_bytes(b"not a database at all" * 100)
    with pytest.raises(StoreError):
        await open_store("sqlite", tmp_path, 0)


async def pragma(store: SqliteStore, text: str) -> int:
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(store._worker, lambda: store._connection.execute(f"PRAGMA {text}").fetchone()[0])


async def full_disk__should_leave_nothing_half_stored(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path, 0)
    await store.stage(ONE, Change((reference("a"),)), b"1")
    await store.commit(ONE)
    pages = await pragma(store, "page_count")
    await pragma(store, f"max_page_count = {pages + 5}")
    with pytest.raises(StoreFull):
        await store.stage(TWO, Publish(model(weights=bytes(1 << 20))), b"2")
    assert await store.pending() == []
    assert await store.models() == []
    assert len(await store.gallery(Place("face"))) == 1
    await pragma(store, "max_page_count = 1000000")
    await store.stage(TWO, Publish(model(weights=bytes(1 << 20))), b"2")
    await store.close()


LIMITED = """
import asyncio, resource, sys
from pathlib import Path
from visard_party.errors import StoreFull
from visard_party.store import open_store
from visard_party.store.contents import (Change, Place)
from tests.party.store.content import reference
async def main():
    store = await open_store("sqlite", Path(sys.argv[1]), 0)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
    for k in range(1, 10_000):
        request = k.to_bytes(16, "big")
        try:
            await store.stage(request, Change(tuple(reference(f"{k}-{j}") for j in range(8))), b"d")
            print("staged", k, flush=True)
            await store.commit(request)
        except StoreFull:
            print("full", k, len(await store.gallery(Place("face"))), flush=True)
            return
        print("committed", k, flush=True)
asyncio.run(main())
"""


@pytest.mark.parametrize("limit", [300_000, 310_000, 1_000_000])
async def write_that_the_system_cuts_off__should_leave_whole_writes(tmp_path: Path, limit: int) -> None:
    """The system itself stops a write in its middle, as on a full disk: SQLite gets fewer bytes written than it asked for."""
    (tmp_path / "data").mkdir()
    command = [sys.executable, "-c", LIMITED, str(tmp_path / "data"), str(limit)]
    lines = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.split("\n")
    *before, (verdict, last, rows) = [line.split() for line in lines if line]
    committed = [int(k) for kind, k in before if kind == "committed"]
    assert (verdict, int(rows)) == ("full", 8 * len(committed)), "what is there can still be read"
    store = await open_store("sqlite", tmp_path / "data", 0)  # there is space again
    assert len(await store.gallery(Place("face"))) == 8 * len(committed)
    (state,) = (await store.states([int(last).to_bytes(16, "big")])).values()
    assert state is (State.PENDING if ["staged", last] in before else State.UNKNOWN)
    await store.stage(TWO, Change((reference("a"),)), b"1")
    assert (await store.commit(TWO)).changes == 1
    await store.close()


OLD, NEW = b"old share " * 40, b"new share " * 40
STAY = frozenset({Rename, Publish, Calibrate, Rule})  # kinds of writes with which no share goes
ERASING: dict[str, Write] = {
    "delete": Change(erase=("a",)),
    "replace": Change((reference("b"),), ("a",)),
    "refresh": Renew((("a", Secret(NEW)),), (("face", Secret(NEW)),), 9),
    "withdraw": Withdraw("face"),
}


def files_with(folder: Path, share: bytes) -> list[str]:
    """Names of the store's files that hold a share, or a part of it."""
    return [path.name for path in sorted(folder.iterdir()) if share[16:160] in path.read_bytes()]


def every_kind_of_write__should_be_thought_of() -> None:
    assert {type(write) for write in ERASING.values()} | STAY == set(get_args(Write))


@pytest.mark.parametrize("kind", [*ERASING, "drop", "restore", "abandon"])
async def erased_share__should_be_in_no_file_when_it_is_acknowledged(tmp_path: Path, kind: str) -> None:
    """Neither in the database, nor in the log beside it, while the store is open and after it."""
    store = await open_store("sqlite", tmp_path, 0)
    gone = [OLD, model(weights=OLD[::-1]).weights.reveal()]
    await store.stage(ONE, Change((replace(reference("a"), descriptor=Secret(OLD)),)), b"1")
    await store.stage(TWO, Publish(model(weights=OLD[::-1])), b"2")
    assert files_with(tmp_path, OLD)
    if kind in ("delete", "replace"):
        gone = gone[:1]
    elif kind == "withdraw":
        gone = gone[1:]
    for request in (ONE, TWO):
        await (store.drop(request) if kind == "drop" else store.commit(request))
    if kind == "restore":
        await restored(store, Page([replace(reference("b"), descriptor=Secret(NEW))], [model(weights=NEW)]))
    elif kind == "abandon":
        gone = [NEW]
        await store.begin_restoration()
        await store.restore(Page([replace(reference("b"), descriptor=Secret(NEW))], [model(weights=NEW)]))
        await store.begin_restoration()
    elif kind in ERASING:
        await store.stage(THREE, ERASING[kind], b"3")
        await store.commit(THREE)
    found = [files_with(tmp_path, share) for share in gone]
    await store.close()
    assert found == [[]] * len(gone)
    assert [files_with(tmp_path, share) for share in gone] == [[]] * len(gone)


async def erased_share__should_leave_the_log_when_nobody_reads_any_more(tmp_path: Path) -> None:
    """A backup holds an old view of the database: the deletion does not wait for it, and the log is emptied after it."""
    store = await SqliteStore.open(tmp_path, 0)
    row = reference("a")
    share = row.descriptor.reveal()
    await store.stage(ONE, Change((row,)), b"1")
    await store.commit(ONE)
    reader = sqlite3.connect(tmp_path / "visard.sqlite", isolation_level=None)
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM refs").fetchone() == (1,)
    await store.stage(TWO, Change(erase=("a",)), b"2")
    assert (await store.commit(TWO)).changes == 1
    assert files_with(tmp_path, share), "the reader still needs it"
    await store.names()
    assert files_with(tmp_path, share)
    reader.close()
    await store.names()  # whatever comes next
    assert not files_with(tmp_path, share)
    await store.close()
