"""Writes on MongoDB: what is put in place when a write is staged, and the effects of its commit.

Every step may be repeated: after a crash, or while a primary is being elected, it is.
"""

from typing import Any, cast

from bson import Binary
from pymongo import InsertOne, UpdateOne
from pymongo.errors import BulkWriteError, DuplicateKeyError
from visard_wire.secret import Secret

from visard_party.errors import RequestConflict
from visard_party.store import mongo_documents as documents
from visard_party.store.contents import (
    Calibrate,
    Change,
    Committed,
    LogEntry,
    ModelRecord,
    Publish,
    Rename,
    Renew,
    Rule,
    State,
    Tombstone,
    Withdraw,
    Write,
    changes_of,
)

_BATCH = 1000
_DUPLICATE = 11000

Document = dict[str, Any]


class MongoWrites:
    """The collections as writes change them. ``files`` is a GridFS bucket named weights."""

    def __init__(self, database: Any, files: Any) -> None:
        self._db = database
        self._files = files

    async def stage(self, request_id: bytes, write: Write, digest: bytes, expires: int) -> None:
        """Put a write's payload in place, then note it in the log as pending; raises RequestConflict."""
        found = await self._db.writes.find_one({"_id": request_id})
        if found is not None:
            if found["digest"] == digest and found["state"] != State.DROPPED:
                return
            raise RequestConflict("the request id stands for another write, or for one that was dropped")
        await self.remove_payload(request_id)  # of an attempt that did not come to its end
        await self._put_payload(request_id, write)
        kind = type(write).__name__.lower()
        entry = documents.log(LogEntry(request_id, kind, digest, State.PENDING, changes_of(write), expires))
        try:
            await self._db.writes.insert_one(entry | _intent(write))
        except DuplicateKeyError:
            await self.stage(request_id, write, digest, expires)

    async def _put_payload(self, request_id: bytes, write: Write) -> None:
        match write:
            case Change(add=add) if add:
                await self.insert("refs", [documents.reference(r, request_id, visible=False) for r in add])
            case Publish(model):
                await self.put_model(request_id, model, visible=False)
            case Renew(descriptors, weights, _):
                await self.insert(
                    "renewals",
                    [{"request_id": request_id, "name": n, "share": Binary(s.reveal())} for n, s in descriptors],
                )
                for name, share in weights:
                    await self._put_file(request_id + name.encode(), share)

    async def put_model(
        self, request_id: bytes, model: ModelRecord, *, visible: bool, collection: str = "models"
    ) -> None:
        """A model and its weights."""
        await self._put_file(request_id, model.weights)
        await self.insert(collection, [documents.model(model, request_id, visible=visible)])

    async def _put_file(self, file_id: bytes, share: Secret) -> None:
        if await self._db["weights.files"].find_one({"_id": file_id}) is not None:
            await self._files.delete(file_id)
        await self._db["weights.chunks"].delete_many({"files_id": file_id})
        await self._files.upload_from_stream_with_id(file_id, "weights", share.reveal())

    async def insert(self, collection: str, rows: list[Document]) -> None:
        """Insert documents; those that are there already stay."""
        for start in range(0, len(rows), _BATCH):
            try:
                await self._db[collection].bulk_write(
                    [InsertOne(r) for r in rows[start : start + _BATCH]], ordered=False
                )
            except BulkWriteError as error:
                problems = cast(Document, error.details)["writeErrors"]
                if any(problem["code"] != _DUPLICATE for problem in problems):
                    raise

    async def remove_payload(self, request_id: bytes) -> None:
        """Forget what a write that is not committed has put in place."""
        await self._db.refs.delete_many({"request_id": request_id, "visible": False})
        await self._db.models.delete_many({"_id": request_id, "visible": False})
        await self._db.renewals.delete_many({"request_id": request_id})
        prefix = {"$gte": Binary(request_id), "$lt": Binary(request_id + b"\xff" * 80)}
        async for file in self._db["weights.files"].find({"_id": prefix}, {"_id": 1}):
            if await self._db.models.find_one({"file": file["_id"]}) is None:
                await self._files.delete(file["_id"])

    async def outlook(self, entry: Document) -> Committed:
        """What a write is about to do."""
        request_id = entry["_id"]
        own = [row["_id"] async for row in self._db.refs.find({"request_id": request_id}, {"_id": 1})]
        models = [row["name"] async for row in self._db.models.find({"_id": request_id}, {"name": 1})]
        models += [*entry.get("models", ()), *filter(None, [entry.get("calibrate"), entry.get("withdraw")])]
        rights = [*(right["_id"] for right in entry.get("give", ())), *entry.get("take", ())]
        references = frozenset((*own, *entry.get("erase", ()), *entry.get("rename", ()), *rights))
        touched = None if entry["kind"] == "renew" else references
        return Committed(entry["changes"], touched, frozenset(models), entry["expires"])

    async def apply(self, entry: Document) -> None:
        """A committed write's effects, in an order in which each may be repeated."""
        request_id = entry["_id"]
        await self._db.models.update_one({"_id": request_id}, {"$set": {"visible": True}})
        if entry.get("calibrate"):
            await self._db.models.update_many(
                {"name": entry["calibrate"], "visible": True, "touched_by": {"$ne": request_id}},
                {"$set": {"program": entry["program"], "touched_by": request_id}, "$inc": {"version": 1}},
            )
        if entry.get("withdraw"):
            await self._withdraw(entry["withdraw"])
        if entry.get("erase"):
            gone = [documents.tombstone(Tombstone(i, entry["expires"])) for i in entry["erase"]]
            await self.insert("tombstones", gone)
            # overwritten first: what the server keeps of a deleted document for a while is without its share
            await self._db.refs.update_many({"_id": {"$in": entry["erase"]}}, {"$set": {"descriptor": Binary(b"")}})
            await self._db.refs.delete_many({"_id": {"$in": entry["erase"]}})
        if entry["kind"] == "change":
            await self._show(request_id)
        if entry.get("rename"):
            await self._db.refs.update_many(
                {"_id": {"$in": entry["rename"]}, "touched_by": {"$ne": request_id}},
                {
                    "$set": {
                        "subject": entry["subject"],
                        "updated": entry["updated"],
                        "touched_by": request_id,
                        **({"gallery": entry["gallery"]} if entry["gallery"] else {}),
                    },
                    "$inc": {"version": 1},
                },
            )
        if entry["kind"] == "rule":
            await self._db.rights.delete_many({"_id": {"$in": entry["take"]}})
            await self.insert("rights", entry["give"])
        if entry["kind"] == "renew":
            await self._renew(entry)
        await self._db.writes.update_one({"_id": request_id}, {"$set": {"applied": True}})

    async def _show(self, request_id: bytes) -> None:
        own = [row["_id"] async for row in self._db.refs.find({"request_id": request_id, "visible": False}, {"_id": 1})]
        # a reference whose deletion came first stays deleted
        gone = [row["_id"] async for row in self._db.tombstones.find({"_id": {"$in": own}})]
        await self._db.refs.delete_many({"_id": {"$in": gone}})
        await self._db.refs.update_many({"request_id": request_id}, {"$set": {"visible": True}})

    async def _withdraw(self, name: str) -> None:
        async for row in self._db.models.find({"name": name}):
            await self._db.models.delete_one({"_id": row["_id"]})
            if await self._db["weights.files"].find_one({"_id": row["file"]}) is not None:
                await self._files.delete(row["file"])

    async def _renew(self, entry: Document) -> None:
        request_id, updates = entry["_id"], list[UpdateOne]()
        async for row in self._db.renewals.find({"request_id": request_id}):
            changes = {"descriptor": row["share"], "updated": entry["updated"], "touched_by": request_id}
            fresh = {"_id": row["name"], "touched_by": {"$ne": request_id}}
            updates.append(UpdateOne(fresh, {"$set": changes, "$inc": {"version": 1}}))
        for start in range(0, len(updates), _BATCH):
            await self._db.refs.bulk_write(updates[start : start + _BATCH], ordered=False)
        for name in entry["models"]:
            file = Binary(request_id + name.encode())
            before = await self._db.models.find_one_and_update(
                {"name": name, "visible": True, "file": {"$ne": file}}, {"$set": {"file": file}, "$inc": {"version": 1}}
            )
            if before is not None:
                await self._files.delete(before["file"])
        await self._db.renewals.delete_many({"request_id": request_id})


def _intent(write: Write) -> Document:
    """What a staged write will do beyond showing what was put in place."""
    match write:
        case Change(_, erase, beside):
            return {"erase": [*erase, *beside]}
        case Rename(ids, subject, updated, gallery, beside):
            return {"rename": [*ids, *beside], "subject": subject, "updated": updated, "gallery": gallery}
        case Calibrate(name, program):
            return {"calibrate": name, "program": Binary(program)}
        case Withdraw(name):
            return {"withdraw": name}
        case Rule(give, take):
            return {"give": [documents.right(right) for right in give], "take": list(take)}
        case Renew(_, weights, updated):
            return {"models": [name for name, _ in weights], "updated": updated}
    return {}
