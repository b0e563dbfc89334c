"""What a registrar knows: who is invited, what it has signed, and whose keys it renews no more. A file of SQLite.

It is read and written by the service and by the commands beside it. Whatever is written is on disk before anything is answered,
so an invitation that was used stays used, whatever happens then. Of a secret there is a hash, times are milliseconds since 1970.
"""

import base64
import hashlib
import hmac
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from visard.errors import InvalidRequest, PermissionDenied, Unavailable

ID_BYTES, SECRET_BYTES = 8, 32
KEPT_MS = 24 * 3600 * 1000  # for how long it is known that an invitation is over, or was used
MAX_OPEN = 100_000  # invitations
_BUSY_SECONDS = 5.0
_TABLES = """
CREATE TABLE IF NOT EXISTS invitations (
  id BLOB PRIMARY KEY, secret BLOB NOT NULL, role TEXT NOT NULL, until INTEGER NOT NULL, holder BLOB
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS signed (
  serial TEXT PRIMARY KEY, role TEXT NOT NULL, at INTEGER NOT NULL, until INTEGER NOT NULL, revoked INTEGER NOT NULL,
  invitation BLOB NOT NULL, before TEXT NOT NULL, passed INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Entry:
    """An invitation that is open, or a certificate that has not ended: its role, and until when."""

    role: str
    until_unix_ms: int
    serial: str = ""  # of a certificate, in hex
    revoked: bool = False


class Copied(Exception):
    """Two have the same key: what the registrar's port says of it is a refusal, and what its log says a warning."""


class Book:
    """The file; each call opens it, so that threads and processes may share it. Raises Unavailable where it cannot be used."""

    def __init__(self, path: Path) -> None:
        self._path = path
        if not path.exists():
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
        with self._open() as file:
            file.executescript(_TABLES)

    def invite(self, role: str, now: int, until: int) -> str:
        """A fresh secret for a role, which is what stands in its link; raises InvalidRequest where too many are open."""
        name, secret = os.urandom(ID_BYTES), os.urandom(SECRET_BYTES)
        with self._writing() as file:
            file.execute("DELETE FROM invitations WHERE until < ?", (now - KEPT_MS,))
            file.execute("DELETE FROM signed WHERE until < ?", (now,))
            if file.execute("SELECT count(*) FROM invitations").fetchone()[0] >= MAX_OPEN:
                raise InvalidRequest(f"{MAX_OPEN} invitations of the last day are the most")
            file.execute("INSERT INTO invitations VALUES (?, ?, ?, ?, NULL)", (name, _hash(secret), role, until))
        return f"{_text(name)}.{_text(secret)}"

    def use(self, invitation: str, holder: bytes, now: int) -> str:
        """Take an invitation for the one who holds a key (SHA-256 of it); the role. Raises PermissionDenied, and says why.

        The same key may come again until the time is over: its answer may have been lost.
        """
        name, secret = _parsed(invitation)
        with self._writing() as file:
            row = file.execute("SELECT secret, role, until, holder FROM invitations WHERE id = ?", (name,)).fetchone()
            known = hmac.compare_digest(row[0] if row else bytes(32), _hash(secret))
            if row is None or not known:
                raise PermissionDenied("no such invitation: ask for a new one")
            _, role, until, before = row
            if until < now:
                raise PermissionDenied("the invitation's time is over: ask for a new one")
            if before is not None and not hmac.compare_digest(before, holder):
                raise PermissionDenied("the invitation was used already: each is for one key; ask for a new one")
            file.execute("UPDATE invitations SET holder = ? WHERE id = ?", (holder, name))
        return str(role)

    def enrolled(self, serial: int, role: str, now: int, until: int, invitation: str, holder: bytes) -> None:
        """Write down what was signed by invitation. Raises PermissionDenied where that was revoked since its holder used it."""
        name, _ = _parsed(invitation)
        with self._writing() as file:
            if not file.execute("SELECT 1 FROM invitations WHERE id = ? AND holder = ?", (name, holder)).fetchone():
                raise PermissionDenied("no such invitation: ask for a new one")
            row = (f"{serial:x}", role, now, until, name)
            file.execute("INSERT INTO signed VALUES (?, ?, ?, ?, 0, ?, '', 0)", row)

    def renewed(self, serial: int, role: str, now: int, until: int, before: int) -> None:
        """Write down what was signed for the holder of a certificate, whose serial is ``before``.

        Whoever asks with it has got it: of what came of the same invitation all is passed by but what that one leads to. Whoever
        asks with one that was passed by has a copy, or somebody else has: then all of that invitation are renewed no more. Raises
        Copied there, and PermissionDenied where the one before was revoked, or was not signed here.
        """
        old, row = f"{before:x}", "SELECT revoked, passed, invitation FROM signed WHERE serial = ?"
        with self._writing() as file:
            revoked, passed, invited = file.execute(row, (old,)).fetchone() or (1, 0, b"")
            if revoked:
                raise PermissionDenied("this key is not renewed any more: ask for an invitation")
            if passed:
                file.execute("UPDATE signed SET revoked = 1 WHERE invitation = ?", (invited,))
            else:
                others = "UPDATE signed SET passed = 1 WHERE invitation = ? AND serial <> ? AND before <> ?"
                file.execute(others, (invited, old, old))
                values = (f"{serial:x}", role, now, until, invited, old)
                file.execute("INSERT INTO signed VALUES (?, ?, ?, ?, 0, ?, ?, 0)", values)
        if passed:  # said when it is on disk
            raise Copied("this key was renewed twice, so it was copied: it is renewed no more; ask for an invitation")

    def revoke(self, role: str, now: int) -> tuple[int, int]:
        """Renew none of the keys that this role and name have now, and let none of their invitations be used.

        How many certificates are valid still, until they end, and how many invitations there were. Whoever is invited anew has a
        key that is renewed again.
        """
        with self._writing() as file:
            invitations = file.execute("DELETE FROM invitations WHERE role = ?", (role,)).rowcount
            changed = file.execute("UPDATE signed SET revoked = 1 WHERE role = ? AND until >= ?", (role, now))
            return changed.rowcount, invitations

    def check(self) -> None:
        """Raise Unavailable where the file cannot be read."""
        with self._open() as file:
            file.execute("SELECT 1 FROM invitations LIMIT 1").fetchone()

    def open(self, now: int) -> list[Entry]:
        """Invitations that can be used."""
        with self._open() as file:
            rows = file.execute(
                "SELECT role, until FROM invitations WHERE holder IS NULL AND until >= ? ORDER BY role", (now,)
            )
            return [Entry(role, until) for role, until in rows]

    def valid(self, now: int) -> list[Entry]:
        """Certificates that have not ended."""
        with self._open() as file:
            rows = file.execute(
                "SELECT role, until, serial, revoked FROM signed WHERE until >= ? ORDER BY role, until", (now,)
            )
            return [Entry(role, until, serial, bool(revoked)) for role, until, serial, revoked in rows]

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None)) as file:
                file.execute("PRAGMA synchronous = FULL")
                yield file
        except sqlite3.Error as error:
            raise Unavailable(f"{self._path}: {error}") from error

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction, durable when the block has ended."""
        with self._open() as file:
            file.execute("BEGIN IMMEDIATE")
            try:
                yield file
            except BaseException:
                file.execute("ROLLBACK")
                raise
            file.execute("COMMIT")


def _hash(secret: bytes) -> bytes:
    return hashlib.sha256(b"visard/v1/invitation" + secret).digest()


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _parsed(invitation: str) -> tuple[bytes, bytes]:
    name, _, secret = invitation.partition(".")
    try:
        found = tuple(base64.b64decode(f"{one}=", b"-_", validate=True) for one in (name, secret))
    except ValueError as error:
        raise PermissionDenied("no such invitation: ask for a new one") from error
    if tuple(map(len, found)) != (ID_BYTES, SECRET_BYTES):
        raise PermissionDenied("no such invitation: ask for a new one")
    return found[0], found[1]
