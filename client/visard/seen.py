"""The serials of the parties' sealing keys that a client has seen: an older one, however well signed, is an old key.

In memory, and where a file is named also there, so that a program that runs for one request remembers as well. Programs may
share a file: whoever changes it holds a lock, writes it as a whole, and never lowers a serial.
"""

import fcntl
import json
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from visard.errors import InvalidRequest, Unavailable, UntrustedKey

LOCK_SECONDS = 5.0
_PAUSE = 0.01


class SeenSerials:
    """The highest serial of each party."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._highest: dict[int, int] = {}
        self._lock = threading.Lock()

    def admit(self, serials: Mapping[int, int]) -> None:
        """Remember serials, by party; raises UntrustedKey, and remembers none, where one is older than what was seen.

        Raises InvalidRequest for a file that cannot be used, Unavailable when others hold its lock for too long.
        """
        with self._lock:
            if self._path is None:
                self._highest = _newest(self._highest, serials)
            else:
                self._admit_in(self._path, serials)

    def _admit_in(self, path: Path, serials: Mapping[int, int]) -> None:
        try:
            with _locked(path):
                before = _read(path)
                known = {p: max(before.get(p, 0), self._highest.get(p, 0)) for p in before | self._highest}
                self._highest = _newest(known, serials)
                if self._highest != before:
                    _write(path, self._highest)
        except OSError as error:
            raise InvalidRequest(f"{path}: the serials seen cannot be kept there ({error})") from error


def _newest(known: Mapping[int, int], serials: Mapping[int, int]) -> dict[int, int]:
    """What is known afterwards; raises UntrustedKey."""
    for party, serial in serials.items():
        if serial < known.get(party, 0):
            raise UntrustedKey(f"the sealing key offered for party {party} is older than one that was seen before")
    return {**known, **serials}


def _read(path: Path) -> dict[int, int]:
    try:
        return {int(party): int(serial) for party, serial in json.loads(path.read_bytes()).items()}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, AttributeError) as error:
        raise InvalidRequest(f"{path} is damaged: remove it, and the serials that come next are the first") from error


def _write(path: Path, serials: Mapping[int, int]) -> None:
    fresh = path.with_name(f".{path.name}.new")  # ours alone: we hold the lock
    with fresh.open("w") as file:
        json.dump(serials, file)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Alone with a file, among all programs that use this; the lock ends with its holder, whatever becomes of it."""
    descriptor = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _lock(descriptor, path)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, path: Path) -> None:
    end = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError as error:
            if time.monotonic() > end:
                raise Unavailable(f"{path} is held by another program") from error
        time.sleep(_PAUSE)
