"""Writes on SQLite: the schema, what staging puts in place, and the effects of a commit. Each inside one transaction."""

import sqlite3

from visard_party.errors import RequestConflict
from visard_party.store.contents import (
    NEVER,
    Calibrate,
    Change,
    Committed,
    ModelRecord,
    Page,
    Publish,
    Reference,
    Rename,
    Renew,
    Right,
    Rule,
    State,
    Withdraw,
    Write,
    changes_of,
)

SCHEMA = """
CREATE TABLE writes (
    request_id BLOB PRIMARY KEY, kind TEXT NOT NULL, digest BLOB NOT NULL, state INTEGER NOT NULL, changes INTEGER NOT NULL,
    expires INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX writes_pending ON writes (state) WHERE state = 2;
CREATE TABLE refs (
    reference_id TEXT PRIMARY KEY, request_id BLOB NOT NULL, subject TEXT NOT NULL, model TEXT NOT NULL,
    version INTEGER NOT NULL, created INTEGER NOT NULL, updated INTEGER NOT NULL, expires INTEGER NOT NULL,
    metadata BLOB NOT NULL, descriptor BLOB NOT NULL, visible INTEGER NOT NULL, enrolled_by TEXT NOT NULL,
    gallery TEXT NOT NULL
);
CREATE INDEX refs_by_subject ON refs (model, gallery, subject) WHERE visible;
CREATE INDEX refs_by_gallery ON refs (gallery) WHERE visible;
CREATE INDEX refs_by_expiry ON refs (model, expires) WHERE visible AND expires > 0;
CREATE INDEX refs_by_request ON refs (request_id);
CREATE TABLE models (
    request_id BLOB PRIMARY KEY, name TEXT NOT NULL, program BLOB NOT NULL, version INTEGER NOT NULL,
    created INTEGER NOT NULL, weights BLOB NOT NULL, visible INTEGER NOT NULL
);
-- what a staged write will do: ids to erase or rename, new shares, new programs
CREATE TABLE deletions (request_id BLOB NOT NULL, reference_id TEXT NOT NULL, PRIMARY KEY (request_id, reference_id));
CREATE TABLE renames (
    request_id BLOB NOT NULL, reference_id TEXT NOT NULL, subject TEXT NOT NULL, updated INTEGER NOT NULL,
    gallery TEXT NOT NULL, PRIMARY KEY (request_id, reference_id)
);
CREATE TABLE renewals (
    request_id BLOB NOT NULL, target TEXT NOT NULL, name TEXT NOT NULL, share BLOB NOT NULL, updated INTEGER NOT NULL,
    PRIMARY KEY (request_id, target, name)
);
CREATE TABLE calibrations (request_id BLOB PRIMARY KEY, name TEXT NOT NULL, program BLOB NOT NULL);
CREATE TABLE withdrawals (request_id BLOB PRIMARY KEY, name TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE grants (
    request_id BLOB NOT NULL, right_id TEXT NOT NULL, model TEXT NOT NULL, subject TEXT NOT NULL, grantee TEXT NOT NULL,
    gallery TEXT NOT NULL, may TEXT NOT NULL, PRIMARY KEY (request_id, right_id)
) WITHOUT ROWID;
CREATE TABLE revocations (
    request_id BLOB NOT NULL, right_id TEXT NOT NULL, PRIMARY KEY (request_id, right_id)
) WITHOUT ROWID;
CREATE TABLE rights (
    right_id TEXT PRIMARY KEY, model TEXT NOT NULL, subject TEXT NOT NULL, grantee TEXT NOT NULL, gallery TEXT NOT NULL,
    may TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX rights_by_gallery ON rights (gallery, may);
CREATE TABLE tombstones (reference_id TEXT PRIMARY KEY, expires INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE seen (request_id BLOB PRIMARY KEY, expires INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE attempts (key BLOB PRIMARY KEY, full_at INTEGER NOT NULL) WITHOUT ROWID;
-- who asked for what; the last entry that was pruned leaves its hash
CREATE TABLE audit (
    sequence INTEGER PRIMARY KEY, time INTEGER NOT NULL, caller TEXT NOT NULL, operation TEXT NOT NULL, model TEXT NOT NULL,
    subject TEXT NOT NULL, new_subject TEXT NOT NULL, grantee TEXT NOT NULL, request_id BLOB NOT NULL, code TEXT NOT NULL,
    detail TEXT NOT NULL, gallery TEXT NOT NULL, hash BLOB NOT NULL
);
CREATE INDEX audit_by_time ON audit (time);
CREATE TABLE audit_anchor (sequence INTEGER NOT NULL, time INTEGER NOT NULL, hash BLOB NOT NULL);
"""
# changes nothing of what is kept: a store that has it not yet gets it when it is opened
BY_PLACE = "CREATE INDEX IF NOT EXISTS refs_by_place ON refs (model, gallery, reference_id) WHERE visible"
_STAGED = (
    "refs",
    "models",
    "deletions",
    "renames",
    "renewals",
    "calibrations",
    "withdrawals",
    "grants",
    "revocations",
)  # by request_id
# what peers can restore; the rest stays
RESTORED = ("refs", "models", "writes", "tombstones", "rights")
_EMPTIED = (*_STAGED, *RESTORED)


def state(db: sqlite3.Connection, request_id: bytes) -> State:
    """Where a write stands."""
    row = db.execute("SELECT state FROM writes WHERE request_id = ?", (request_id,)).fetchone()
    return State(row[0]) if row else State.UNKNOWN


def stage(db: sqlite3.Connection, request_id: bytes, write: Write, digest: bytes, expires: int = NEVER) -> None:
    """Put a write in place, unseen; raises RequestConflict."""
    known = db.execute("SELECT digest, state FROM writes WHERE request_id = ?", (request_id,)).fetchone()
    if known is not None:
        if known[0] == digest and known[1] != State.DROPPED:
            return
        raise RequestConflict("the request id stands for another write, or for one that was dropped")
    kind = type(write).__name__.lower()
    row = (request_id, kind, digest, State.PENDING, changes_of(write), expires)
    db.execute("INSERT INTO writes VALUES (?, ?, ?, ?, ?, ?)", row)
    match write:
        case Change(add, erase, beside):
            db.executemany(_INSERT_REFERENCE, [_row(r, request_id, visible=False) for r in add])
            db.executemany("INSERT INTO deletions VALUES (?, ?)", [(request_id, i) for i in (*erase, *beside)])
        case Rename(ids, subject, updated, gallery, beside):
            moves = [(request_id, i, subject, updated, gallery) for i in (*ids, *beside)]
            db.executemany("INSERT INTO renames VALUES (?, ?, ?, ?, ?)", moves)
        case Renew(descriptors, weights, updated):
            for target, shares in (("refs", descriptors), ("models", weights)):
                rows = [(request_id, target, name, share.reveal(), updated) for name, share in shares]
                db.executemany("INSERT INTO renewals VALUES (?, ?, ?, ?, ?)", rows)
        case Publish(model):
            db.execute(_INSERT_MODEL, _model_row(model, request_id, visible=False))
        case Calibrate(name, program):
            db.execute("INSERT INTO calibrations VALUES (?, ?, ?)", (request_id, name, program))
        case Withdraw(name):
            db.execute("INSERT INTO withdrawals VALUES (?, ?)", (request_id, name))
        case Rule(give, take):
            db.executemany(
                "INSERT INTO grants VALUES (?, ?, ?, ?, ?, ?, ?)", [(request_id, *_right_row(r)) for r in give]
            )
            db.executemany("INSERT INTO revocations VALUES (?, ?)", [(request_id, i) for i in take])


_INSERT_REFERENCE = "INSERT OR IGNORE INTO refs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_INSERT_MODEL = "INSERT OR IGNORE INTO models VALUES (?, ?, ?, ?, ?, ?, ?)"


def _row(r: Reference, request_id: bytes, *, visible: bool) -> tuple[object, ...]:
    times = (r.created_unix_ms, r.updated_unix_ms, r.expires_unix_ms)
    names = (r.reference_id, request_id, r.subject, r.model, r.version)
    return (*names, *times, r.metadata, r.descriptor.reveal(), visible, r.enrolled_by, r.gallery)


def _right_row(right: Right) -> tuple[str, ...]:
    return (right.right_id, right.model, right.subject, right.grantee, right.gallery, str(right.may))


def _model_row(m: ModelRecord, request_id: bytes, *, visible: bool) -> tuple[object, ...]:
    return (request_id, m.name, m.program, m.version, m.created_unix_ms, m.weights.reveal(), visible)


def commit(db: sqlite3.Connection, request_id: bytes) -> Committed:
    """Apply a staged write, once; raises RequestConflict."""
    row = db.execute("SELECT state, changes, kind, expires FROM writes WHERE request_id = ?", (request_id,)).fetchone()
    if row is None or row[0] not in (State.PENDING, State.COMMITTED):
        raise RequestConflict("only a staged write can be committed")
    if row[0] == State.COMMITTED:
        return Committed(row[1], expires_unix_ms=row[3])
    db.execute("UPDATE writes SET state = ? WHERE request_id = ?", (State.COMMITTED, request_id))
    # before the effects, which empty the tables that say it
    references = None if row[2] == "renew" else _listed(db, _REFERENCES, request_id)
    models = _listed(db, _MODELS, request_id)
    for statement in _EFFECTS:
        db.execute(statement, {"id": request_id})
    return Committed(row[1], references, models, row[3])


def erases(db: sqlite3.Connection, request_id: bytes) -> bool:
    """Whether a share goes with this commit: only an enrolment that replaces nothing, models and rights keep all."""
    row = db.execute("SELECT kind FROM writes WHERE request_id = ?", (request_id,)).fetchone()
    deletes = "SELECT 1 FROM deletions WHERE request_id = ? LIMIT 1"
    kept = row is not None and row[0] in ("publish", "calibrate", "rule", "rename")
    return not kept and (row is None or row[0] != "change" or db.execute(deletes, (request_id,)).fetchone() is not None)


def _listed(db: sqlite3.Connection, query: str, request_id: bytes) -> frozenset[str]:
    return frozenset(name for (name,) in db.execute(query, {"id": request_id}))


_REFERENCES = """SELECT reference_id FROM refs WHERE request_id = :id
                 UNION SELECT reference_id FROM deletions WHERE request_id = :id
                 UNION SELECT reference_id FROM renames WHERE request_id = :id
                 UNION SELECT right_id FROM grants WHERE request_id = :id
                 UNION SELECT right_id FROM revocations WHERE request_id = :id"""
_MODELS = """SELECT name FROM models WHERE request_id = :id
             UNION SELECT name FROM calibrations WHERE request_id = :id
             UNION SELECT name FROM withdrawals WHERE request_id = :id
             UNION SELECT name FROM renewals WHERE request_id = :id AND target = 'models'"""
# what a commit does, whatever the kind of write: the tables that it did not fill are empty
_EFFECTS = (
    "UPDATE models SET visible = 1 WHERE request_id = :id",
    "DELETE FROM models WHERE name IN (SELECT name FROM withdrawals WHERE request_id = :id)",
    """INSERT OR IGNORE INTO tombstones SELECT d.reference_id, w.expires
       FROM deletions d JOIN writes w ON w.request_id = d.request_id WHERE d.request_id = :id""",
    "DELETE FROM refs WHERE reference_id IN (SELECT reference_id FROM deletions WHERE request_id = :id)",
    # a reference whose deletion came first stays deleted
    "DELETE FROM refs WHERE request_id = :id AND reference_id IN (SELECT reference_id FROM tombstones)",
    "UPDATE refs SET visible = 1 WHERE request_id = :id",
    """UPDATE refs SET subject = r.subject, updated = r.updated, version = version + 1,
       gallery = iif(r.gallery = '', refs.gallery, r.gallery)
       FROM renames r WHERE r.request_id = :id AND r.reference_id = refs.reference_id""",
    """UPDATE refs SET descriptor = n.share, updated = n.updated, version = version + 1
       FROM renewals n WHERE n.request_id = :id AND n.target = 'refs' AND n.name = refs.reference_id""",
    """UPDATE models SET weights = n.share, version = version + 1
       FROM renewals n WHERE n.request_id = :id AND n.target = 'models' AND n.name = models.name""",
    """UPDATE models SET program = c.program, version = version + 1
       FROM calibrations c WHERE c.request_id = :id AND c.name = models.name AND models.visible""",
    "DELETE FROM rights WHERE right_id IN (SELECT right_id FROM revocations WHERE request_id = :id)",
    """INSERT OR IGNORE INTO rights
       SELECT right_id, model, subject, grantee, gallery, may FROM grants WHERE request_id = :id""",
    "DELETE FROM grants WHERE request_id = :id",
    "DELETE FROM revocations WHERE request_id = :id",
    "DELETE FROM calibrations WHERE request_id = :id",
    "DELETE FROM renewals WHERE request_id = :id",
    "DELETE FROM deletions WHERE request_id = :id",
    "DELETE FROM renames WHERE request_id = :id",
)


def drop(db: sqlite3.Connection, request_id: bytes, expires: int = NEVER) -> None:
    """Forget a staged write and refuse its id; raises RequestConflict."""
    if state(db, request_id) is State.COMMITTED:
        raise RequestConflict("a committed write cannot be dropped")
    for table in _STAGED:
        db.execute(f"DELETE FROM {table} WHERE request_id = ?", (request_id,))  # noqa: S608
    row = db.execute("SELECT expires FROM writes WHERE request_id = ?", (request_id,)).fetchone()
    expires = row[0] if row else expires  # unknown: another party's, dropped before it has come, or refused
    db.execute("INSERT OR REPLACE INTO writes VALUES (?, '', x'', ?, 0, ?)", (request_id, State.DROPPED, expires))


def begin_restoration(db: sqlite3.Connection) -> None:
    """Empty tables beside the real ones."""
    for table in RESTORED:
        db.execute(f"DROP TABLE IF EXISTS new_{table}")
        db.execute(f"CREATE TABLE new_{table} AS SELECT * FROM {table} WHERE 0")  # noqa: S608


def restore(db: sqlite3.Connection, page: Page) -> None:
    """A page into the tables beside."""
    rows = [(e.request_id, e.kind, e.digest, e.state, e.changes, e.expires_unix_ms) for e in page.writes]
    db.executemany("INSERT INTO new_writes VALUES (?, ?, ?, ?, ?, ?)", rows)
    db.executemany(
        "INSERT INTO new_tombstones VALUES (?, ?)", [(t.reference_id, t.expires_unix_ms) for t in page.tombstones]
    )
    db.executemany(_INTO.format("new_refs", _marks(13)), [_row(r, b"", visible=True) for r in page.references])
    for model in page.models:
        row = _model_row(model, b"restored " + model.name.encode(), visible=True)
        db.execute(_INTO.format("new_models", _marks(7)), row)
    db.executemany(_INTO.format("new_rights", _marks(6)), [_right_row(r) for r in page.rights])


def finish_restoration(db: sqlite3.Connection) -> None:
    """What stands beside takes the place of everything."""
    for table in _EMPTIED:
        db.execute(f"DELETE FROM {table}")  # noqa: S608
    for table in RESTORED:
        db.execute(f"INSERT INTO {table} SELECT * FROM new_{table}")  # noqa: S608
        db.execute(f"DROP TABLE new_{table}")


def abandon_restoration(db: sqlite3.Connection) -> None:
    """What an interrupted one has left."""
    for table in RESTORED:
        db.execute(f"DROP TABLE IF EXISTS new_{table}")


def prune(db: sqlite3.Connection, before_unix_ms: int, stones_unix_ms: int | None = None) -> None:
    """Forget finished writes and tombstones that are over."""
    stones = before_unix_ms if stones_unix_ms is None else stones_unix_ms
    db.execute("DELETE FROM writes WHERE expires < ? AND state != ?", (before_unix_ms, State.PENDING))
    db.execute("DELETE FROM tombstones WHERE expires < ?", (stones,))


_INTO = "INSERT INTO {} VALUES ({})"


def _marks(count: int) -> str:
    return ", ".join("?" * count)
