"""A party's durable state: one interface, and the embedded implementation."""

from pathlib import Path

from services.party.errors import StoreError
from services.party.store.base import Store
from services.party.store.sqlite import SqliteStore


async def open_store(uri: str, data_dir: Path) -> Store:
    """The store that ``uri`` names: "sqlite" keeps everything in ``data_dir``; raises StoreError for others."""
    if uri == "sqlite":
        return await SqliteStore.open(data_dir)
    raise StoreError(f"store: {uri.partition(':')[0]!r} is unknown; allowed: sqlite")
