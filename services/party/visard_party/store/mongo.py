"""The store on MongoDB, through motor: one database a party. The only file that knows motor.

Works on a replica set and on a standalone mongod, so it needs no transaction over several documents. A write is one
document in ``writes``: it is staged when that document is there (what it carries was put in place before), and committed
when the document's state says so. The effects that follow (making rows visible, erasing, renaming, renewing) can be
repeated without harm: they are finished before anybody reads, also after a crash in their midst.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from bson import Binary
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorGridFSBucket
from pymongo import ASCENDING, UpdateOne
from pymongo.errors import ConfigurationError, DuplicateKeyError, InvalidURI
from typing_extensions import override

from visard_party.errors import RequestConflict, StoreAway, StoreError
from visard_party.gate import Gate
from visard_party.spread import WHOLE, Part
from visard_party.store import mongo_documents as documents
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
from visard_party.store.mongo_reach import TIMEOUT_SECONDS, Reach
from visard_party.store.mongo_records import MongoRecords
from visard_party.store.mongo_restoration import MongoRestoration
from visard_party.store.mongo_writes import MongoWrites

SCHEMA_VERSION = 6
RESTORATION_SECONDS = 600.0  # to put a million references in place
SELECTION_SECONDS = 3.0
_DEFAULT_DATABASE = "visard"

T = TypeVar("T")
U = TypeVar("U")
Document = dict[str, Any]


class MongoStore(MongoRecords):
    """A party's state in one database of a MongoDB server."""

    def __init__(self, client: Any, database: Any, description: str) -> None:
        self.description = description
        self._client = client
        self._db = database
        self._files = AsyncIOMotorGridFSBucket(database, bucket_name="weights")
        self._writes = MongoWrites(database, self._files)
        self._restoration = MongoRestoration(database, self._writes)
        self._reach = Reach(client)
        self._gate = Gate()
        self._behind = True  # some committed write may not have had its effects yet

    @classmethod
    async def open(cls, uri: str, party: int, *, reads_only: bool = False) -> "MongoStore":
        """Connect and check schema and owner; raises StoreError, whose text never holds the URI's password.

        With ``reads_only`` nothing is written: who writes is another process of this party, which also finishes what was not.
        """
        milliseconds = int(SELECTION_SECONDS * 1000)
        try:
            client: Any = AsyncIOMotorClient(
                uri,
                # whatever the URI says of these: what is read must be what can no more be lost
                w="majority",
                journal=True,
                readConcernLevel="majority",
                readPreference="primary",
                retryWrites=False,  # a standalone has none; every operation here may be repeated as a whole
                serverSelectionTimeoutMS=milliseconds,
                connectTimeoutMS=milliseconds,
                socketTimeoutMS=int(TIMEOUT_SECONDS * 1000),
                appname="visard",
            )
            database = client.get_default_database(_DEFAULT_DATABASE)
        except (InvalidURI, ConfigurationError, ValueError) as error:
            raise StoreError("store: not a usable mongodb:// URI") from error
        store = cls(client, database, "MongoDB")
        try:
            await store._do(lambda: store._look(party) if reads_only else store._prepare(party))
        except BaseException:
            await store.close()
            raise
        return store

    async def _look(self, party: int) -> None:
        """Beside the party, which may not have begun to use it yet."""
        await self._describe()
        found = await self._db.meta.find_one({"_id": "schema"})
        if found is None:
            raise StoreAway("store: the party has not begun to use it yet")
        documents.check_owner(found, SCHEMA_VERSION, party)
        self._behind = False

    async def _describe(self) -> None:
        hello = await self._client.admin.command("hello")
        info = await self._client.server_info()
        self.description = f"MongoDB {info['version']}, {documents.topology(hello)}"

    async def _prepare(self, party: int) -> None:
        await self._describe()
        found = await self._db.meta.find_one_and_update(
            {"_id": "schema"},
            {"$setOnInsert": {"version": SCHEMA_VERSION, "party": party}},
            upsert=True,
            return_document=True,
        )
        documents.check_owner(found, SCHEMA_VERSION, party)
        await self._restoration.recover()
        await documents.make_indexes(self._db, "")
        await self._db.seen.create_index([("expires", ASCENDING)])
        await self._db.attempts.create_index([("full_at", ASCENDING)])
        await self._db.audit.create_index([("time", ASCENDING)])
        # references, rights, tombstones, writes, requests and audited ones are unique by their _id
        await self._db.renewals.create_index([("request_id", ASCENDING), ("name", ASCENDING)], unique=True)
        async with self._gate.writing():
            await self._catch_up()

    async def _do(self, work: Callable[[], Awaitable[T]], seconds: float = TIMEOUT_SECONDS) -> T:
        return await self._reach.do(work, seconds)

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[None]:
        """No commit's effects are under way, and none is missing."""
        if self._behind:
            async with self._gate.writing():
                await self._catch_up()
        async with self._gate.reading():
            yield

    async def _catch_up(self) -> None:
        if self._behind:
            async for entry in self._db.writes.find({"state": State.COMMITTED, "applied": False}).sort("_id"):
                await self._writes.apply(entry)
            self._behind = False

    async def _read(self, work: Callable[[], Awaitable[T]], seconds: float = TIMEOUT_SECONDS) -> T:
        async def whole() -> T:
            async with self._reading():
                return await work()

        return await self._do(whole, seconds)

    @override
    async def stage(self, request_id: bytes, write: Write, digest: bytes, expires_unix_ms: int = NEVER) -> None:
        await self._do(lambda: self._writes.stage(request_id, write, digest, expires_unix_ms))

    @override
    async def commit(self, request_id: bytes) -> Committed:

        async def work() -> Committed:
            async with self._gate.writing():
                others = self._behind
                await self._catch_up()
                ready = {"_id": request_id, "state": {"$in": [State.PENDING, State.COMMITTED]}}
                found = await self._db.writes.find_one(ready)
                if found is None:
                    raise RequestConflict("only a staged write can be committed")
                if found["applied"] and not others:
                    return Committed(found["changes"], expires_unix_ms=found["expires"])
                self._behind = True  # of a commit that was given up, too, and reached the server all the same
                await self._db.writes.update_one(
                    {"_id": request_id, "state": State.PENDING}, {"$set": {"state": State.COMMITTED}}
                )
                done = await self._writes.outlook(found)
                await self._catch_up()
                return Committed(done.changes, None, None, done.expires_unix_ms) if others else done

        return await self._do(work)

    @override
    async def drop(self, request_id: bytes, expires_unix_ms: int = NEVER) -> None:

        async def work() -> None:
            known = await self._db.writes.find_one({"_id": request_id}, {"expires": 1})
            # unknown: another party's, dropped before it has come, or refused
            expires = known["expires"] if known else expires_unix_ms
            dropped = documents.log(LogEntry(request_id, "", b"", State.DROPPED, 0, expires))
            try:
                await self._db.writes.replace_one(
                    {"_id": request_id, "state": {"$ne": State.COMMITTED}}, dropped, upsert=True
                )
            except DuplicateKeyError as error:
                raise RequestConflict("a committed write cannot be dropped") from error
            await self._writes.remove_payload(request_id)

        await self._do(work)

    @override
    async def states(self, request_ids: Sequence[bytes]) -> dict[bytes, State]:

        async def work() -> dict[bytes, State]:
            found = self._db.writes.find({"_id": {"$in": list(request_ids)}}, {"state": 1})
            known = {row["_id"]: State(row["state"]) async for row in found}
            return {i: known.get(i, State.UNKNOWN) for i in request_ids}

        return await self._do(work)

    @override
    async def pending(self) -> list[bytes]:
        return [row["_id"] for row in await self._find("writes", {"state": State.PENDING}, {"_id": 1})]

    @override
    async def entry(self, request_id: bytes) -> LogEntry | None:
        found = await self._find("writes", {"_id": request_id})
        return documents.log_of(found[0]) if found else None

    async def _find(
        self, collection: str, query: Document, fields: Document | None = None, limit: int = 0
    ) -> list[Document]:
        async def work() -> list[Document]:
            cursor = self._db[collection].find(query, fields).sort("_id").limit(limit)
            return [row async for row in cursor]

        return await self._read(work)

    @override
    async def references(self, place: Place, subject: str) -> list[Reference]:
        query = {**place._asdict(), "subject": subject, "visible": True}
        return [documents.reference_of(row) for row in await self._find("refs", query)]

    @override
    async def gallery_parts(
        self, place: Place, made: Callable[[Sequence[Reference]], T], part: Part = WHOLE
    ) -> list[T]:
        query = {**place._asdict(), "visible": True, **documents.KEPT, **documents.in_part(part)}
        return await self._parts(query, None, documents.reference_of, made)

    async def _parts(
        self,
        query: Document,
        fields: Document | None,
        parsed: Callable[[Document], U],
        made: Callable[[Sequence[U]], T],
    ) -> list[T]:
        async def work() -> list[T]:
            cursor, found = self._db.refs.find(query, fields).sort("_id"), list[T]()
            while rows := await cursor.to_list(PART):
                found.append(await asyncio.to_thread(lambda part: made(list(map(parsed, part))), rows))
            return found

        return await self._read(work, READ_SECONDS)

    @override
    async def by_ids(self, reference_ids: Sequence[str]) -> list[Reference]:
        query = {"_id": {"$in": list(reference_ids)}, "visible": True, **documents.KEPT}
        return [documents.reference_of(row) for row in await self._find("refs", query)]

    @override
    async def names_parts(self, made: Callable[[Sequence[Name]], T]) -> list[T]:
        return await self._parts({"visible": True}, documents.NAME_FIELDS, documents.name_of, made)

    @override
    async def expired(self, model: str, before_unix_ms: int, limit: int) -> list[Name]:
        query = {"model": model, "visible": True, "expires": {"$gt": 0, "$lte": before_unix_ms}}
        return [documents.name_of(row) for row in await self._find("refs", query, documents.NAME_FIELDS, limit)]

    @override
    async def subjects(self, place: Place, limit: int, after: str, at_unix_ms: int) -> list[SubjectCount]:
        live = [{"expires": 0}, {"expires": {"$gt": at_unix_ms}}]

        async def work() -> list[SubjectCount]:
            stages = [
                {"$match": {**place._asdict(), "visible": True, "subject": {"$gt": after}, "$or": live}},
                {"$group": {"_id": "$subject", "references": {"$sum": 1}}},
                {"$sort": {"_id": 1}},
                {"$limit": limit},
            ]
            return [SubjectCount(row["_id"], row["references"]) async for row in self._db.refs.aggregate(stages)]

        return await self._read(work)

    @override
    async def models(self) -> list[str]:
        return sorted({row["name"] for row in await self._find("models", {"visible": True}, {"name": 1})})

    @override
    async def model(self, name: str) -> ModelRecord | None:
        """Of models published at the same time under one name the lowest request id wins."""

        async def work() -> ModelRecord | None:
            found = await self._db.models.find_one({"name": name, "visible": True}, sort=[("_id", ASCENDING)])
            if found is None:
                return None
            stream = await self._files.open_download_stream(found["file"])
            return documents.model_of(found, await stream.read())

        return await self._read(work)

    @override
    async def model_page(self, model: str, after: str, limit: int) -> list[Reference]:
        query = {"model": model, "visible": True, "_id": {"$gt": after}}
        return [documents.reference_of(row) for row in await self._find("refs", query, limit=limit)]

    @override
    async def count(self, model: str) -> int:
        return await self._read(lambda: self._db.refs.count_documents({"model": model, "visible": True}))

    @override
    async def count_in(self, gallery: str) -> int:
        return await self._read(lambda: self._db.refs.count_documents({"gallery": gallery, "visible": True}))

    @override
    async def log(self) -> list[LogEntry]:
        return [documents.log_of(row) for row in await self._find("writes", {})]

    @override
    async def log_page(self, after: bytes, limit: int) -> list[LogEntry]:
        query = {"state": State.COMMITTED, "_id": {"$gt": Binary(after)}}
        return [documents.log_of(row) for row in await self._find("writes", query, limit=limit)]

    @override
    async def tombstones(self, after: str, limit: int) -> list[Tombstone]:
        found = await self._find("tombstones", {"_id": {"$gt": after}}, limit=limit)
        return [Tombstone(row["_id"], row["expires"]) for row in found]

    @override
    async def prune(self, before_unix_ms: int, stones_unix_ms: int | None = None) -> None:
        over = {"expires": {"$lt": before_unix_ms}}
        stones = {"expires": {"$lt": before_unix_ms if stones_unix_ms is None else stones_unix_ms}}
        finished = {"$or": [{"state": State.DROPPED}, {"state": State.COMMITTED, "applied": True}]}

        async def work() -> None:
            await self._db.writes.delete_many(over | finished)
            await self._db.tombstones.delete_many(stones)

        await self._do(work)

    @override
    async def begin_restoration(self) -> None:
        await self._do(self._restoration.begin)

    @override
    async def restore(self, page: Page) -> None:
        await self._do(lambda: self._restoration.keep(page))

    @override
    async def finish_restoration(self) -> None:

        async def work() -> None:
            async with self._gate.writing():
                await self._restoration.finish()
                self._behind = True

        await self._do(work, seconds=RESTORATION_SECONDS)

    @override
    async def remember(self, request_id: bytes, now_unix_ms: int, expires_unix_ms: int) -> bool:
        token = os.urandom(16)

        async def work() -> bool:
            await self._db.seen.delete_many({"expires": {"$lt": now_unix_ms}})
            try:
                await self._db.seen.insert_one({"_id": request_id, "expires": expires_unix_ms, "token": token})
            except DuplicateKeyError:
                # our own insertion, where its acknowledgement was lost
                return await self._db.seen.find_one({"_id": request_id, "token": token}) is not None
            return True

        return await self._do(work)

    @override
    async def attempts(self, now: int) -> dict[bytes, int]:
        return {bytes(row["_id"]): row["full_at"] for row in await self._find("attempts", {"full_at": {"$gt": now}})}

    @override
    async def note_attempts(self, full_at: Mapping[bytes, int], now: int) -> None:
        changes = [UpdateOne({"_id": key}, {"$max": {"full_at": at}}, upsert=True) for key, at in full_at.items()]

        async def work() -> None:
            await self._db.attempts.delete_many({"full_at": {"$lte": now}})
            await self._db.attempts.bulk_write(changes, ordered=False)

        await self._do(work)

    @override
    async def close(self) -> None:
        self._reach.close()
        self._client.close()
