"""What is special about the embedded store: its file is private, another schema is refused, a full disk breaks nothing."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from services.party.errors import SchemaMismatch, StoreError, StoreFull
from services.party.store import open_store
from services.party.store.base import Change, Publish
from services.party.store.sqlite import SqliteStore
from tests.party.store.test_conformance import ONE, TWO, model, reference


async def database__should_be_private(tmp_path: Path) -> None:
    store = await open_store("sqlite", tmp_path / "data")
    assert (tmp_path / "data" / "visard.sqlite").stat().st_mode & 0o777 == 0o600
    await store.close()


async def other_schema__should_be_refused(tmp_path: Path) -> None:
    await (await open_store("sqlite", tmp_path)).close()
    with sqlite3.connect(tmp_path / "visard.sqlite") as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(SchemaMismatch, match="99"):
        await open_store("sqlite", tmp_path)


async def file_that_is_no_database__should_be_refused(tmp_path: Path) -> None:
    (tmp_path / "visard.sqlite").write_bytes(b"not a database at all" * 100)
    with pytest.raises(StoreError):
        await open_store("sqlite", tmp_path)


async def pragma(store: SqliteStore, text: str) -> int:
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(store._worker, lambda: store._connection.execute(f"PRAGMA {text}").fetchone()[0])


async def full_disk__should_leave_nothing_half_stored(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path)
    await store.stage(ONE, Change((reference("a"),)), b"1")
    await store.commit(ONE)
    pages = await pragma(store, "page_count")
    await pragma(store, f"max_page_count = {pages + 5}")
    with pytest.raises(StoreFull):
        await store.stage(TWO, Publish(model(weights=bytes(1 << 20))), b"2")
    assert await store.pending() == []
    assert await store.models() == []
    assert len(await store.gallery("face")) == 1
    await pragma(store, "max_page_count = 1000000")
    await store.stage(TWO, Publish(model(weights=bytes(1 << 20))), b"2")
    await store.close()


async def erased_descriptor__should_be_gone_from_the_file(tmp_path: Path) -> None:
    store = await open_store("sqlite", tmp_path)
    await store.stage(ONE, Change((reference("unmistakable"),)), b"1")
    await store.commit(ONE)
    await store.stage(TWO, Change(erase=("unmistakable",)), b"2")
    await store.commit(TWO)
    await store.close()
    assert reference("unmistakable").descriptor.reveal() not in (tmp_path / "visard.sqlite").read_bytes()
