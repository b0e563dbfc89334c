"""A party's durable state: one interface, the embedded implementation, and MongoDB."""

from pathlib import Path

from visard_party.errors import StoreError
from visard_party.store.base import Store
from visard_party.store.sqlite import SqliteStore


async def open_store(uri: str, data_dir: Path, party: int, *, reads_only: bool = False) -> Store:
    """The store of a party that ``uri`` names; raises StoreError, also where another party has begun to use it.

    "sqlite" keeps everything in ``data_dir``; "mongodb://..." or "mongodb+srv://..." is a MongoDB server. With ``reads_only`` it
    is opened beside the party itself, as by its workers, which write nothing.
    """
    if uri == "sqlite":
        return await SqliteStore.open(data_dir, party, reads_only=reads_only)
    scheme = uri.partition(":")[0]
    if scheme in ("mongodb", "mongodb+srv"):
        from visard_party.store.mongo import MongoStore  # noqa: PLC0415 -- only who uses it pays for its import

        return await MongoStore.open(uri, party, reads_only=reads_only)
    raise StoreError(f"store: {scheme!r} is unknown; allowed: sqlite, mongodb://")
