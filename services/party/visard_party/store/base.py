"""The interface of every store, and what is done alike with each.

Writes happen in two steps. ``stage`` makes a write durable but invisible; ``commit`` makes it visible, ``drop`` forgets
it. All three parties stage before any commits (visard_party.consistency.writes), and after a crash they compare states
(visard_party.consistency.recovery). Every backend passes tests/party/store.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Protocol, TypeVar

from visard_wire.chain import Entry

from visard_party.spread import WHOLE, Part
from visard_party.store.contents import (
    NEVER,
    Committed,
    Link,
    LogEntry,
    ModelRecord,
    Name,
    Page,
    Place,
    Reference,
    Right,
    State,
    SubjectCount,
    Tombstone,
    Write,
)
from visard_party.store.names import Names

PART = 1 << 14  # references of a large reading that are objects at the same time
READ_SECONDS = 300.0  # for a million of them
_PAGE = 1000  # rights or references read at a time

T = TypeVar("T")


class Store(Protocol):
    """A party's durable state. Every method is bounded in time and raises StoreError when it cannot do its work."""

    description: str

    async def stage(self, request_id: bytes, write: Write, digest: bytes, expires_unix_ms: int = NEVER) -> None:
        """Make a write durable, unseen by readers. The same id and digest again do nothing.

        Raises RequestConflict for another digest under the same id, or an id that was dropped.
        """

    async def commit(self, request_id: bytes) -> Committed:
        """Apply a staged write, once. Raises RequestConflict if unknown."""

    async def drop(self, request_id: bytes, expires_unix_ms: int = NEVER) -> None:
        """Forget a staged write, and refuse its id from now on. Raises RequestConflict if it is committed.

        ``expires_unix_ms``: of the request, where it was not staged here.
        """

    async def states(self, request_ids: Sequence[bytes]) -> dict[bytes, State]:
        """PENDING, COMMITTED, DROPPED or UNKNOWN for each id."""

    async def pending(self) -> list[bytes]:
        """Ids of writes that are staged and neither committed nor dropped."""

    async def entry(self, request_id: bytes) -> LogEntry | None:
        """What the log says about a write, finished or not; None where it was never staged, or is forgotten."""

    async def references(self, place: Place, subject: str) -> list[Reference]:
        """A subject's references, by id; those whose time is over are among them until they are erased."""

    async def gallery(self, place: Place, part: Part = WHOLE) -> list[Reference]:
        """All references of a place, or those of a part of them, by id: the same order at every party."""
        return list(chain.from_iterable(await self.gallery_parts(place, list, part)))

    async def gallery_parts(
        self, place: Place, made: Callable[[Sequence[Reference]], T], part: Part = WHOLE
    ) -> list[T]:
        """What is made of the references of ``gallery``, PART at a time, in their order, in one reading.

        Only so many are objects at the same time. ``made`` is called in a thread.
        """

    async def by_ids(self, reference_ids: Sequence[str]) -> list[Reference]:
        """Those of these references that are there, by id, of whatever model."""

    async def names(self) -> list[Name]:
        """The public names of all references, by id."""
        return list(chain.from_iterable(await self.names_parts(list)))

    async def names_parts(self, made: Callable[[Sequence[Name]], T]) -> list[T]:
        """What is made of these names, as ``gallery_parts`` does it."""

    async def expired(self, model: str, before_unix_ms: int, limit: int) -> list[Name]:
        """References of a model, in whatever gallery, whose time is over, by id."""

    async def subjects(self, place: Place, limit: int, after: str, at_unix_ms: int) -> list[SubjectCount]:
        """Subjects in order of name, beginning after ``after``; references count whose time is not over at that time."""

    async def models(self) -> list[str]:
        """Names of the published models, in order."""

    async def model(self, name: str) -> ModelRecord | None:
        """A published model with this party's share of its weights; None where there is none of this name."""

    async def model_page(self, model: str, after: str, limit: int) -> list[Reference]:
        """References of a model, in whatever gallery, in order of id, beginning after ``after``."""

    async def place_page(self, place: Place, after: str, limit: int) -> list[Reference]:
        """References of a place in order of id, beginning after ``after``; what it costs does not depend on other places."""

    async def count(self, model: str) -> int:
        """How many references a model has, those whose time is over included."""

    async def count_in(self, gallery: str) -> int:
        """How many references a gallery has, of all models, those whose time is over included."""

    async def log(self) -> list[LogEntry]:
        """Every write of the log, finished or not, by id."""

    async def log_page(self, after: bytes, limit: int) -> list[LogEntry]:
        """Committed writes in order of id, beginning after ``after``."""

    async def tombstones(self, after: str, limit: int) -> list[Tombstone]:
        """Ids of erased references, which do not come back, in order, beginning after ``after``."""

    async def erased(self, reference_ids: Sequence[str]) -> set[str]:
        """Those of these ids that have a tombstone."""

    async def prune(self, before_unix_ms: int, stones_unix_ms: int | None = None) -> None:
        """Forget finished writes and tombstones whose request expired before this time (visard_party.consistency.horizon).

        With ``stones_unix_ms`` only such tombstones as expired before that one.
        """

    async def begin_restoration(self) -> None:
        """Forget what an earlier restoration has left aside. What is held stays, until the whole of what is new is there."""

    async def restore(self, page: Page) -> None:
        """Keep a page of what the peers hold aside."""

    async def finish_restoration(self) -> None:
        """Put what was kept aside in the place of everything, at once; also after a crash in its midst.

        Attempts, requests seen and the log of who asked for what stay: peers cannot restore them.
        """

    async def remember(self, request_id: bytes, now_unix_ms: int, expires_unix_ms: int) -> bool:
        """Note that a request was seen; False if it was seen before. Expired ones are forgotten."""

    async def attempts(self, now: int) -> dict[bytes, int]:
        """The buckets of attempts that are not full (visard_party.budgets.budget): when each will be, in microseconds."""

    async def note_attempts(self, full_at: Mapping[bytes, int], now: int) -> None:
        """Keep these, durable on return, and forget those that are full."""

    async def granted(self, place: Place, subject: str, grantee: str) -> bool:
        """Whether a caller has a right to a subject, or to every subject of the place."""

    async def rules(self, gallery: str = "") -> list[Right]:
        """The rules of a gallery, or of all, by id: every right but those to change subjects."""

    async def rights(self, limit: int, after: str) -> list[Right]:
        """Rights in order of their ids, beginning after ``after``."""

    async def rights_by_ids(self, right_ids: Sequence[str]) -> list[Right]:
        """Those of these rights that there are, by id."""

    async def audit_head(self) -> Link:
        """The newest entry of the log of who asked for what, or what it was when all are pruned."""

    async def audit_append(self, entries: Sequence[tuple[Entry, bytes]]) -> None:
        """Keep entries with their hashes, in order and durable on return. The same again do nothing."""

    async def audit_page(self, after: int, limit: int) -> tuple[Link, list[tuple[Entry, bytes]]]:
        """Entries behind a sequence number, and the entry before them; of a pruned one that is the last pruned one."""

    async def audit_since(self, time_unix_ms: int) -> int:
        """The sequence number before the first entry of this time or later."""

    async def audit_prune(self, before_unix_ms: int) -> int:
        """Forget the entries before the first one of this time or later, but for the last one's hash; how many are left."""

    async def close(self) -> None:
        """Finish what is under way and close."""


async def restored(store: Store, page: Page) -> None:
    """Make a store hold this page and nothing else."""
    await store.begin_restoration()
    await store.restore(page)
    await store.finish_restoration()


async def all_rights(store: Store) -> list[Right]:
    """Every right, in order of id, read page by page; raises StoreError."""
    found: list[Right] = []
    while page := await store.rights(_PAGE, found[-1].right_id if found else ""):
        found += page
    return found


async def all_names(store: Store) -> list[Names]:
    """The public names of all rights and references, in parts that are no objects; raises StoreError."""
    rights = Names.of(right.name for right in await all_rights(store))
    return [rights, *await store.names_parts(Names.of)]


async def all_of(store: Store, model: str) -> list[Reference]:
    """Every reference of a model, in whatever gallery, by id, read page by page; raises StoreError."""
    found: list[Reference] = []
    while page := await store.model_page(model, found[-1].reference_id if found else "", _PAGE):
        found += page
    return found
