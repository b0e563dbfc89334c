"""The embedded store: SQLite in a directory, one connection in one thread, every write synced to disk."""

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from visard.secret import Secret

from services.party.errors import RequestConflict, SchemaMismatch, StoreBusy, StoreError, StoreFull
from services.party.store.base import (
    Change,
    LogEntry,
    ModelRecord,
    Name,
    Publish,
    Reference,
    Rename,
    Renew,
    State,
    SubjectCount,
    Withdraw,
    Write,
    changes_of,
)

SCHEMA_VERSION = 2
TIMEOUT_SECONDS = 30.0

_SCHEMA = """
CREATE TABLE writes (
    request_id BLOB PRIMARY KEY, kind TEXT NOT NULL, digest BLOB NOT NULL, state INTEGER NOT NULL, changes INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX writes_pending ON writes (state) WHERE state = 2;
CREATE TABLE refs (
    reference_id TEXT PRIMARY KEY, request_id BLOB NOT NULL, subject TEXT NOT NULL, model TEXT NOT NULL,
    version INTEGER NOT NULL, created INTEGER NOT NULL, updated INTEGER NOT NULL, expires INTEGER NOT NULL,
    metadata BLOB NOT NULL, descriptor BLOB NOT NULL, visible INTEGER NOT NULL
);
CREATE INDEX refs_by_subject ON refs (model, subject) WHERE visible;
CREATE INDEX refs_by_expiry ON refs (model, expires) WHERE visible AND expires > 0;
CREATE INDEX refs_by_request ON refs (request_id);
CREATE TABLE models (
    request_id BLOB PRIMARY KEY, name TEXT NOT NULL, program BLOB NOT NULL, version INTEGER NOT NULL,
    created INTEGER NOT NULL, weights BLOB NOT NULL, visible INTEGER NOT NULL
);
-- what a staged write will do: ids to erase or rename, new shares
CREATE TABLE deletions (request_id BLOB NOT NULL, reference_id TEXT NOT NULL, PRIMARY KEY (request_id, reference_id));
CREATE TABLE renames (
    request_id BLOB NOT NULL, reference_id TEXT NOT NULL, subject TEXT NOT NULL, updated INTEGER NOT NULL,
    PRIMARY KEY (request_id, reference_id)
);
CREATE TABLE renewals (
    request_id BLOB NOT NULL, target TEXT NOT NULL, name TEXT NOT NULL, share BLOB NOT NULL, updated INTEGER NOT NULL,
    PRIMARY KEY (request_id, target, name)
);
CREATE TABLE withdrawals (request_id BLOB PRIMARY KEY, name TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE tombstones (reference_id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE seen (request_id BLOB PRIMARY KEY, expires INTEGER NOT NULL) WITHOUT ROWID;
"""
# came later, and is of no concern to a program that does not know it
_ATTEMPTS = "CREATE TABLE IF NOT EXISTS attempts (key BLOB PRIMARY KEY, full_at INTEGER NOT NULL) WITHOUT ROWID"
_COLUMNS = "reference_id, subject, model, version, created, updated, expires, metadata, descriptor"
_NAME = "reference_id, subject, model, version"
_STAGED = ("refs", "models", "deletions", "renames", "renewals", "withdrawals")  # by request_id
_TABLES = (*_STAGED, "writes", "tombstones", "seen")

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]


class SqliteStore:
    """See services.party.store.base.Store."""

    description = f"SQLite {sqlite3.sqlite_version}, embedded"

    def __init__(self, connection: sqlite3.Connection, worker: ThreadPoolExecutor) -> None:
        self._connection = connection
        self._worker = worker

    @classmethod
    async def open(cls, directory: Path) -> "SqliteStore":
        """Open or make the database in a directory; raises SchemaMismatch and StoreError."""
        worker = ThreadPoolExecutor(1, "store")
        try:
            connection = await asyncio.get_running_loop().run_in_executor(worker, _connect, directory)
        except sqlite3.Error as error:
            worker.shutdown()
            raise StoreError(f"store in {directory}: {error}") from error
        except BaseException:
            worker.shutdown()
            raise
        return cls(connection, worker)

    async def _do(self, work: Work[T]) -> T:
        """Run a transaction in the store's thread: all of it or nothing."""
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._worker, self._transaction, work)
        try:
            # a caller that goes away does not stop the transaction half-way
            return await asyncio.wait_for(asyncio.shield(future), TIMEOUT_SECONDS)
        except TimeoutError as error:
            raise StoreBusy(f"the store took more than {TIMEOUT_SECONDS:.0f} s") from error

    def _transaction(self, work: Work[T]) -> T:
        try:
            with self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                return work(self._connection)
        except sqlite3.Error as error:
            full = getattr(error, "sqlite_errorcode", None) in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)
            raise (StoreFull if full else StoreError)(f"store: {error}") from error

    async def stage(self, request_id: bytes, write: Write, digest: bytes) -> None:
        """See Store.stage."""
        await self._do(lambda db: _stage(db, request_id, write, digest))

    async def commit(self, request_id: bytes) -> int:
        """See Store.commit."""
        return await self._do(lambda db: _commit(db, request_id))

    async def drop(self, request_id: bytes) -> None:
        """See Store.drop."""
        await self._do(lambda db: _drop(db, request_id))

    async def states(self, request_ids: Sequence[bytes]) -> dict[bytes, State]:
        """See Store.states."""
        return await self._do(lambda db: {i: _state(db, i) for i in request_ids})

    async def pending(self) -> list[bytes]:
        """See Store.pending."""
        query = "SELECT request_id FROM writes WHERE state = ? ORDER BY request_id"
        return await self._do(lambda db: [row[0] for row in db.execute(query, (State.PENDING,))])

    async def entry(self, request_id: bytes) -> LogEntry | None:
        """See Store.entry."""
        query = "SELECT * FROM writes WHERE request_id = ?"
        row = await self._do(lambda db: db.execute(query, (request_id,)).fetchone())
        return _entry(row) if row else None

    async def references(self, model: str, subject: str) -> list[Reference]:
        """See Store.references."""
        query = f"SELECT {_COLUMNS} FROM refs WHERE visible AND model = ? AND subject = ? ORDER BY reference_id"  # noqa: S608
        return await self._do(lambda db: [_reference(row) for row in db.execute(query, (model, subject))])

    async def gallery(self, model: str) -> list[Reference]:
        """See Store.gallery."""
        query = f"SELECT {_COLUMNS} FROM refs WHERE visible AND model = ? ORDER BY reference_id"  # noqa: S608
        return await self._do(lambda db: [_reference(row) for row in db.execute(query, (model,))])

    async def names(self) -> list[Name]:
        """See Store.names."""
        query = f"SELECT {_NAME} FROM refs WHERE visible ORDER BY reference_id"  # noqa: S608
        return await self._do(lambda db: [Name(*row) for row in db.execute(query)])

    async def expired(self, model: str, before_unix_ms: int, limit: int) -> list[Name]:
        """See Store.expired."""
        query = (
            f"SELECT {_NAME} FROM refs WHERE visible AND model = ? AND expires > 0 AND expires <= ? "  # noqa: S608
            "ORDER BY reference_id LIMIT ?"
        )
        return await self._do(lambda db: [Name(*row) for row in db.execute(query, (model, before_unix_ms, limit))])

    async def subjects(self, model: str, limit: int, after: str) -> list[SubjectCount]:
        """See Store.subjects."""
        query = (
            "SELECT subject, count(*) FROM refs WHERE visible AND model = ? AND subject > ? "
            "GROUP BY subject ORDER BY subject LIMIT ?"
        )
        return await self._do(lambda db: [SubjectCount(*row) for row in db.execute(query, (model, after, limit))])

    async def counts(self) -> tuple[int, int]:
        """See Store.counts."""
        query = "SELECT count(DISTINCT subject), count(*) FROM refs WHERE visible"
        subjects, references = await self._do(lambda db: db.execute(query).fetchone())
        return subjects, references

    async def models(self) -> list[str]:
        """See Store.models."""
        query = "SELECT DISTINCT name FROM models WHERE visible ORDER BY name"
        return await self._do(lambda db: [row[0] for row in db.execute(query)])

    async def model(self, name: str) -> ModelRecord | None:
        """See Store.model. Of models published at the same time under one name the lowest request id wins."""
        query = (
            "SELECT name, program, version, created, weights FROM models WHERE visible AND name = ? "
            "ORDER BY request_id LIMIT 1"
        )
        row = await self._do(lambda db: db.execute(query, (name,)).fetchone())
        return ModelRecord(row[0], row[1], row[2], row[3], Secret(row[4])) if row else None

    async def log(self) -> list[LogEntry]:
        """See Store.log."""
        return await self._do(
            lambda db: [_entry(row) for row in db.execute("SELECT * FROM writes ORDER BY request_id")]
        )

    async def tombstones(self) -> list[str]:
        """See Store.tombstones."""
        query = "SELECT reference_id FROM tombstones ORDER BY reference_id"
        return await self._do(lambda db: [row[0] for row in db.execute(query)])

    async def adopt(
        self,
        references: Sequence[Reference],
        models: Sequence[ModelRecord],
        log: Sequence[LogEntry],
        tombstones: Sequence[str],
    ) -> None:
        """See Store.adopt."""
        await self._do(lambda db: _adopt(db, references, models, log, tombstones))

    async def clear(self) -> None:
        """See Store.clear."""

        def work(db: sqlite3.Connection) -> None:
            for table in _TABLES:
                db.execute(f"DELETE FROM {table}")  # noqa: S608

        await self._do(work)

    async def remember(self, request_id: bytes, now_unix_ms: int, expires_unix_ms: int) -> bool:
        """See Store.remember."""

        def work(db: sqlite3.Connection) -> bool:
            db.execute("DELETE FROM seen WHERE expires < ?", (now_unix_ms,))
            cursor = db.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", (request_id, expires_unix_ms))
            return cursor.rowcount == 1

        return await self._do(work)

    async def attempts(self, now: int) -> dict[bytes, int]:
        """See Store.attempts."""
        return await self._do(
            lambda db: dict(db.execute("SELECT key, full_at FROM attempts WHERE full_at > ?", (now,)))
        )

    async def note_attempts(self, full_at: Mapping[bytes, int], now: int) -> None:
        """See Store.note_attempts."""

        def work(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM attempts WHERE full_at <= ?", (now,))
            db.executemany(_NOTE_ATTEMPT, list(full_at.items()))

        await self._do(work)

    async def close(self) -> None:
        """See Store.close."""
        await asyncio.get_running_loop().run_in_executor(self._worker, self._connection.close)
        self._worker.shutdown()


def _connect(directory: Path) -> sqlite3.Connection:
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = directory / "visard.sqlite"
    path.touch(mode=0o600)
    connection = sqlite3.connect(path, timeout=5, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA secure_delete = ON")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == 0:
        connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
    elif version != SCHEMA_VERSION:
        connection.close()
        raise SchemaMismatch(f"{path}: schema version {version}, this program wants {SCHEMA_VERSION}")
    connection.execute(_ATTEMPTS)
    return connection


def _reference(row: tuple[str, str, str, int, int, int, int, bytes, bytes]) -> Reference:
    return Reference(*row[:8], Secret(row[8]))


def _entry(row: tuple[bytes, str, bytes, int, int]) -> LogEntry:
    return LogEntry(row[0], row[1], row[2], State(row[3]), row[4])


def _state(db: sqlite3.Connection, request_id: bytes) -> State:
    row = db.execute("SELECT state FROM writes WHERE request_id = ?", (request_id,)).fetchone()
    return State(row[0]) if row else State.UNKNOWN


def _stage(db: sqlite3.Connection, request_id: bytes, write: Write, digest: bytes) -> None:
    row = db.execute("SELECT digest, state FROM writes WHERE request_id = ?", (request_id,)).fetchone()
    if row is not None:
        if row[0] == digest and row[1] != State.DROPPED:
            return
        raise RequestConflict("the request id stands for another write, or for one that was dropped")
    kind = type(write).__name__.lower()
    db.execute(
        "INSERT INTO writes VALUES (?, ?, ?, ?, ?)", (request_id, kind, digest, State.PENDING, changes_of(write))
    )
    match write:
        case Change(add, erase):
            db.executemany(_INSERT_REFERENCE, [_row(r, request_id, visible=False) for r in add])
            db.executemany("INSERT INTO deletions VALUES (?, ?)", [(request_id, i) for i in erase])
        case Rename(ids, subject, updated):
            db.executemany("INSERT INTO renames VALUES (?, ?, ?, ?)", [(request_id, i, subject, updated) for i in ids])
        case Renew(descriptors, weights, updated):
            for target, shares in (("refs", descriptors), ("models", weights)):
                rows = [(request_id, target, name, share.reveal(), updated) for name, share in shares]
                db.executemany("INSERT INTO renewals VALUES (?, ?, ?, ?, ?)", rows)
        case Publish(model):
            db.execute(_INSERT_MODEL, _model_row(model, request_id, visible=False))
        case Withdraw(name):
            db.execute("INSERT INTO withdrawals VALUES (?, ?)", (request_id, name))


_INSERT_REFERENCE = "INSERT OR IGNORE INTO refs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_NOTE_ATTEMPT = "INSERT INTO attempts VALUES (?, ?) ON CONFLICT DO UPDATE SET full_at = max(full_at, excluded.full_at)"
_INSERT_MODEL = "INSERT OR IGNORE INTO models VALUES (?, ?, ?, ?, ?, ?, ?)"


def _row(r: Reference, request_id: bytes, *, visible: bool) -> tuple[object, ...]:
    times = (r.created_unix_ms, r.updated_unix_ms, r.expires_unix_ms)
    names = (r.reference_id, request_id, r.subject, r.model, r.version)
    return (*names, *times, r.metadata, r.descriptor.reveal(), visible)


def _model_row(m: ModelRecord, request_id: bytes, *, visible: bool) -> tuple[object, ...]:
    return (request_id, m.name, m.program, m.version, m.created_unix_ms, m.weights.reveal(), visible)


def _commit(db: sqlite3.Connection, request_id: bytes) -> int:
    row = db.execute("SELECT state, changes FROM writes WHERE request_id = ?", (request_id,)).fetchone()
    if row is None or row[0] not in (State.PENDING, State.COMMITTED):
        raise RequestConflict("only a staged write can be committed")
    if row[0] == State.PENDING:
        db.execute("UPDATE writes SET state = ? WHERE request_id = ?", (State.COMMITTED, request_id))
        for statement in _EFFECTS:
            db.execute(statement, {"id": request_id})
    return int(row[1])


# what a commit does, whatever the kind of write: the tables that it did not fill are empty
_EFFECTS = (
    "UPDATE models SET visible = 1 WHERE request_id = :id",
    "DELETE FROM models WHERE name IN (SELECT name FROM withdrawals WHERE request_id = :id)",
    "INSERT OR IGNORE INTO tombstones SELECT reference_id FROM deletions WHERE request_id = :id",
    "DELETE FROM refs WHERE reference_id IN (SELECT reference_id FROM deletions WHERE request_id = :id)",
    # a reference whose deletion came first stays deleted
    "DELETE FROM refs WHERE request_id = :id AND reference_id IN (SELECT reference_id FROM tombstones)",
    "UPDATE refs SET visible = 1 WHERE request_id = :id",
    """UPDATE refs SET subject = r.subject, updated = r.updated, version = version + 1
       FROM renames r WHERE r.request_id = :id AND r.reference_id = refs.reference_id""",
    """UPDATE refs SET descriptor = n.share, updated = n.updated, version = version + 1
       FROM renewals n WHERE n.request_id = :id AND n.target = 'refs' AND n.name = refs.reference_id""",
    """UPDATE models SET weights = n.share, version = version + 1
       FROM renewals n WHERE n.request_id = :id AND n.target = 'models' AND n.name = models.name""",
    "DELETE FROM renewals WHERE request_id = :id",
    "DELETE FROM deletions WHERE request_id = :id",
    "DELETE FROM renames WHERE request_id = :id",
)


def _drop(db: sqlite3.Connection, request_id: bytes) -> None:
    if _state(db, request_id) is State.COMMITTED:
        raise RequestConflict("a committed write cannot be dropped")
    for table in _STAGED:
        db.execute(f"DELETE FROM {table} WHERE request_id = ?", (request_id,))  # noqa: S608
    db.execute("INSERT OR REPLACE INTO writes VALUES (?, '', x'', ?, 0)", (request_id, State.DROPPED))


def _adopt(
    db: sqlite3.Connection,
    references: Sequence[Reference],
    models: Sequence[ModelRecord],
    log: Sequence[LogEntry],
    tombstones: Sequence[str],
) -> None:
    rows = [(e.request_id, e.kind, e.digest, e.state, e.changes) for e in log]
    db.executemany("INSERT OR IGNORE INTO writes VALUES (?, ?, ?, ?, ?)", rows)
    db.executemany("INSERT OR IGNORE INTO tombstones VALUES (?)", [(i,) for i in tombstones])
    db.executemany(_INSERT_REFERENCE, [_row(r, b"", visible=True) for r in references])
    for model in models:
        db.execute(_INSERT_MODEL, _model_row(model, b"adopted " + model.name.encode(), visible=True))
