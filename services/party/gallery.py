"""What a probe is compared with: references as one matrix of shares, kept in memory for as long as nothing changes."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from services.mpc.field import Elements, Field
from services.party.store.base import Name, Reference, Store, rows_digest
from services.party.writes import Writes


@dataclass(frozen=True)
class Rows:
    """N references of one model, by id: public names, times of expiry (N,), this party's descriptor shares (N, D)."""

    names: tuple[Name, ...] = ()
    expires: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    shares: Elements = field(default_factory=lambda: np.zeros((0, 0), np.uint32), repr=False)

    @classmethod
    def of(cls, references: Sequence[Reference], field_: Field) -> "Rows":
        """Rows of stored references."""
        raw = b"".join(row.descriptor.reveal() for row in references)
        shares = np.frombuffer(raw, field_.dtype).reshape(len(references), -1 if references else 0)
        expires = np.array([row.expires_unix_ms for row in references], np.int64)
        return cls(tuple(row.name for row in references), expires, shares)

    def __len__(self) -> int:
        return len(self.names)

    def live(self, at_unix_ms: int) -> "Rows":
        """Those whose time is not over then."""
        return self._where((self.expires == 0) | (self.expires > at_unix_ms))

    def without(self, subject: str) -> "Rows":
        """Those of all other subjects."""
        return self._where(np.array([name.subject != subject for name in self.names], bool))

    def _where(self, chosen: npt.NDArray[np.bool_]) -> "Rows":
        if chosen.all():
            return self  # with the digest that it may know already
        names = tuple(self.names[k] for k in np.flatnonzero(chosen))
        return Rows(names, self.expires[chosen], self.shares[chosen])

    @property
    def subjects(self) -> list[str]:
        """Whose reference each row is."""
        return [name.subject for name in self.names]

    @cached_property
    def digest(self) -> bytes:
        """Of the public names."""
        return rows_digest(self.names)


class Galleries:
    """All references of each model; read again after every write."""

    def __init__(self, store: Store, writes: Writes) -> None:
        self._store = store
        self._writes = writes
        self._kept: dict[str, tuple[int, Rows]] = {}
        self._lock = asyncio.Lock()

    async def get(self, model: str, field_: Field) -> Rows:
        """A model's references now."""
        async with self._lock:
            revision = self._writes.revision  # before reading: what is written meanwhile makes the next call read again
            kept = self._kept.get(model)
            if kept is not None and kept[0] == revision:
                return kept[1]
            self._kept.pop(model, None)
            rows = Rows.of(await self._store.gallery(model), field_)
            self._kept[model] = revision, rows
            return rows
