"""What a store is given while it is restored from the peers, a page at a time, and what it keeps aside until that is whole."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from services.party.store.base import LogEntry, ModelRecord, Reference, Right, Tombstone


@dataclass(frozen=True)
class Page:
    """A part of what the peers hold."""

    references: Sequence[Reference] = ()
    models: Sequence[ModelRecord] = ()
    writes: Sequence[LogEntry] = ()
    tombstones: Sequence[Tombstone] = ()
    rights: Sequence[Right] = ()


class Restorable(Protocol):
    """A store that can be written anew: what it held stays, and is served, until the whole of what is new is there."""

    async def begin_restoration(self) -> None:
        """Forget what an earlier restoration has left aside."""

    async def restore(self, page: Page) -> None:
        """Keep a page aside."""

    async def finish_restoration(self) -> None:
        """Put what was kept aside in the place of everything, at once; also after a crash in its midst.

        Attempts, requests seen and the log of who asked for what stay: peers cannot restore them.
        """


async def restored(store: Restorable, page: Page) -> None:
    """A store that holds this page and nothing else."""
    await store.begin_restoration()
    await store.restore(page)
    await store.finish_restoration()
