"""Each signed request leaves one entry in a chain, durable before its answer; those that come together are written together."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from visard_common.errors import NotFound
from visard_common.limits import MAX_REQUEST
from visard_party.auditlog import DAY_MS, AuditLog
from visard_party.errors import StoreError
from visard_party.service import lists
from visard_party.store import open_store
from visard_party.store.base import Store
from visard_party.store.contents import Link
from visard_party.store.sqlite import SqliteStore
from visard_wire.chain import Entry
from visard_wire.v1 import common_pb2, gateway_pb2

KIOSK = "enroller/kiosk-7"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await open_store("sqlite", tmp_path, 0)
    yield opened
    await opened.close()


def request(number: int = 1, **fields: object) -> common_pb2.Request:
    rename = {"operation": common_pb2.OPERATION_RENAME, "model": "face", "subject": "ada", "new_subject": "eve"}
    return common_pb2.Request(request_id=bytes([number]) * 16, **(rename | fields))  # type: ignore[arg-type]


async def whole(store: Store) -> list[Entry]:
    """All entries, if their hashes are right."""
    previous, found = await store.audit_page(0, 10_000)
    link = previous.hash
    for entry, told in found:
        assert entry.link(link) == told
        link = told
    return [entry for entry, _ in found]


async def request__should_be_noted_with_what_became_of_it(store: Store) -> None:
    log = AuditLog(store, 400, clock=lambda: 5000)
    async with log.noting(request(1), KIOSK):
        assert await whole(store) == []
    with pytest.raises(NotFound):
        async with log.noting(request(2), KIOSK):
            raise NotFound("no subject")
    with pytest.raises(ZeroDivisionError):
        async with log.noting(request(3), KIOSK):
            _ = 1 / 0
    grant = {"operation": common_pb2.OPERATION_GRANT, "new_subject": "", "grantee": "owner/x"}
    async with log.noting(request(4, **grant), "admin/default"):
        pass
    names = ("face", "ada", "eve", "")
    assert await whole(store) == [
        Entry(1, 5000, KIOSK, "rename", *names, b"\1" * 16, "OK"),
        Entry(2, 5000, KIOSK, "rename", *names, b"\2" * 16, "NOT_FOUND"),
        Entry(3, 5000, KIOSK, "rename", *names, b"\3" * 16, "INTERNAL"),
        Entry(4, 5000, "admin/default", "grant", "face", "ada", "", "owner/x", b"\4" * 16, "OK"),
    ]
    assert [entry.outcome for entry in await whole(store)] == ["ok", "refused", "failed", "ok"]


async def caller_who_has_gone_away__should_be_noted_all_the_same(store: Store) -> None:
    log = AuditLog(store, 400)
    begun = asyncio.Event()

    async def work() -> None:
        async with log.noting(request(), KIOSK):
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [entry.code for entry in await whole(store)] == ["CANCELLED"]


async def deposit__should_be_noted_when_it_is_refused_and_else_with_its_run(store: Store) -> None:
    log = AuditLog(store, 400)
    async with log.noting(request(1), KIOSK, failures_only=True):
        pass
    with pytest.raises(NotFound):
        async with log.noting(request(2), KIOSK, failures_only=True):
            raise NotFound("no model")
    assert [entry.code for entry in await whole(store)] == ["NOT_FOUND"]


async def request_that_nobody_signed__should_not_be_noted(store: Store) -> None:
    async with AuditLog(store, 400).noting(request(), ""):
        pass
    assert await whole(store) == []


class Counting(SqliteStore):
    """Counts its appends; the next ones fail, after or before they are made."""

    appends = 0
    lost: tuple[bool, ...] = ()

    async def audit_append(self, entries: Sequence[tuple[Entry, bytes]]) -> None:
        self.appends += 1
        made, *rest = self.lost or (None,)
        self.lost = tuple(rest)
        if made is not False:
            await super().audit_append(entries)
        if made is not None:
            raise StoreError("store: away")


async def entries_at_a_time__should_share_a_write_and_stay_in_one_chain(tmp_path: Path) -> None:
    store = await Counting.open(tmp_path, 0)
    assert isinstance(store, Counting)
    log = AuditLog(store, 400)
    await asyncio.gather(*(log.note(request(k), KIOSK, "OK") for k in range(200)))
    assert [entry.request_id[0] for entry in await whole(store)] == list(range(200))
    assert store.appends <= 3
    await store.close()


@pytest.mark.parametrize("made", [True, False])
async def failed_write__should_fail_the_answer_and_not_break_the_chain(tmp_path: Path, made: bool) -> None:
    store = await Counting.open(tmp_path, 0)
    assert isinstance(store, Counting)
    log = AuditLog(store, 400)
    await log.note(request(1), KIOSK, "OK")
    store.lost = (made,)
    with pytest.raises(StoreError, match="store"):
        async with log.noting(request(2), KIOSK):
            pass
    await log.note(request(3), KIOSK, "OK")
    assert [entry.request_id[0] for entry in await whole(store)] == ([1, 2, 3] if made else [1, 3])
    await store.close()


async def log__should_go_on_after_a_restart_and_never_back_in_time(store: Store) -> None:
    await AuditLog(store, 400, clock=lambda: 9000).note(request(1), KIOSK, "OK")
    await AuditLog(store, 400, clock=lambda: 4000).note(request(2), KIOSK, "OK")
    assert [(entry.sequence, entry.time_unix_ms) for entry in await whole(store)] == [(1, 9000), (2, 9000)]


async def old_entries__should_be_pruned_and_leave_their_hash(store: Store) -> None:
    for day in (1, 2, 5):
        await AuditLog(store, 400, clock=lambda day=day: day * DAY_MS).note(request(day), KIOSK, "OK")  # type: ignore[misc]
    await AuditLog(store, 2, clock=lambda: 5 * DAY_MS).look()
    left = await whole(store)
    assert [entry.request_id[0] for entry in left] == [5]
    previous, _ = await store.audit_page(0, 1)
    assert (previous.sequence, previous.time_unix_ms) == (2, 2 * DAY_MS)
    assert previous.hash != Link().hash


def page__should_fit_into_a_message_whatever_callers_have_written() -> None:
    """Thirty-two points with long names are some kilobytes, a thousand times."""
    told = [gateway_pb2.AuditEntry(sequence=k + 1, detail="p" * 3500) for k in range(1000)]
    page = lists._fitting(told)
    assert 0 < len(page) < 1000
    assert page == told[: len(page)], "the next one goes on there"
    assert gateway_pb2.AuditLogResponse(entries=page).ByteSize() < MAX_REQUEST
    assert lists._fitting(told[:9]) == told[:9]
