"""The embedded store's rights, and its log of who asked for what."""

import json
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from typing_extensions import override
from visard_wire.chain import Entry

from visard_party.errors import StoreError
from visard_party.store.base import Store
from visard_party.store.contents import Link, May, Place, Right

T = TypeVar("T")

_RIGHT = "model, subject, grantee, gallery, may"
_LINK = "sequence, time, hash"
_ENTRY = (
    "sequence, time, caller, operation, model, subject, new_subject, grantee, request_id, code, detail, gallery, hash"
)


class SqliteRecords(Store):
    """A part of SqliteStore, whose ``_do`` does a transaction."""

    _do: Callable[[Callable[[sqlite3.Connection], T]], Awaitable[T]]

    @override
    async def granted(self, place: Place, subject: str, grantee: str) -> bool:
        ids = [Right(place.model, name, grantee, place.gallery).right_id for name in (subject, "")]
        query = "SELECT count(*) FROM rights WHERE right_id IN (?, ?)"
        return bool(await self._do(lambda db: db.execute(query, ids).fetchone()[0]))

    @override
    async def rights(self, limit: int, after: str) -> list[Right]:
        query = f"SELECT {_RIGHT} FROM rights WHERE right_id > ? ORDER BY right_id LIMIT ?"  # noqa: S608
        return await self._do(lambda db: [Right(*row) for row in db.execute(query, (after, limit))])

    @override
    async def rights_by_ids(self, right_ids: Sequence[str]) -> list[Right]:
        query = f"SELECT {_RIGHT} FROM rights WHERE right_id IN (SELECT value FROM json_each(?)) ORDER BY right_id"  # noqa: S608
        listed = json.dumps(list(right_ids))
        return await self._do(lambda db: [Right(*row) for row in db.execute(query, (listed,))])

    @override
    async def rules(self, gallery: str = "") -> list[Right]:
        query = f"SELECT {_RIGHT} FROM rights WHERE may != ? AND gallery = iif(? = '', gallery, ?) ORDER BY right_id"  # noqa: S608
        asked = (str(May.CHANGE), gallery, gallery)
        return await self._do(lambda db: [Right(*row) for row in db.execute(query, asked)])

    @override
    async def audit_head(self) -> Link:
        return await self._do(lambda db: _before(db, None))

    @override
    async def audit_append(self, entries: Sequence[tuple[Entry, bytes]]) -> None:
        rows = [_row(entry, link) for entry, link in entries]
        insert = "INSERT OR IGNORE INTO audit VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"

        def work(db: sqlite3.Connection) -> None:
            db.executemany(insert, rows)
            last, link = entries[-1]
            (kept,) = db.execute("SELECT hash FROM audit WHERE sequence = ?", (last.sequence,)).fetchone()
            if kept != link:
                raise StoreError("store: another entry of the log has this number")

        await self._do(work)

    @override
    async def audit_page(self, after: int, limit: int) -> tuple[Link, list[tuple[Entry, bytes]]]:
        query = f"SELECT {_ENTRY} FROM audit WHERE sequence > ? ORDER BY sequence LIMIT ?"  # noqa: S608

        def work(db: sqlite3.Connection) -> tuple[Link, list[tuple[Entry, bytes]]]:
            found = [(Entry(*row[:-1]), row[-1]) for row in db.execute(query, (after, limit))]
            return _before(db, found[0][0].sequence if found else None), found

        return await self._do(work)

    @override
    async def audit_since(self, time_unix_ms: int) -> int:
        return await self._do(lambda db: _last_before(db, time_unix_ms))

    @override
    async def audit_prune(self, before_unix_ms: int) -> int:

        def work(db: sqlite3.Connection) -> int:
            last = _last_before(db, before_unix_ms)
            row = db.execute(f"SELECT {_LINK} FROM audit WHERE sequence = ?", (last,)).fetchone()  # noqa: S608
            if row is not None:
                db.execute("DELETE FROM audit_anchor")
                db.execute("INSERT INTO audit_anchor VALUES (?, ?, ?)", row)
                db.execute("DELETE FROM audit WHERE sequence <= ?", (last,))
            return int(db.execute("SELECT count(*) FROM audit").fetchone()[0])

        return await self._do(work)


def _row(entry: Entry, link: bytes) -> tuple[object, ...]:
    names = (entry.caller, entry.operation, entry.model, entry.subject, entry.new_subject, entry.grantee)
    return (entry.sequence, entry.time_unix_ms, *names, entry.request_id, entry.code, entry.detail, entry.gallery, link)


def _before(db: sqlite3.Connection, sequence: int | None) -> Link:
    """The entry before a number, or the newest one; of those that are pruned the last."""
    limit = sequence if sequence is not None else 1 << 62
    newest = f"SELECT {_LINK} FROM audit WHERE sequence < ? ORDER BY sequence DESC LIMIT 1"  # noqa: S608
    row = db.execute(newest, (limit,)).fetchone() or db.execute(f"SELECT {_LINK} FROM audit_anchor").fetchone()  # noqa: S608
    return Link(*row) if row else Link()


def _last_before(db: sqlite3.Connection, time_unix_ms: int) -> int:
    """The number before the first entry of this time or later: the newest one's where there is none."""
    row = db.execute(
        "SELECT sequence FROM audit WHERE time >= ? ORDER BY time, sequence LIMIT 1", (time_unix_ms,)
    ).fetchone()
    return int(row[0]) - 1 if row else _before(db, None).sequence
