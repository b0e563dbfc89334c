"""A party's durable state: one interface, the embedded implementation, and MongoDB."""

from pathlib import Path

from visard_party.errors import StoreError
from visard_party.store.base import Store
from visard_party.store.sqlite import SqliteStore


async def open_store(uri: str, data_dir: Path, party: int) -> Store:
    """The store of a party that ``uri`` names; raises StoreError, also where another party has begun to use it.

    "sqlite" keeps everything in ``data_dir``; "mongodb://..." or "mongodb+srv://..." is a MongoDB server.
    """
    if uri == "sqlite":
        return await SqliteStore.open(data_dir, party)
    scheme = uri.partition(":")[0]
    if scheme in ("mongodb", "mongodb+srv"):
        from visard_party.store.mongo import MongoStore  # noqa: PLC0415 -- only who uses it pays for its import

        return await MongoStore.open(uri, party)
    raise StoreError(f"store: {scheme!r} is unknown; allowed: sqlite, mongodb://")
