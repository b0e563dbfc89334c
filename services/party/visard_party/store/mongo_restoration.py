"""A restoration on MongoDB: collections beside the real ones, which take their names at the end, one after the other.

A marker document says from when on they may: after a crash before it the old collections are whole, and after it the renaming
is finished before anybody reads.
"""

import os
from typing import Any

from pymongo.errors import CollectionInvalid, OperationFailure

from visard_party.store import mongo_documents as documents
from visard_party.store.contents import Page
from visard_party.store.mongo_writes import MongoWrites

RESTORED = ("refs", "models", "writes", "tombstones", "rights")
_NEW = "new_"
_MARKER = "restoration"
_NO_SUCH_COLLECTION = 26


class MongoRestoration:
    """Writes the collections of a database anew."""

    def __init__(self, database: Any, writes: MongoWrites) -> None:
        self._db = database
        self._writes = writes
        self._token = b""  # in the names of weights: those of an earlier restoration may still be in use

    async def begin(self) -> None:
        """Empty collections beside the real ones."""
        await self._remove()
        self._token = os.urandom(16)
        for name in RESTORED:
            try:
                await self._db.create_collection(_NEW + name)
            except CollectionInvalid:  # made by an attempt whose answer was lost
                continue
        await documents.make_indexes(self._db, _NEW)

    async def keep(self, page: Page) -> None:
        """A page into them; it may come twice."""
        insert = self._writes.insert
        await insert(_NEW + "refs", [documents.reference(r, b"", visible=True) for r in page.references])
        for model in page.models:
            name = self._token + model.name.encode()
            await self._writes.put_model(name, model, visible=True, collection=_NEW + "models")
        await insert(_NEW + "writes", [documents.log(e) | {"applied": True} for e in page.writes])
        await insert(_NEW + "tombstones", [documents.tombstone(t) for t in page.tombstones])
        await insert(_NEW + "rights", [documents.right(r) for r in page.rights])

    async def finish(self) -> None:
        """They take the places of the real ones."""
        await self._db.meta.update_one({"_id": _MARKER}, {"$set": {"switching": True}}, upsert=True)
        await self.recover()

    async def recover(self) -> None:
        """Finish what was begun, or forget what was not."""
        if await self._db.meta.find_one({"_id": _MARKER}) is None:
            await self._remove()
            return
        for name in RESTORED:
            try:
                await self._db[_NEW + name].rename(name, dropTarget=True)
            except OperationFailure as error:
                if error.code != _NO_SUCH_COLLECTION:  # it has its place already
                    raise
        await self._db.renewals.delete_many({})
        await self._remove_weights({row["file"] async for row in self._db.models.find({}, {"file": 1})})
        await self._db.meta.delete_one({"_id": _MARKER})

    async def _remove(self) -> None:
        for name in RESTORED:
            await self._db.drop_collection(_NEW + name)
        # staged publications and renewals have theirs under ids that a model or a write names
        if self._token:
            prefix = {"$gte": self._token, "$lt": self._token + b"\xff" * 80}
            await self._db["weights.chunks"].delete_many({"files_id": prefix})
            await self._db["weights.files"].delete_many({"_id": prefix})

    async def _remove_weights(self, kept: set[Any]) -> None:
        await self._db["weights.chunks"].delete_many({"files_id": {"$nin": list(kept)}})
        await self._db["weights.files"].delete_many({"_id": {"$nin": list(kept)}})
