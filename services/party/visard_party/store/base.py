"""What a party keeps, and the interface of every store.

Writes happen in two steps. ``stage`` makes a write durable but invisible; ``commit`` makes it visible, ``drop`` forgets
it. All three parties stage before any commits (visard_party.consistency.writes), and after a crash they compare states
(visard_party.consistency.recovery). Every backend passes tests/party/store.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import NamedTuple, Protocol

from visard_wire.chain import GENESIS, Entry
from visard_wire.digests import of_parts
from visard_wire.limits import DEFAULT_GALLERY
from visard_wire.secret import Secret
from visard_wire.v1 import common_pb2

_PAGE = 1000  # rights or references read at a time

NEVER = (1 << 63) - 1


class State(IntEnum):
    """Where a write stands. The numbers are those of visard.v1.LogEntry.State."""

    RUNNING = 1
    PENDING = 2
    COMMITTED = 3
    DROPPED = 4
    UNKNOWN = 5


class Place(NamedTuple):
    """Where references are: those of one model in one gallery. Subjects and searches have nothing to do with other places."""

    model: str
    gallery: str = DEFAULT_GALLERY

    @classmethod
    def of(cls, request: common_pb2.Request) -> "Place":
        """The place that a request is about."""
        return cls(request.model, request.gallery or DEFAULT_GALLERY)


@dataclass(frozen=True)
class Reference:
    """One enrolled descriptor: what is public about it, and this party's share (little-endian words).

    ``version`` grows by one with every change. ``expires_unix_ms`` 0 means never. ``metadata`` is the caller's, opaque.
    ``enrolled_by`` is the caller, as in "enroller/kiosk-7".
    """

    reference_id: str
    subject: str
    model: str
    version: int
    created_unix_ms: int
    updated_unix_ms: int
    expires_unix_ms: int
    metadata: bytes
    descriptor: Secret
    enrolled_by: str = ""
    gallery: str = DEFAULT_GALLERY

    def live(self, at_unix_ms: int) -> bool:
        """Whether its time is not over then."""
        return self.expires_unix_ms == 0 or self.expires_unix_ms > at_unix_ms

    @property
    def name(self) -> "Name":
        """Its public name."""
        return Name(self.reference_id, self.subject, self.model, self.version, self.enrolled_by, self.gallery)

    @property
    def place(self) -> Place:
        """Where it is."""
        return Place(self.model, self.gallery)


@dataclass(frozen=True)
class Name:
    """The public name of a reference, or of a right: what the parties compare.

    A right has version 0, which no reference has, and ``enrolled_by`` is whose it is.
    """

    reference_id: str
    subject: str
    model: str
    version: int
    enrolled_by: str = ""
    gallery: str = DEFAULT_GALLERY

    @property
    def is_right(self) -> bool:
        """Whether this names no reference."""
        return self.version == 0


class May(StrEnum):
    """What a right allows: to change what others have enrolled, or by a gallery's rules to use the gallery.

    ``EXIST`` is the right that a gallery has itself, from the request that makes it to the one that removes it.
    """

    CHANGE = "change"
    ENROL = "enrol"
    VERIFY = "verify"
    SEARCH = "search"
    EXIST = "exist"


@dataclass(frozen=True)
class Right:
    """That a caller may do something in a gallery.

    ``may`` CHANGE: change a subject that others have enrolled; with an empty subject, every subject of the model. Others are a
    gallery's: without model and subject, and ``grantee`` is a pattern of callers (visard_party.operations.galleries).
    """

    model: str
    subject: str
    grantee: str
    gallery: str = DEFAULT_GALLERY
    may: str = May.CHANGE

    @property
    def right_id(self) -> str:
        """32 hex digits, the same at all parties."""
        parts = "\0".join((self.model, self.subject, self.grantee, self.gallery, self.may))
        return hashlib.sha256(b"visard right v2" + parts.encode()).hexdigest()[:32]

    @property
    def name(self) -> Name:
        """What the parties compare."""
        return Name(self.right_id, self.subject, self.model, 0, self.grantee, self.gallery)


@dataclass(frozen=True)
class ModelRecord:
    """A published model: its public program (canonical JSON) and this party's share of the weights."""

    name: str
    program: bytes
    version: int
    created_unix_ms: int
    weights: Secret


@dataclass(frozen=True)
class Change:
    """Insert references and erase others, as one: to enrol, to replace, to delete. What is erased never comes back."""

    add: tuple[Reference, ...] = ()
    erase: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rename:
    """Give references to another subject."""

    reference_ids: tuple[str, ...]
    subject: str
    updated_unix_ms: int


@dataclass(frozen=True)
class Publish:
    """Publish a model under a name that is free."""

    model: ModelRecord


@dataclass(frozen=True)
class Calibrate:
    """Give a model, by its name, another program (canonical JSON) for the same weights: other operating points."""

    name: str
    program: bytes


@dataclass(frozen=True)
class Withdraw:
    """Remove a model by its name; its references are gone before."""

    name: str


@dataclass(frozen=True)
class Renew:
    """New shares for references and for models' weights, by id and by name; their versions grow."""

    descriptors: tuple[tuple[str, Secret], ...]
    weights: tuple[tuple[str, Secret], ...]
    updated_unix_ms: int


@dataclass(frozen=True)
class Rule:
    """Give rights and take others back, by their ids, as one. None is in both."""

    give: tuple[Right, ...] = ()
    take: tuple[str, ...] = ()


Write = Change | Rename | Publish | Calibrate | Withdraw | Renew | Rule


@dataclass(frozen=True)
class LogEntry:
    """A write in the log, finished or not: its kind, the digest of the request, and how many references it changes.

    ``expires_unix_ms``: after this time no party starts the request, so that it may be forgotten some time later.
    """

    request_id: bytes
    kind: str
    digest: bytes
    state: State
    changes: int
    expires_unix_ms: int = NEVER


@dataclass(frozen=True)
class Tombstone:
    """The id of an erased reference, and when the request that erased it expired."""

    reference_id: str
    expires_unix_ms: int = NEVER


@dataclass(frozen=True)
class Committed:
    """What a commit did: how many references the write names, and which references and models this call changed.

    A right counts among the references, by its id. None where they are too many to name, or where effects of other writes
    were made good with it.
    """

    changes: int
    references: frozenset[str] | None = frozenset()
    models: frozenset[str] | None = frozenset()
    expires_unix_ms: int = NEVER  # of the request


@dataclass(frozen=True)
class Link:
    """Where a chain of entries stands: the newest one's number (0 for none), time and hash."""

    sequence: int = 0
    time_unix_ms: int = 0
    hash: bytes = GENESIS


@dataclass(frozen=True)
class SubjectCount:
    """A subject and how many references it has."""

    subject: str
    references: int


@dataclass(frozen=True)
class Page:
    """A part of what the peers hold, for a store that is restored."""

    references: Sequence[Reference] = ()
    models: Sequence[ModelRecord] = ()
    writes: Sequence[LogEntry] = ()
    tombstones: Sequence[Tombstone] = ()
    rights: Sequence[Right] = ()


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

    async def gallery(self, place: Place) -> list[Reference]:
        """All references of a place, by id: the same order at every party."""

    async def by_ids(self, reference_ids: Sequence[str]) -> list[Reference]:
        """Those of these references that are there, by id, of whatever model."""

    async def names(self) -> list[Name]:
        """The public names of all references, by id."""

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

    async def prune(self, before_unix_ms: int) -> None:
        """Forget finished writes and tombstones whose request expired before this time (visard_party.consistency.horizon)."""

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


def changes_of(write: Write) -> int:
    """How many references a write names."""
    match write:
        case Change():
            return len(write.add) + len(write.erase)
        case Rename():
            return len(write.reference_ids)
        case Renew():
            return len(write.descriptors)
    return 0


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


async def all_of(store: Store, model: str) -> list[Reference]:
    """Every reference of a model, in whatever gallery, by id, read page by page; raises StoreError."""
    found: list[Reference] = []
    while page := await store.model_page(model, found[-1].reference_id if found else "", _PAGE):
        found += page
    return found


def rows_digest(names: Sequence[Name]) -> bytes:
    """SHA-256 over the public names of references in order: equal at parties that hold the same rows."""
    rows = ((row.reference_id, row.subject, row.model, str(row.version), row.enrolled_by, row.gallery) for row in names)
    return of_parts(b"visard rows v2", (part.encode() for row in rows for part in row))
