"""What a party keeps: references and models, who may do what, and writes to all of it. Plain values, the same in every store."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import NamedTuple

from visard_wire.chain import GENESIS
from visard_wire.digests import of_parts
from visard_wire.limits import DEFAULT_GALLERY
from visard_wire.secret import Secret
from visard_wire.v1 import common_pb2

NEVER = (1 << 63) - 1
_COUNTING = "!"  # what the names of places begin with where failures are counted


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

    @property
    def waiting(self) -> "Place":
        """Where references wait that are to be reviewed before they come here; no request names it."""
        return Place(self.model, waiting_room(self.gallery))

    @property
    def counting(self) -> "Place":
        """Where the counters of its subjects' failures are, as rows like references; no request names it."""
        return Place(self.model, counting_room(self.gallery))


def waiting_room(gallery: str) -> str:
    """The name of the place beside a gallery where references wait for a review: no gallery can have it."""
    return f"~{gallery}"


def counting_room(gallery: str) -> str:
    """The name of the place beside a gallery where counters of failed verifications are: no gallery can have it."""
    return f"{_COUNTING}{gallery}"


@dataclass(frozen=True)
class Reference:
    """One enrolled descriptor: what is public about it, and this party's share (little-endian words).

    ``version`` grows by one with every change; of what came from another deployment it begins at the import's time.
    ``expires_unix_ms`` 0 means never. ``metadata`` is the caller's, opaque. ``enrolled_by`` is the caller, as in
    "enroller/kiosk-7".
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
    def counts(self) -> bool:
        """Whether it is no reference, but a counter of its subject's failures."""
        return self.gallery.startswith(_COUNTING)

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

    ``EXIST`` is the right that a gallery has itself, from the request that makes it to the one that removes it; ``LOCK`` is
    another one of its own, whose ``grantee`` is a number: so many failed verifications in a row lock a subject there.
    """

    CHANGE = "change"
    ENROL = "enrol"
    VERIFY = "verify"
    SEARCH = "search"
    EXIST = "exist"
    LOCK = "lock"


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
    """Insert references and erase others, as one: to enrol, to replace, to delete. What is erased never comes back.

    ``beside`` are counters that are erased with them, which nobody counts among the references that a write names.
    """

    add: tuple[Reference, ...] = ()
    erase: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rename:
    """Give references to another subject, or to the same one in another gallery; without a name the gallery stays.

    ``beside`` are counters that go with them.
    """

    reference_ids: tuple[str, ...]
    subject: str
    updated_unix_ms: int
    gallery: str = ""
    beside: tuple[str, ...] = ()


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


def rows_digest(names: Sequence[Name]) -> bytes:
    """SHA-256 over the public names of references in order: equal at parties that hold the same rows."""
    rows = ((row.reference_id, row.subject, row.model, str(row.version), row.enrolled_by, row.gallery) for row in names)
    return of_parts(b"visard rows v2", (part.encode() for row in rows for part in row))
