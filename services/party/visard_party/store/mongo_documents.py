"""What the MongoDB store's documents look like, and back again. No I/O."""

from typing import Any

from bson import Binary
from pymongo import ASCENDING
from visard_wire.chain import Entry
from visard_wire.secret import Secret

from visard_party.errors import ForeignStore, SchemaMismatch
from visard_party.spread import WHOLE, Part
from visard_party.store.contents import LogEntry, ModelRecord, Name, Reference, Right, State, Tombstone

Document = dict[str, Any]

# not half erased: a worker reads beside the party, whose own readers wait for the end of a write
KEPT = {"descriptor": {"$ne": Binary(b"")}}
NAME_FIELDS = {"subject": 1, "model": 1, "version": 1, "enrolled_by": 1, "gallery": 1}


def reference(row: Reference, request_id: bytes, *, visible: bool) -> Document:
    """A reference, staged by a request."""
    return {
        "_id": row.reference_id,
        "request_id": request_id,
        "subject": row.subject,
        "model": row.model,
        "version": row.version,
        "created": row.created_unix_ms,
        "updated": row.updated_unix_ms,
        "expires": row.expires_unix_ms,
        "metadata": Binary(row.metadata),
        "descriptor": Binary(row.descriptor.reveal()),
        "visible": visible,
        "enrolled_by": row.enrolled_by,
        "gallery": row.gallery,
    }


def reference_of(row: Document) -> Reference:
    """The reference in a document."""
    return Reference(
        row["_id"],
        row["subject"],
        row["model"],
        row["version"],
        row["created"],
        row["updated"],
        row["expires"],
        bytes(row["metadata"]),
        Secret(bytes(row["descriptor"])),
        row["enrolled_by"],
        row["gallery"],
    )


def name_of(row: Document) -> Name:
    """The public name in a reference's document."""
    return Name(row["_id"], row["subject"], row["model"], row["version"], row["enrolled_by"], row["gallery"])


def model(record: ModelRecord, request_id: bytes, *, visible: bool) -> Document:
    """A model, whose weights lie in a file of the request's id."""
    return {
        "_id": request_id,
        "name": record.name,
        "program": Binary(record.program),
        "version": record.version,
        "created": record.created_unix_ms,
        "file": Binary(request_id),
        "visible": visible,
    }


def model_of(row: Document, weights: bytes) -> ModelRecord:
    """The model in a document."""
    return ModelRecord(row["name"], bytes(row["program"]), row["version"], row["created"], Secret(weights))


def right(granted: Right) -> Document:
    """A right."""
    return {
        "_id": granted.right_id,
        "model": granted.model,
        "subject": granted.subject,
        "grantee": granted.grantee,
        "gallery": granted.gallery,
        "may": str(granted.may),
    }


def right_of(row: Document) -> Right:
    """The right in a document."""
    return Right(row["model"], row["subject"], row["grantee"], row["gallery"], row["may"])


def audited(entry: Entry, link: bytes) -> Document:
    """An entry of the log of who asked for what, with its hash."""
    return {
        "_id": entry.sequence,
        "time": entry.time_unix_ms,
        "caller": entry.caller,
        "operation": entry.operation,
        "model": entry.model,
        "subject": entry.subject,
        "new_subject": entry.new_subject,
        "grantee": entry.grantee,
        "request": Binary(entry.request_id),
        "code": entry.code,
        "detail": entry.detail,
        "gallery": entry.gallery,
        "hash": Binary(link),
    }


def audited_of(row: Document) -> tuple[Entry, bytes]:
    """The entry in a document, and its hash."""
    names = (row["caller"], row["operation"], row["model"], row["subject"], row["new_subject"], row["grantee"])
    entry = Entry(row["_id"], row["time"], *names, bytes(row["request"]), row["code"], row["detail"], row["gallery"])
    return entry, bytes(row["hash"])


def log(entry: LogEntry) -> Document:
    """A write in the log."""
    return {
        "_id": entry.request_id,
        "kind": entry.kind,
        "digest": Binary(entry.digest),
        "state": int(entry.state),
        "changes": entry.changes,
        "expires": entry.expires_unix_ms,
        "applied": False,
    }


def log_of(row: Document) -> LogEntry:
    """The log entry in a document."""
    known = (row["kind"], bytes(row["digest"]), State(row["state"]), row["changes"], row["expires"])
    return LogEntry(bytes(row["_id"]), *known)


def tombstone(erased: Tombstone) -> Document:
    """The id of an erased reference."""
    return {"_id": erased.reference_id, "expires": erased.expires_unix_ms}


async def make_indexes(database: Any, prefix: str) -> None:
    """Those of the collections that a restoration writes anew; references, tombstones and writes are unique by their _id."""
    keys = {
        "refs": (
            ("model", "gallery", "visible", "subject"),
            ("model", "gallery", "visible", "_id"),
            ("gallery",),
            ("request_id",),
            ("expires",),
        ),
        "models": (("name",),),
        "writes": (("state", "applied"), ("expires",)),
        "tombstones": (("expires",),),
        "rights": (("gallery", "may"),),
    }
    for name, indexes in keys.items():
        for fields in indexes:
            await database[prefix + name].create_index([(field, ASCENDING) for field in fields])


def topology(hello: Document) -> str:
    """What kind of server it is, from its greeting."""
    if "setName" in hello:
        return f"replica set {hello['setName']}"
    return "sharded cluster" if hello.get("msg") == "isdbgrid" else "standalone"


def in_part(part: Part) -> Document:
    """What a query asks for besides, of ids of a part."""
    ends = {"$gte": part.begin} | ({"$lt": part.end} if part.end else {})
    return {} if part == WHOLE else {"_id": ends}


def check_owner(found: Document, version: int, party: int) -> None:
    """Raises SchemaMismatch, ForeignStore unless the database is of this schema, and of this party."""
    if found["version"] != version:
        raise SchemaMismatch(f"store: schema version {found['version']}, this program wants {version}")
    if found["party"] != party:
        raise ForeignStore(f"store: the database is that of party {found['party']}")
