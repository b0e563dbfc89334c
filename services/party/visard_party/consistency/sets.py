"""Do the parties hold the same? Order-free hashes of what is stored, and when a difference is real. Pure.

The hash of a set is the sum of its members' hashes mod 2^512: it does not depend on order, and an element can be added
without the others (M. Bellare, D. Micciancio, "A new paradigm for collision-free hashing", EUROCRYPT 1997). It is meant
against accidents, not against a party that lies.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
import numpy.typing as npt
from visard_wire.digests import sized

from visard_party.store.contents import LogEntry, Name, State
from visard_party.store.names import Names

HASH_BYTES = 64
LEAF_ROWS = 16  # an audit lists so few rows instead of splitting them further
_MODULUS = 1 << 8 * HASH_BYTES
_HEX = "0123456789abcdef"
_DIGITS = 3  # of an id, that say in which bucket it is: of a million, some 250 are in each


def element_hash(parts: Iterable[bytes]) -> int:
    """BLAKE2b over parts, each with its length."""
    hasher = hashlib.blake2b(digest_size=HASH_BYTES, person=b"visard set")
    for part in parts:
        hasher.update(sized(part))
    return int.from_bytes(hasher.digest(), "big")


def set_hash(hashes: Iterable[int]) -> bytes:
    """The hash of a set, from its members'."""
    return (sum(hashes) % _MODULUS).to_bytes(HASH_BYTES, "big")


def name_hash(name: Name) -> int:
    """The hash of a reference in a set of them: of its public name."""
    parts = (name.reference_id, name.subject, name.model, str(name.version), name.enrolled_by, name.gallery)
    return element_hash(part.encode() for part in parts)


@dataclass(frozen=True)
class Node:
    """The references whose ids begin with a prefix: how many, their hash, and themselves if they are few."""

    prefix: str
    count: int
    hash: bytes
    rows: tuple[Name, ...]


@dataclass(frozen=True)
class _Bucket:
    """The names whose ids begin alike, in order, and the sum of their hashes."""

    names: Names
    total: int

    @classmethod
    def of(cls, names: Sequence[Name]) -> "_Bucket":
        """These, in their order."""
        return cls(Names.of(names), sum(map(name_hash, names)))

    def updated(self, gone: npt.NDArray[np.bool_], fresh: "_Bucket") -> "_Bucket":
        """Without some, and with others that are not in it."""
        lost = sum(map(name_hash, self.names.chosen(gone)))
        names = Names.joined([self.names.chosen(~gone), fresh.names])
        return _Bucket(names.picked(names.order), self.total - lost + fresh.total)


_NOTHING = _Bucket.of(())


class Holdings:
    """What a party holds, hashed: its references and rights by id, and its committed writes. Kept up to date one by one.

    References lie in buckets by the first digits of their ids: a change copies one, and an audit hashes one.
    """

    def __init__(self, names: Sequence[Name], log: Sequence[LogEntry]) -> None:
        self._buckets: dict[str, _Bucket] = {}
        self._total = 0
        self._subjects: int | None = None  # until it is counted
        self._galleries = Counter[str]()
        self._written = {e.request_id: e.expires_unix_ms for e in log if e.state is State.COMMITTED}
        self._log_total = sum(map(_write_hash, self._written))
        self.note_pending(log)
        self.add(names)

    @classmethod
    def of(cls, names: Iterable[Sequence[Name]], log: Sequence[LogEntry]) -> "Holdings":
        """Of names that come in parts."""
        found = cls((), log)
        for part in names:
            found.add(part)
        return found

    @property
    def references(self) -> bytes:
        """The hash of all references and rights."""
        return set_hash([self._total])

    @property
    def counts(self) -> tuple[int, int]:
        """How many subjects and how many references are held; rights are neither. A subject counts in each of its galleries."""
        if self._subjects is None:
            people = [bucket.names.people()[bucket.names.versions > 0] for bucket in self._buckets.values()]
            self._subjects = len(np.unique(np.concatenate(people))) if people else 0
        return self._subjects, self._galleries.total()

    @property
    def galleries(self) -> Mapping[str, int]:
        """How many references each gallery has that has any."""
        return +self._galleries

    @property
    def writes(self) -> bytes:
        """The hash of all committed writes."""
        return set_hash([self._log_total])

    def note_pending(self, entries: Iterable[LogEntry]) -> None:
        """What is neither committed nor dropped now: how many of these, and when the first of their requests expires."""
        expires = [entry.expires_unix_ms for entry in entries if entry.state is State.PENDING]
        self.pending, self.pending_expires = len(expires), min(expires, default=0)

    def forget_writes(self, before_unix_ms: int) -> None:
        """Count no more the writes whose request expired before this time."""
        over = [request_id for request_id, expires in self._written.items() if expires < before_unix_ms]
        for request_id in over:
            del self._written[request_id]
            self._log_total -= _write_hash(request_id)

    def add(self, names: Sequence[Name]) -> None:
        """References and rights that are not there yet."""
        by_digits: dict[str, list[Name]] = {}
        for name in names:
            by_digits.setdefault(name.reference_id[:_DIGITS], []).append(name)
        for digits, some in by_digits.items():
            old = self._buckets.get(digits, _NOTHING)
            self._put(digits, old.updated(np.zeros(len(old.names), np.bool_), _Bucket.of(some)))
            self._count(some, 1)

    def _put(self, digits: str, bucket: _Bucket) -> None:
        self._total += bucket.total - self._buckets.get(digits, _NOTHING).total
        self._buckets[digits] = bucket
        if not bucket.names:
            del self._buckets[digits]

    def _count(self, names: Iterable[Name], sign: int) -> None:
        self._subjects = None
        for name in names:
            self._galleries[name.gallery] += sign * (not name.is_right)

    def update(self, touched: Iterable[str], present: Sequence[Name], writes: Mapping[bytes, int]) -> None:
        """Of the references that these new writes have touched only those that are present are left, as they are.

        ``writes``: ids, and when their requests expire.
        """
        by_digits: dict[str, list[str]] = {}
        for reference_id in touched:
            by_digits.setdefault(reference_id[:_DIGITS], []).append(reference_id)
        for digits, ids in by_digits.items():
            self._remove(digits, ids)
        self.add(present)
        fresh = {request_id: expires for request_id, expires in writes.items() if request_id not in self._written}
        self._written |= fresh
        self._log_total += sum(map(_write_hash, fresh))

    def _remove(self, digits: str, ids: Iterable[str]) -> None:
        bucket = self._buckets.get(digits, _NOTHING)
        gone = np.zeros(len(bucket.names), np.bool_)
        gone[[at for at in map(bucket.names.find, ids) if at is not None]] = True
        if gone.any():
            self._count(bucket.names.chosen(gone), -1)
            self._put(digits, bucket.updated(gone, _NOTHING))

    def node(self, prefix: str) -> Node:
        """The references below a prefix of hex digits."""
        if len(prefix) > _DIGITS:
            bucket = self._buckets.get(prefix[:_DIGITS], _NOTHING)
            names = [name for name in bucket.names if name.reference_id.startswith(prefix)]
            return Node(prefix, len(names), set_hash(map(name_hash, names)), _few(names))
        below = [bucket for digits, bucket in sorted(self._buckets.items()) if digits.startswith(prefix)]
        count = sum(len(bucket.names) for bucket in below)
        rows = chain.from_iterable(bucket.names for bucket in below) if count <= LEAF_ROWS else ()
        return Node(prefix, count, set_hash(bucket.total for bucket in below), tuple(rows))


def _few(names: Sequence[Name]) -> tuple[Name, ...]:
    """They, if they are few enough to be listed."""
    return tuple(names) if len(names) <= LEAF_ROWS else ()


def _write_hash(request_id: bytes) -> int:
    return element_hash([request_id])


def children(prefix: str) -> list[str]:
    """The sixteen prefixes that divide what is below one."""
    return [prefix + digit for digit in _HEX]


@dataclass(frozen=True)
class View:
    """What a party holds at one moment, as hashes that it tells its peers."""

    references: bytes
    writes: bytes
    pending: int
    horizon: int = 0
    pending_expires: int = 0  # the first of them

    def holds_as(self, other: "View") -> bool:
        """Whether both hold the same; what is pending at either may still come to either."""
        return (self.references, self.writes, self.horizon) == (other.references, other.writes, other.horizon)


@dataclass
class SetWatch:
    """When does a difference between two parties mean that they have diverged?

    Reports cross writes that are under way. So a difference counts only when both sides have stood still, with nothing
    pending, for ``patience`` comparisons in a row.
    """

    patience: int = 3
    _last: dict[int, tuple[View, View]] = field(default_factory=dict)
    _count: dict[int, int] = field(default_factory=dict)

    def compare(self, peer: int, own: View, other: View) -> bool:
        """Whether this party and a peer have diverged, now that the peer has sent its view."""
        same = own.holds_as(other)
        unsettled = own.pending > 0 or other.pending > 0 or own.horizon != other.horizon
        again = self._last.get(peer) == (own, other)
        self._count[peer] = 0 if same or unsettled else (self._count.get(peer, 0) + 1 if again else 1)
        self._last[peer] = (own, other)
        return self._count[peer] >= self.patience

    def forget(self, peer: int) -> None:
        """The peer is gone: what it said is old."""
        self._last.pop(peer, None)
        self._count.pop(peer, None)
