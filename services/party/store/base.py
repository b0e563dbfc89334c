"""What a party keeps, and the interface of every store.

Writes happen in two steps. ``stage`` makes a write durable but invisible; ``commit`` makes it visible, ``drop`` forgets
it. All three parties stage before any commits (services.party.runs), and after a crash they compare states
(services.party.recovery). Every backend passes tests/party/store.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from visard.secret import Secret


class State(IntEnum):
    """Where a write stands. The numbers are those of visard.v1.LogEntry.State."""

    RUNNING = 1
    PENDING = 2
    COMMITTED = 3
    DROPPED = 4
    UNKNOWN = 5


@dataclass(frozen=True)
class Reference:
    """One enrolled descriptor: its public names and this party's share (little-endian words)."""

    reference_id: str
    subject: str
    model: str
    version: int
    created_unix_ms: int
    descriptor: Secret


@dataclass(frozen=True)
class ModelRecord:
    """A published model: its public program (canonical JSON) and this party's share of the weights."""

    name: str
    program: bytes
    created_unix_ms: int
    weights: Secret


@dataclass(frozen=True)
class Enrol:
    """Insert references."""

    references: tuple[Reference, ...]


@dataclass(frozen=True)
class Delete:
    """Erase exactly these references of a subject, and remember that they are gone."""

    model: str
    subject: str
    reference_ids: tuple[str, ...]


@dataclass(frozen=True)
class Publish:
    """Add a model."""

    model: ModelRecord


Write = Enrol | Delete | Publish


@dataclass(frozen=True)
class SubjectCount:
    """A subject and how many references it has."""

    subject: str
    references: int


class Store(Protocol):
    """A party's durable state. Every method is bounded in time and raises StoreError when it cannot do its work."""

    async def stage(self, request_id: bytes, write: Write, digest: bytes) -> None:
        """Make a write durable, unseen by readers. The same id and digest again do nothing.

        Raises RequestConflict for another digest under the same id, or an id that was dropped.
        """

    async def commit(self, request_id: bytes) -> int:
        """Apply a staged write, once; how many references it added or erased. Raises RequestConflict if unknown."""

    async def drop(self, request_id: bytes) -> None:
        """Forget a staged write, and refuse its id from now on. Raises RequestConflict if it is committed."""

    async def states(self, request_ids: Sequence[bytes]) -> dict[bytes, State]:
        """PENDING, COMMITTED, DROPPED or UNKNOWN for each id."""

    async def pending(self) -> list[bytes]:
        """Ids of writes that are staged and neither committed nor dropped."""

    async def references(self, model: str, subject: str) -> list[Reference]:
        """A subject's references, by id."""

    async def gallery(self, model: str) -> list[Reference]:
        """All references of a model, by id: the same order at every party."""

    async def subjects(self, model: str, limit: int, after: str) -> list[SubjectCount]:
        """Subjects in order of name, beginning after ``after``."""

    async def counts(self) -> tuple[int, int]:
        """Subjects and references."""

    async def models(self) -> list[str]:
        """Names of the published models."""

    async def model(self, name: str) -> ModelRecord | None:
        """A published model."""

    async def remember(self, request_id: bytes, now_unix_ms: int, expires_unix_ms: int) -> bool:
        """Note that a request was seen; False if it was seen before. Expired ones are forgotten."""

    async def close(self) -> None:
        """Finish what is under way and close."""


def rows_digest(references: Sequence[Reference]) -> bytes:
    """SHA-256 over the public names of references in order: equal at parties that hold the same rows."""
    hasher = hashlib.sha256(b"visard rows v1")
    for row in references:
        for part in (row.reference_id, row.subject, row.model, str(row.version)):
            hasher.update(len(part.encode()).to_bytes(4, "big") + part.encode())
    return hasher.digest()
