"""The embedded store: SQLite in a directory, one connection in one thread, every write synced to disk."""

import asyncio
import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import structlog
from typing_extensions import override
from visard_wire.secret import Secret

from visard_party.errors import ForeignStore, SchemaMismatch, StoreAway, StoreBusy, StoreError, StoreFull
from visard_party.spread import WHOLE, Part
from visard_party.store import sqlite_writes as writes
from visard_party.store.base import PART, READ_SECONDS
from visard_party.store.contents import (
    NEVER,
    Committed,
    LogEntry,
    ModelRecord,
    Name,
    Page,
    Place,
    Reference,
    State,
    SubjectCount,
    Tombstone,
    Write,
)
from visard_party.store.sqlite_records import SqliteRecords

SCHEMA_VERSION = 7
APPLICATION_ID = 0x76697300  # "vis" in the file's header, and in its last byte the party's number and one
TIMEOUT_SECONDS = 30.0
_BUSY_MS, _READER_MS = 5000, 1000  # to wait for other programs that write, and that read
RESTORATION_SECONDS = 600.0  # to put a million references in place

_COLUMNS = (
    "reference_id, subject, model, version, created, updated, expires, metadata, descriptor, enrolled_by, gallery"
)
_NAME = "reference_id, subject, model, version, enrolled_by, gallery"
_IN_PLACE = "visible AND model = ? AND gallery = ?"
_BY_IDS = (
    f"SELECT {_COLUMNS} FROM refs WHERE visible AND reference_id IN (SELECT value FROM json_each(?)) "  # noqa: S608
    "ORDER BY reference_id"
)
# else SQLite reads the whole place, whose index has the order: it knows no numbers of rows
OF_SUBJECT = (
    f"SELECT {_COLUMNS} FROM refs INDEXED BY refs_by_subject WHERE {_IN_PLACE} AND subject = ? "  # noqa: S608
    "ORDER BY reference_id"
)
PLACE_PAGE = f"SELECT {_COLUMNS} FROM refs WHERE {_IN_PLACE} AND reference_id > ? ORDER BY reference_id LIMIT ?"  # noqa: S608
_IN_PART = "reference_id >= ? AND (? = '' OR reference_id < ?)"
_KINDS = {sqlite3.SQLITE_FULL: StoreFull, sqlite3.SQLITE_IOERR: StoreFull, sqlite3.SQLITE_BUSY: StoreBusy}
_NOTE_ATTEMPT = "INSERT INTO attempts VALUES (?, ?) ON CONFLICT DO UPDATE SET full_at = max(full_at, excluded.full_at)"

log = structlog.get_logger()

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]


class SqliteStore(SqliteRecords):
    """A party's state in one SQLite file in its directory."""

    description = f"SQLite {sqlite3.sqlite_version}, embedded"

    def __init__(self, connection: sqlite3.Connection, worker: ThreadPoolExecutor, *, reads_only: bool = False) -> None:
        self._connection = connection
        self._worker = worker
        self._begin = "BEGIN" if reads_only else "BEGIN IMMEDIATE"
        self._traces = not reads_only  # the log beside the database may hold what was erased

    @classmethod
    async def open(cls, directory: Path, party: int, *, reads_only: bool = False) -> "SqliteStore":
        """Open or make a party's database in a directory; raises SchemaMismatch, ForeignStore and StoreError.

        With ``reads_only`` it is opened beside the party that writes it, and never made: raises StoreAway where there is none.
        """
        worker, connect = ThreadPoolExecutor(1, "store"), _connect_to_read if reads_only else _connect
        try:
            connection = await asyncio.get_running_loop().run_in_executor(worker, connect, directory, party)
        except (sqlite3.Error, OSError) as error:
            worker.shutdown()
            raise _failure(f"store in {directory}", error) from error
        except BaseException:
            worker.shutdown()
            raise
        return cls(connection, worker, reads_only=reads_only)

    async def _do(self, work: Work[T], *, erases: bool = False, seconds: float = TIMEOUT_SECONDS) -> T:
        """Do a transaction in the store's thread: all of it or nothing.

        With ``erases`` what it has erased is overwritten, and the log beside the database emptied, when this returns; where
        something else reads the database (a backup), by the first transaction after that has ended.
        """
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._worker, self._transaction, work, erases)
        try:
            # a caller that goes away does not stop the transaction half-way; and wait_for would lose its cancellation
            async with asyncio.timeout(seconds):
                return await asyncio.shield(future)
        except TimeoutError as error:
            raise StoreBusy(f"the store took more than {seconds:.0f} s") from error

    def _transaction(self, work: Work[T], erases: bool) -> T:
        try:
            with self._connection:
                self._connection.execute(self._begin)
                result = work(self._connection)
            if (
                erases or self._traces
            ):  # secure_delete has overwritten it in the database; the log beside it has older pages
                self._traces = not _emptied(self._connection, wait=erases)
            return result
        except sqlite3.Error as error:
            raise _failure("store", error) from error

    @override
    async def stage(self, request_id: bytes, write: Write, digest: bytes, expires_unix_ms: int = NEVER) -> None:
        await self._do(lambda db: writes.stage(db, request_id, write, digest, expires_unix_ms))

    @override
    async def commit(self, request_id: bytes) -> Committed:
        erases = await self._do(lambda db: writes.erases(db, request_id))
        return await self._do(lambda db: writes.commit(db, request_id), erases=erases)

    @override
    async def drop(self, request_id: bytes, expires_unix_ms: int = NEVER) -> None:
        erases = await self._do(lambda db: writes.state(db, request_id) is State.PENDING)
        await self._do(lambda db: writes.drop(db, request_id, expires_unix_ms), erases=erases)

    @override
    async def states(self, request_ids: Sequence[bytes]) -> dict[bytes, State]:
        return await self._do(lambda db: {i: writes.state(db, i) for i in request_ids})

    @override
    async def pending(self) -> list[bytes]:
        query = "SELECT request_id FROM writes WHERE state = ? ORDER BY request_id"
        return await self._do(lambda db: [row[0] for row in db.execute(query, (State.PENDING,))])

    @override
    async def entry(self, request_id: bytes) -> LogEntry | None:
        query = "SELECT * FROM writes WHERE request_id = ?"
        row = await self._do(lambda db: db.execute(query, (request_id,)).fetchone())
        return _entry(row) if row else None

    @override
    async def references(self, place: Place, subject: str) -> list[Reference]:
        return await self._do(lambda db: [_reference(row) for row in db.execute(OF_SUBJECT, (*place, subject))])

    @override
    async def gallery_parts(
        self, place: Place, made: Callable[[Sequence[Reference]], T], part: Part = WHOLE
    ) -> list[T]:
        query = f"SELECT reference_id FROM refs WHERE {_IN_PLACE} AND {_IN_PART} ORDER BY reference_id"  # noqa: S608
        named = (*place, part.begin, part.end, part.end)

        def work(db: sqlite3.Connection) -> list[T]:
            # ids first: where SQLite sorts them, it does so in memory with all that is asked for besides
            return [made(_by_ids(db, [row[0] for row in rows])) for rows in _parts(db.execute(query, named))]

        return await self._do(work, seconds=READ_SECONDS)

    @override
    async def by_ids(self, reference_ids: Sequence[str]) -> list[Reference]:
        return await self._do(lambda db: _by_ids(db, reference_ids))

    @override
    async def names_parts(self, made: Callable[[Sequence[Name]], T]) -> list[T]:
        query = f"SELECT {_NAME} FROM refs WHERE visible ORDER BY reference_id"  # noqa: S608

        def work(db: sqlite3.Connection) -> list[T]:
            return [made([Name(*row) for row in rows]) for rows in _parts(db.execute(query))]

        return await self._do(work, seconds=READ_SECONDS)

    @override
    async def expired(self, model: str, before_unix_ms: int, limit: int) -> list[Name]:
        query = (
            f"SELECT {_NAME} FROM refs WHERE visible AND model = ? AND expires > 0 AND expires <= ? "  # noqa: S608
            "ORDER BY reference_id LIMIT ?"
        )
        return await self._do(lambda db: [Name(*row) for row in db.execute(query, (model, before_unix_ms, limit))])

    @override
    async def subjects(self, place: Place, limit: int, after: str, at_unix_ms: int) -> list[SubjectCount]:
        query = (
            f"SELECT subject, count(*) FROM refs WHERE {_IN_PLACE} AND subject > ? "  # noqa: S608
            "AND (expires = 0 OR expires > ?) GROUP BY subject ORDER BY subject LIMIT ?"
        )
        asked = (*place, after, at_unix_ms, limit)
        return await self._do(lambda db: [SubjectCount(*row) for row in db.execute(query, asked)])

    @override
    async def models(self) -> list[str]:
        query = "SELECT DISTINCT name FROM models WHERE visible ORDER BY name"
        return await self._do(lambda db: [row[0] for row in db.execute(query)])

    @override
    async def model(self, name: str) -> ModelRecord | None:
        """Of models published at the same time under one name the lowest request id wins."""
        query = (
            "SELECT name, program, version, created, weights FROM models WHERE visible AND name = ? "
            "ORDER BY request_id LIMIT 1"
        )
        row = await self._do(lambda db: db.execute(query, (name,)).fetchone())
        return ModelRecord(row[0], row[1], row[2], row[3], Secret(row[4])) if row else None

    @override
    async def model_page(self, model: str, after: str, limit: int) -> list[Reference]:
        query = (
            f"SELECT {_COLUMNS} FROM refs WHERE visible AND model = ? AND reference_id > ? "  # noqa: S608
            "ORDER BY reference_id LIMIT ?"
        )
        return await self._do(lambda db: [_reference(row) for row in db.execute(query, (model, after, limit))])

    @override
    async def place_page(self, place: Place, after: str, limit: int) -> list[Reference]:
        return await self._do(lambda db: [_reference(row) for row in db.execute(PLACE_PAGE, (*place, after, limit))])

    @override
    async def count(self, model: str) -> int:
        query = "SELECT count(*) FROM refs WHERE visible AND model = ?"
        return await self._do(lambda db: int(db.execute(query, (model,)).fetchone()[0]))

    @override
    async def count_in(self, gallery: str) -> int:
        query = "SELECT count(*) FROM refs WHERE visible AND gallery = ?"
        return await self._do(lambda db: int(db.execute(query, (gallery,)).fetchone()[0]))

    @override
    async def log(self) -> list[LogEntry]:
        return await self._do(
            lambda db: [_entry(row) for row in db.execute("SELECT * FROM writes ORDER BY request_id")]
        )

    @override
    async def log_page(self, after: bytes, limit: int) -> list[LogEntry]:
        query = "SELECT * FROM writes WHERE state = ? AND request_id > ? ORDER BY request_id LIMIT ?"
        return await self._do(lambda db: [_entry(row) for row in db.execute(query, (State.COMMITTED, after, limit))])

    @override
    async def tombstones(self, after: str, limit: int) -> list[Tombstone]:
        query = "SELECT * FROM tombstones WHERE reference_id > ? ORDER BY reference_id LIMIT ?"
        return await self._do(lambda db: [Tombstone(*row) for row in db.execute(query, (after, limit))])

    @override
    async def erased(self, reference_ids: Sequence[str]) -> set[str]:
        query = "SELECT reference_id FROM tombstones WHERE reference_id IN (SELECT value FROM json_each(?))"
        listed = json.dumps(list(reference_ids))
        return await self._do(lambda db: {row[0] for row in db.execute(query, (listed,))})

    @override
    async def prune(self, before_unix_ms: int, stones_unix_ms: int | None = None) -> None:
        await self._do(lambda db: writes.prune(db, before_unix_ms, stones_unix_ms))

    @override
    async def begin_restoration(self) -> None:
        await self._do(writes.begin_restoration, erases=True)

    @override
    async def restore(self, page: Page) -> None:
        await self._do(lambda db: writes.restore(db, page))

    @override
    async def finish_restoration(self) -> None:
        await self._do(writes.finish_restoration, erases=True, seconds=RESTORATION_SECONDS)

    @override
    async def remember(self, request_id: bytes, now_unix_ms: int, expires_unix_ms: int) -> bool:

        def work(db: sqlite3.Connection) -> bool:
            db.execute("DELETE FROM seen WHERE expires < ?", (now_unix_ms,))
            cursor = db.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", (request_id, expires_unix_ms))
            return cursor.rowcount == 1

        return await self._do(work)

    @override
    async def attempts(self, now: int) -> dict[bytes, int]:
        return await self._do(
            lambda db: dict(db.execute("SELECT key, full_at FROM attempts WHERE full_at > ?", (now,)))
        )

    @override
    async def note_attempts(self, full_at: Mapping[bytes, int], now: int) -> None:

        def work(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM attempts WHERE full_at <= ?", (now,))
            db.executemany(_NOTE_ATTEMPT, list(full_at.items()))

        await self._do(work)

    @override
    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._worker, self._connection.close)
        self._worker.shutdown()


def _failure(where: str, error: Exception) -> StoreError:
    primary = getattr(error, "sqlite_errorcode", 0) & 0xFF  # SQLITE_IOERR_WRITE and its like are extended codes
    return _KINDS.get(primary, StoreError)(f"{where}: {error}")


def _emptied(connection: sqlite3.Connection, *, wait: bool = True) -> bool:
    """Write the log into the database and cut it to nothing; whether that was done, or a reader was in the way."""
    connection.execute(f"PRAGMA busy_timeout = {_READER_MS if wait else 0}")
    try:
        busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
    if busy and wait:
        log.warning("something reads the database: the log beside it, which holds what was erased, is emptied later")
    return not busy


def _connect(directory: Path, party: int) -> sqlite3.Connection:
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = directory / "visard.sqlite"
    path.touch(mode=0o600)
    connection = sqlite3.connect(path, timeout=_BUSY_MS / 1000, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute("PRAGMA temp_store = MEMORY")  # a temporary file would keep what is erased
    try:
        _check_schema(connection, APPLICATION_ID + 1 + party)
        connection.execute(writes.BY_PLACE)
        with connection:
            writes.abandon_restoration(connection)
        _emptied(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _connect_to_read(directory: Path, party: int) -> sqlite3.Connection:
    """Beside the party, whose own connection has made the database, and keeps its log."""
    path = directory / "visard.sqlite"
    if not path.exists():
        raise StoreAway(f"store: there is none in {directory} yet")
    connection = sqlite3.connect(path, timeout=_BUSY_MS / 1000, isolation_level=None)
    connection.execute("PRAGMA query_only = ON")
    connection.execute("PRAGMA temp_store = MEMORY")  # a temporary file would keep what is erased
    try:
        if connection.execute("PRAGMA user_version").fetchone() == (0,):
            raise StoreAway(f"store: that in {directory} is being made")
        _check_schema(connection, APPLICATION_ID + 1 + party)
    except BaseException:
        connection.close()
        raise
    return connection


def _check_schema(connection: sqlite3.Connection, owner: int) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == 0:
        marks = f"PRAGMA user_version = {SCHEMA_VERSION}; PRAGMA application_id = {owner};"
        connection.executescript(f"BEGIN; {writes.SCHEMA} {marks} COMMIT;")
    elif version != SCHEMA_VERSION:
        raise SchemaMismatch(f"store: schema version {version}, this program wants {SCHEMA_VERSION}")
    (found,) = connection.execute("PRAGMA application_id").fetchone()
    if found != owner:
        raise ForeignStore(f"store: the database is that of party {found - APPLICATION_ID - 1}")


def _by_ids(db: sqlite3.Connection, reference_ids: Sequence[str]) -> list[Reference]:
    return [_reference(row) for row in db.execute(_BY_IDS, (json.dumps(list(reference_ids)),))]


def _parts(cursor: sqlite3.Cursor) -> Iterator[list[Any]]:
    while rows := cursor.fetchmany(PART):
        yield rows


def _reference(row: tuple[str, str, str, int, int, int, int, bytes, bytes, str, str]) -> Reference:
    return Reference(*row[:8], Secret(row[8]), *row[9:])


def _entry(row: tuple[bytes, str, bytes, int, int, int]) -> LogEntry:
    return LogEntry(row[0], row[1], row[2], State(row[3]), row[4], row[5])
