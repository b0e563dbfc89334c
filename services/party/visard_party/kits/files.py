"""The kits of a plan, in memory and on disk. A kit is taken by deleting it first, and by writing the floor down: no crash and no
second reader can bring it back.

A fetched kit stays in memory where that suffices (memory.py), and is written down where it does not. One that is to be audited is
written down, or renamed, first, and so can be taken no more, nor be lost. Its file stays when the audit is over, empty, for as
long as the floor is not beyond its number: it says that this number was set aside.
"""

import struct
import threading
import time
from pathlib import Path
from typing import BinaryIO

from visard_common.files import sync_directory, write_durably
from visard_engine.errors import KitError
from visard_engine.kits import TAG_BYTES, Kit, KitPlan
from visard_engine.prf import KEY_BYTES
from visard_engine.prss import PairKeys

from visard_party.kits.ledger import first_number
from visard_party.kits.memory import KitMemory
from visard_party.kits.source import Fetched, room

_HEADER = struct.Struct(f"<8s32sQ{KEY_BYTES}s{KEY_BYTES}s{TAG_BYTES}s")
_MAGIC = b"visardk2"
_ASIDE = ".audit"


def first_number_in(directory: Path) -> int:
    """Where the numbers of new plans begin: fixed by the clock when the directory is new, and kept in it."""
    path = directory / "first"
    if not path.exists():
        return renew_first_number(directory)
    return int(path.read_text())


def renew_first_number(directory: Path) -> int:
    """Fix it anew: numbers used until now will not come again."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    first = first_number(time.time())
    write_durably(directory / "first", str(first).encode())
    return first


class KitDirectory:
    """One plan's kits in memory, files NUMBER.kit, those set aside, and the floor, below which no number is used any more."""

    def __init__(
        self, directory: Path, plan: KitPlan, party: int, first: int = 1, memory: KitMemory | None = None
    ) -> None:
        self._directory = directory
        self._plan = plan
        self._party = party
        self._first = first
        self._memory = memory or KitMemory()
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        sync_directory(directory.parent)
        self._lock = threading.Lock()
        self._floor = self.read_floor()
        self._done: set[int] = set()  # audited, with an empty file that says so

    def read_floor(self) -> int:
        """The persisted floor; that of a new plan, at first."""
        path = self._directory / "floor"
        return int(path.read_text()) if path.exists() else self._first

    def write_floor(self, floor: int) -> None:
        """Persist the floor, durably, before anything depends on it. It never goes down, whoever comes first."""
        with self._lock:
            if floor > self._floor:
                write_durably(self._directory / "floor", str(floor).encode())
                self._floor = floor

    def scan(self) -> set[int]:
        """Numbers of the whole kits here; leftovers of interrupted writes are removed."""
        size, found = _HEADER.size + self._plan.correction_bytes, self._memory.numbers(self._plan.digest)
        for path in self._directory.iterdir():
            if path.suffix == ".kit" and path.stem.isdigit() and path.stat().st_size == size:
                found.add(int(path.stem))
            elif path.name != "floor" and not _is_aside(path):
                path.unlink()
        return found

    def scan_aside(self) -> tuple[set[int], set[int]]:
        """Numbers set aside: those still to be audited, and those that have been and whose files are still needed."""
        sizes = {int(path.stem): path.stat().st_size for path in self._directory.iterdir() if _is_aside(path)}
        pending = {number for number, size in sizes.items() if size}
        self._done = sizes.keys() - pending
        self._sweep()
        return pending, set(self._done)

    def store(self, number: int, part: Fetched) -> None:
        """Keep a fetched kit: in memory, or durable on return; raises OSError."""
        if not self._memory.put(self._plan.digest, number, part):
            self._write(self._path(number), number, part)

    def _write(self, path: Path, number: int, part: Fetched) -> None:
        header = _HEADER.pack(_MAGIC, self._plan.digest, number, part.keys.own, part.keys.previous, part.tag)
        write_durably(path, header, part.corrections)

    def take(self, number: int, floor: int) -> Kit:
        """Delete a kit, persist the floor, and only then give it; raises KitError, and OSError.

        A file is read when it has no name any more. What was in memory is as good as deleted when the floor is beyond it.
        """
        if (part := self._memory.pop(self._plan.digest, number)) is not None:
            self.write_floor(max(floor, number + 1))
        else:
            part = self._take_file(number, floor)
        return Kit(self._plan, number, part.keys, self._party, part.tag, part.corrections)

    def _take_file(self, number: int, floor: int) -> Fetched:
        try:
            with self._path(number).open("rb") as file:
                self._path(number).unlink()
                sync_directory(self._directory)
                self.write_floor(floor)
                return self._read(number, file)
        except FileNotFoundError as error:
            raise KitError(f"kit {number} is gone") from error

    def _read(self, number: int, file: BinaryIO) -> Fetched:
        header = file.read(_HEADER.size)
        corrections = room(self._plan)
        whole = file.readinto(corrections) == len(corrections) and not file.read(1)  # type: ignore[attr-defined]
        if not whole or len(header) != _HEADER.size:
            raise KitError(f"kit {number} is not whole")
        magic, digest, found, own, previous, tag = _HEADER.unpack(header)
        if (magic, digest, found) != (_MAGIC, self._plan.digest, number):
            raise KitError(f"kit {number} is another one")
        return Fetched(PairKeys(own, previous), tag, corrections)

    def set_aside(self, number: int) -> None:
        """Let a kit be taken no more, durable on return; raises KitError where there is none, and OSError."""
        if (part := self._memory.pop(self._plan.digest, number)) is not None:
            self._write(self._aside(number), number, part)
            return
        try:
            self._path(number).rename(self._aside(number))
        except FileNotFoundError as error:
            raise KitError(f"kit {number} is gone") from error
        sync_directory(self._directory)

    def read_aside(self, number: int) -> Fetched:
        """A kit that was set aside, as it was delivered; raises KitError, and OSError."""
        try:
            with self._aside(number).open("rb") as file:
                return self._read(number, file)
        except FileNotFoundError as error:
            raise KitError(f"kit {number} is gone") from error

    def finish_aside(self, number: int) -> None:
        """Forget what a kit held that was set aside; not that it was, while its number is not below the floor."""
        write_durably(self._aside(number))
        self._done.add(number)
        self._sweep()

    def _sweep(self) -> None:
        """Remove what says of numbers below the floor that they were set aside."""
        for number in {n for n in self._done if n < self._floor}:
            self._aside(number).unlink(missing_ok=True)
            self._done.discard(number)

    def delete(self, numbers: set[int]) -> None:
        """Delete kits that will not be used."""
        for number in numbers:
            if self._memory.pop(self._plan.digest, number) is None:
                self._path(number).unlink(missing_ok=True)

    def _path(self, number: int) -> Path:
        return self._directory / f"{number}.kit"

    def _aside(self, number: int) -> Path:
        return self._directory / f"{number}{_ASIDE}"


def _is_aside(path: Path) -> bool:
    return path.suffix == _ASIDE and path.stem.isdigit()
