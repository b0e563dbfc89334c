"""Sealing keys on disk: one file a key, SERIAL.key, readable by the party alone, written as a whole, overwritten before it goes.

Overwriting reaches what a file system keeps in place. A copy that it, a disk's firmware, or a backup keeps elsewhere it does
not reach (docs/threat-model.md).
"""

import os
import struct
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import structlog
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from visard_common.files import sync_directory, write_durably

from visard_party.intake.keyring import Term

_FORMAT = struct.Struct(">8sQQQ32s")
_MAGIC = b"visards1"

log = structlog.get_logger()


@dataclass(frozen=True)
class SealingKey:
    """An X25519 key and its term."""

    term: Term
    private: X25519PrivateKey
    public: bytes

    @classmethod
    def of(cls, term: Term, private: X25519PrivateKey) -> "SealingKey":
        """With its public half, 32 bytes."""
        return cls(term, private, private.public_key().public_bytes_raw())


class KeyFiles:
    """A directory of keys, made when it is missing. Everything raises OSError."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        sync_directory(directory.parent)

    def read(self) -> list[SealingKey]:
        """The keys there are; a file that is none is left out."""
        return [key for path in sorted(self._directory.glob("*.key")) if (key := self._read(path)) is not None]

    def highest(self) -> int:
        """The highest serial that a file is named after, even a damaged one; 0 where there is none."""
        return max((int(path.stem) for path in self._directory.glob("*.key") if path.stem.isdecimal()), default=0)

    def write(self, key: SealingKey) -> None:
        """Keep a key, durably, before anybody is told of it."""
        term = key.term
        times = (term.serial, term.not_before, term.not_after)
        write_durably(self._path(term), _FORMAT.pack(_MAGIC, *times, key.private.private_bytes_raw()))

    def erase_all_but(self, kept: Collection[Term]) -> None:
        """Erase every other file: keys that are over, and what an interrupted write has left."""
        wanted = {self._path(term) for term in kept}
        gone = [path for path in self._directory.iterdir() if path.is_file() and path not in wanted]
        for path in gone:
            _overwrite(path)
            path.unlink()
        if gone:
            sync_directory(self._directory)

    def _path(self, term: Term) -> Path:
        return self._directory / f"{term.serial}.key"

    def _read(self, path: Path) -> SealingKey | None:
        try:
            magic, *times, private = _FORMAT.unpack(path.read_bytes())
        except struct.error:
            magic = b""
        if magic != _MAGIC:
            log.warning("a file of sealing keys is damaged", file=path.name)
            return None
        return SealingKey.of(Term(*times), X25519PrivateKey.from_private_bytes(private))


def _overwrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))
        file.flush()
        os.fsync(file.fileno())
