"""What a probe is compared with: references as one matrix of shares, kept in memory and brought up to date after writes."""

import asyncio
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt
import structlog
from visard_common.background import Background
from visard_common.memory import give_back_small_pieces
from visard_engine.field import Field, Words
from visard_engine.stack import Stack
from visard_wire.digests import of_row_table

from visard_party.consistency.changes import Changes
from visard_party.consistency.sets import name_hash, set_hash
from visard_party.errors import StoreError
from visard_party.spread import WHOLE, Part
from visard_party.store.base import Store
from visard_party.store.contents import Place, Reference
from visard_party.store.names import Names

TIDY_SECONDS = 60.0

log = structlog.get_logger()


@dataclass(frozen=True)
class Rows:
    """N references of one place, by id: public names, times of expiry (N,), this party's descriptor shares (N, D).

    ``total`` is the sum of the names' hashes.
    """

    names: Names = field(default_factory=lambda: Names.of(()))
    expires: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    shares: Stack = field(default_factory=lambda: Stack.of([np.zeros((0, 0), np.uint32)]), repr=False)
    total: int = 0

    @classmethod
    def of(cls, references: Sequence[Reference], field_: Field) -> "Rows":
        """The rows of stored references, in the order given; shares as words of the field."""
        raw = b"".join(row.descriptor.reveal() for row in references)
        # a copy, as fresh arrays are: in pages of their own, and writable like those that kernels are compiled for
        shares = np.frombuffer(raw, field_.dtype).reshape(len(references), -1 if references else 0).copy()
        expires = np.array([row.expires_unix_ms for row in references], np.int64)
        names = [row.name for row in references]
        return cls(Names.of(names), expires, Stack.of([shares]), sum(map(name_hash, names)))

    def __len__(self) -> int:
        return len(self.names)

    def live(self, at_unix_ms: int) -> "Rows":
        """Those whose time is not over then."""
        return self._where((self.expires == 0) | (self.expires > at_unix_ms))

    def without(self, subject: str) -> "Rows":
        """Those of all subjects but one."""
        return self._where(~self.names.of_subject(subject))

    def _where(self, chosen: npt.NDArray[np.bool_]) -> "Rows":
        if chosen.all():
            return self
        others = sum(map(name_hash, self.names.chosen(~chosen)))
        return Rows(self.names.chosen(chosen), self.expires[chosen], self.shares.where(chosen), self.total - others)

    def updated(self, touched: Collection[str], present: "Rows") -> "Rows":
        """These rows after a change: of the touched references only those that are present are left, as they are there.

        Of the shares it copies the pieces that change; runs that compare with the old rows keep them.
        """
        edits = list(self._edits(touched, present))
        names, expires, at = list[Names](), list[npt.NDArray[np.int64]](), 0
        for start, stop, fresh in edits:
            names += [self.names[at:start], fresh.names]
            expires += [self.expires[at:start], fresh.expires]
            at = stop
        filled = [piece for piece in [*names, self.names[at:]] if piece]
        if not filled:
            return Rows()
        gone = sum(name_hash(self.names[k]) for start, stop, _ in edits for k in range(start, stop))
        return Rows(
            Names.joined(filled),
            np.concatenate([*expires, self.expires[at:]]),
            self.shares.edited([(start, stop, np.asarray(fresh.shares)) for start, stop, fresh in edits]),
            self.total - gone + present.total,
        )

    def _edits(self, touched: Collection[str], present: "Rows") -> Iterator[tuple[int, int, "Rows"]]:
        """From where to where a touched reference lies, if it is there, and what comes in its place, if it is present."""
        start = 0
        for reference_id in sorted(touched):
            start = self.names.position(reference_id, start)
            stop = start if self.names.find(reference_id) is None else start + 1
            fresh = present.names.find(reference_id)
            yield start, stop, Rows() if fresh is None else present._row(fresh)
            start = stop

    def _row(self, at: int) -> "Rows":
        """One of these; its total is not known."""
        part = slice(at, at + 1)
        return Rows(self.names[part], self.expires[part], Stack.of(self.shares.parts(part)))

    @property
    def labels(self) -> Words:
        """The names as words (N, W), with room for the longest (visard_wire.cells)."""
        return self.names.labels

    @property
    def room(self) -> int:
        """Bytes for a subject in a label."""
        return self.names.room

    @property
    def subjects(self) -> list[str]:
        """Whose reference each row is."""
        return self.names.subjects

    @property
    def table_digest(self) -> bytes:
        """Of the subjects in their order, 32 bytes: what a caller holds party 0's table against."""
        return of_row_table(self.subjects)

    @property
    def digest(self) -> bytes:
        """Of the public names, whose order follows from themselves."""
        return set_hash([self.total])


async def read(store: Store, place: Place, field_: Field, part: Part = WHOLE) -> Rows:
    """All rows of a place, or those of a part, which lie in memory once while they are read. Raises StoreError."""
    parts = await store.gallery_parts(place, lambda references: Rows.of(references, field_), part)
    rows = await asyncio.to_thread(_stacked, parts) if parts else Rows()
    give_back_small_pieces()
    return rows


def _stacked(parts: Sequence[Rows]) -> Rows:
    """One after the other."""
    names, expires = Names.joined([part.names for part in parts]), np.concatenate([part.expires for part in parts])
    shares = Stack.of([piece for part in parts for piece in part.shares.pieces])
    return Rows(names, expires, shares, sum(part.total for part in parts))


@dataclass
class _Kept:
    """A place's rows, and what has changed since."""

    changes: Changes
    field: Field
    rows: Rows = Rows()


class Writings(Protocol):
    """Who says what has been written: the party's writes, and at a worker what the party tells of them."""

    def watch(self) -> Changes:
        """What is written from now on; at first, everything."""

    def unwatch(self, changes: Changes) -> None:
        """Note nothing more in these changes."""


class Galleries:
    """All references of each place, or one part of them: read once, then brought up to date."""

    def __init__(self, store: Store, writes: Writings, part: Part = WHOLE) -> None:
        self._store = store
        self._writes = writes
        self._part = part
        self._kept: dict[Place, _Kept] = {}
        self._lock = asyncio.Lock()

    async def get(self, place: Place, field_: Field) -> Rows:
        """A place's references as they are stored now: what was read before is brought up to date. Raises StoreError."""
        async with self._lock:
            kept = self._kept.get(place)
            if kept is None:
                kept = self._kept[place] = _Kept(self._writes.watch(), field_)
            taken = kept.changes.take()  # before reading: what is written meanwhile is for the next call
            try:
                kept.rows = await self._current(place, field_, kept.rows, taken)
            except BaseException:
                kept.changes.give_back(taken)
                raise
            return kept.rows

    @property
    def references(self) -> int:
        """How many are in memory, of all places."""
        return sum(len(kept.rows) for kept in self._kept.values())

    def close(self) -> None:
        """Hear of no further write."""
        for kept in self._kept.values():
            self._writes.unwatch(kept.changes)

    def keep(self, work: Background) -> None:
        """Begin what is done by itself: looking."""
        work.every(TIDY_SECONDS, "galleries", self.look)

    async def look(self) -> None:
        """What is erased leaves the memory within ``TIDY_SECONDS``, also when nobody asks."""
        try:
            await self.tidy()
        except StoreError as error:
            log.warning("galleries wait for the store", reason=str(error))

    async def tidy(self) -> None:
        """Bring every gallery up to date, and let go of those that are empty or whose models were withdrawn."""
        published = set(await self._store.models())
        for place, kept in list(self._kept.items()):
            if place.model in published and await self.get(place, kept.field):
                continue
            async with self._lock:
                self._kept.pop(place, None)
            self._writes.unwatch(kept.changes)

    async def _current(self, place: Place, field_: Field, rows: Rows, taken: Changes) -> Rows:
        if taken.everything:
            return await read(self._store, place, field_, self._part)
        touched = {reference_id for reference_id in taken.references if reference_id in self._part}
        if not touched:
            return rows
        found = await self._store.by_ids(sorted(touched))
        own = [row for row in found if row.place == place]
        if not own and all(rows.names.find(reference_id) is None for reference_id in touched):
            return rows  # what has changed is another place's
        return await asyncio.to_thread(lambda: rows.updated(touched, Rows.of(own, field_)))
