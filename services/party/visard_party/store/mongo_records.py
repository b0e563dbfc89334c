"""The MongoDB store's rights, its log of who asked for what, and what galleries that cross ask for. Steps may be repeated."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from pymongo import ASCENDING, DESCENDING, UpdateOne
from typing_extensions import override
from visard_wire.chain import Entry

from visard_party.errors import StoreError
from visard_party.store import mongo_documents as documents
from visard_party.store.base import Store
from visard_party.store.contents import Link, May, Place, Reference, Right

T = TypeVar("T")
Document = dict[str, Any]

_ANCHOR = {"_id": "audit anchor"}


class MongoRecords(Store):
    """A part of MongoStore: ``_do`` tries again while a primary is elected, ``_read`` waits for the effects of commits."""

    _db: Any
    _do: Callable[[Callable[[], Awaitable[T]]], Awaitable[T]]
    _read: Callable[[Callable[[], Awaitable[T]]], Awaitable[T]]

    @override
    async def granted(self, place: Place, subject: str, grantee: str) -> bool:
        wanted = [Right(place.model, name, grantee, place.gallery) for name in (subject, "")]
        return bool(await self.rights_by_ids([right.right_id for right in wanted]))

    @override
    async def rights(self, limit: int, after: str) -> list[Right]:
        return await self._rights({"_id": {"$gt": after}}, limit)

    @override
    async def rights_by_ids(self, right_ids: Sequence[str]) -> list[Right]:
        return await self._rights({"_id": {"$in": list(right_ids)}}, 0)

    @override
    async def rules(self, gallery: str = "") -> list[Right]:
        return await self._rights({"may": {"$ne": str(May.CHANGE)}} | ({"gallery": gallery} if gallery else {}), 0)

    async def _rights(self, query: Document, limit: int) -> list[Right]:
        async def work() -> list[Right]:
            found = self._db.rights.find(query).sort("_id").limit(limit)
            return [documents.right_of(row) async for row in found]

        return await self._read(work)

    @override
    async def place_page(self, place: Place, after: str, limit: int) -> list[Reference]:
        async def work() -> list[Reference]:
            query = {**place._asdict(), "visible": True, "_id": {"$gt": after}}
            found = self._db.refs.find(query).sort("_id").limit(limit)
            return [documents.reference_of(row) async for row in found]

        return await self._read(work)

    @override
    async def erased(self, reference_ids: Sequence[str]) -> set[str]:
        async def work() -> set[str]:
            found = self._db.tombstones.find({"_id": {"$in": list(reference_ids)}})
            return {row["_id"] async for row in found}

        return await self._read(work)

    async def _put(self, collection: str, rows: Sequence[Document]) -> None:
        """In order; what is there already stays."""
        changes = [UpdateOne({"_id": row["_id"]}, {"$setOnInsert": row}, upsert=True) for row in rows]

        async def work() -> None:
            if changes:
                await self._db[collection].bulk_write(changes, ordered=True)

        await self._do(work)

    @override
    async def audit_head(self) -> Link:
        return await self._do(lambda: self._link_before(None))

    @override
    async def audit_append(self, entries: Sequence[tuple[Entry, bytes]]) -> None:
        """A crash in its midst leaves the first ones: the chain has no gap."""
        await self._put("audit", [documents.audited(entry, link) for entry, link in entries])
        last, link = entries[-1]
        kept = await self._do(lambda: self._db.audit.find_one({"_id": last.sequence}, {"hash": 1}))
        if bytes(kept["hash"]) != link:  # a hash covers all before it
            raise StoreError("store: another entry of the log has this number")

    @override
    async def audit_page(self, after: int, limit: int) -> tuple[Link, list[tuple[Entry, bytes]]]:

        async def work() -> tuple[Link, list[tuple[Entry, bytes]]]:
            first = max(after, (await self._anchor()).sequence)  # what a prune has left to be deleted is gone
            rows = self._db.audit.find({"_id": {"$gt": first}}).sort("_id").limit(limit)
            found = [documents.audited_of(row) async for row in rows]
            return await self._link_before(found[0][0].sequence if found else None), found

        return await self._do(work)

    @override
    async def audit_since(self, time_unix_ms: int) -> int:
        return await self._do(lambda: self._last_before(time_unix_ms))

    @override
    async def audit_prune(self, before_unix_ms: int) -> int:

        async def work() -> int:
            last = await self._db.audit.find_one({"_id": await self._last_before(before_unix_ms)})
            if last is not None:
                anchor = {"sequence": last["_id"], "time": last["time"], "hash": last["hash"]}
                await self._db.meta.update_one(_ANCHOR, {"$set": anchor}, upsert=True)
                await self._db.audit.delete_many({"_id": {"$lte": last["_id"]}})
            return int(await self._db.audit.count_documents({}))

        return await self._do(work)

    async def _anchor(self) -> Link:
        row = await self._db.meta.find_one(_ANCHOR)
        return Link(row["sequence"], row["time"], bytes(row["hash"])) if row else Link()

    async def _link_before(self, sequence: int | None) -> Link:
        """The entry before a number, or the newest one; of those that are pruned the last."""
        query = {} if sequence is None else {"_id": {"$lt": sequence}}
        row = await self._db.audit.find_one(query, sort=[("_id", DESCENDING)])
        anchor = await self._anchor()
        if row is None or row["_id"] <= anchor.sequence:
            return anchor
        return Link(row["_id"], row["time"], bytes(row["hash"]))

    async def _last_before(self, time_unix_ms: int) -> int:
        """The number before the first entry of this time or later: the newest one's where there is none."""
        order = [("time", ASCENDING), ("_id", ASCENDING)]
        row = await self._db.audit.find_one({"time": {"$gte": time_unix_ms}}, sort=order)
        return int(row["_id"]) - 1 if row else (await self._link_before(None)).sequence
