"""Do the parties hold the same? Order-free hashes of what is stored, and when a difference is real. Pure.

The hash of a set is the sum of its members' hashes mod 2^512: it does not depend on order, and an element can be added
without the others (M. Bellare, D. Micciancio, "A new paradigm for collision-free hashing", EUROCRYPT 1997). It is meant
against accidents, not against a party that lies.
"""

import hashlib
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from visard_wire.digests import sized

from visard_party.store.contents import LogEntry, Name, State

HASH_BYTES = 64
LEAF_ROWS = 16  # an audit lists so few rows instead of splitting them further
_MODULUS = 1 << 8 * HASH_BYTES
_DIGITS = "0123456789abcdef"


def element_hash(parts: Iterable[bytes]) -> int:
    """BLAKE2b over parts, each with its length."""
    hasher = hashlib.blake2b(digest_size=HASH_BYTES, person=b"visard set")
    for part in parts:
        hasher.update(sized(part))
    return int.from_bytes(hasher.digest(), "big")


def set_hash(hashes: Iterable[int]) -> bytes:
    """The hash of a set, from its members'."""
    return (sum(hashes) % _MODULUS).to_bytes(HASH_BYTES, "big")


@dataclass(frozen=True)
class Node:
    """The references whose ids begin with a prefix: how many, their hash, and themselves if they are few."""

    prefix: str
    count: int
    hash: bytes
    rows: tuple[Name, ...]


class Holdings:
    """What a party holds, hashed: its references and rights by id, and its committed writes. Kept up to date one by one."""

    def __init__(self, names: Sequence[Name], log: Sequence[LogEntry]) -> None:
        self._names = sorted(names, key=reference_id_of)
        self._hashes = [name_hash(name) for name in self._names]
        self._total = sum(self._hashes)
        self._subjects = Counter(_subject(name) for name in self._names if not name.is_right)
        self._galleries = Counter(name.gallery for name in self._names if not name.is_right)
        self._written = {e.request_id: e.expires_unix_ms for e in log if e.state is State.COMMITTED}
        self._log_total = sum(map(_write_hash, self._written))
        self.note_pending(log)

    @property
    def references(self) -> bytes:
        """The hash of all references and rights."""
        return set_hash([self._total])

    @property
    def counts(self) -> tuple[int, int]:
        """How many subjects and how many references are held; rights are neither. A subject counts in each of its galleries."""
        return len(self._subjects), self._subjects.total()

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

    def update(self, touched: Iterable[str], present: Iterable[Name], writes: Mapping[bytes, int]) -> None:
        """Of the references that these new writes have touched only those that are present are left, as they are.

        ``writes``: ids, and when their requests expire.
        """
        for reference_id in touched:
            self._remove(reference_id)
        for name in present:
            at = bisect_left(self._names, name.reference_id, key=reference_id_of)
            self._names.insert(at, name)
            self._hashes.insert(at, name_hash(name))
            self._total += self._hashes[at]
            if not name.is_right:
                self._subjects[_subject(name)] += 1
                self._galleries[name.gallery] += 1
        fresh = {request_id: expires for request_id, expires in writes.items() if request_id not in self._written}
        self._written |= fresh
        self._log_total += sum(map(_write_hash, fresh))

    def _remove(self, reference_id: str) -> None:
        at = bisect_left(self._names, reference_id, key=reference_id_of)
        if at < len(self._names) and self._names[at].reference_id == reference_id:
            name = self._names.pop(at)
            self._total -= self._hashes.pop(at)
            if name.is_right:
                return
            self._galleries[name.gallery] -= 1
            self._subjects[_subject(name)] -= 1
            if not self._subjects[_subject(name)]:
                del self._subjects[_subject(name)]

    def node(self, prefix: str) -> Node:
        """The references below a prefix of hex digits."""
        first = bisect_left(self._names, prefix, key=reference_id_of)
        last = bisect_left(self._names, prefix + "g", key=reference_id_of)
        rows = tuple(self._names[first:last]) if last - first <= LEAF_ROWS else ()
        return Node(prefix, last - first, set_hash(self._hashes[first:last]), rows)


def _subject(name: Name) -> tuple[str, str]:
    """Who it is: a name is another subject's in another gallery."""
    return name.gallery, name.subject


def name_hash(name: Name) -> int:
    """The hash of a reference in a set of them: of its public name."""
    parts = (name.reference_id, name.subject, name.model, str(name.version), name.enrolled_by, name.gallery)
    return element_hash(part.encode() for part in parts)


def _write_hash(request_id: bytes) -> int:
    return element_hash([request_id])


def reference_id_of(name: Name) -> str:
    """The key by which rows are sorted at every party: their id."""
    return name.reference_id


def children(prefix: str) -> list[str]:
    """The sixteen prefixes that divide what is below one."""
    return [prefix + digit for digit in _DIGITS]


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
