"""Kits in memory: what was fetched and waits for its run, up to a number of bytes. What does not fit goes to disk (files.py).

They outlive the shelves of their plans, as files do, and end with the process: whatever ends it costs the kits in here. Their
numbers are fetched anew, or left out; a number that was used is below the floor, which is written down first.
"""

import threading
from collections.abc import Collection

from visard_party.kits.source import Fetched


class KitMemory:
    """The kits of all plans, by the plan's digest and number. For any thread."""

    def __init__(self, most_bytes: int = 0) -> None:
        self._most_bytes = most_bytes
        self._kits: dict[bytes, dict[int, Fetched]] = {}
        self._lock = threading.Lock()
        self._bytes = 0

    @property
    def used_bytes(self) -> int:
        """How many bytes of corrections are kept now."""
        return self._bytes

    def put(self, plan_digest: bytes, number: int, part: Fetched) -> bool:
        """Keep a kit; whether there is room for it."""
        with self._lock:
            kits = self._kits.setdefault(plan_digest, {})
            more = len(part.corrections) - (len(kits[number].corrections) if number in kits else 0)
            if self._bytes + more > self._most_bytes:
                return False
            kits[number] = part
            self._bytes += more
            return True

    def pop(self, plan_digest: bytes, number: int) -> Fetched | None:
        """A kit, to one caller only; None where it is not here."""
        with self._lock:
            kits = self._kits.get(plan_digest, {})
            part = kits.pop(number, None)
            if part is not None:
                self._bytes -= len(part.corrections)
            if not kits:
                self._kits.pop(plan_digest, None)
            return part

    def numbers(self, plan_digest: bytes) -> set[int]:
        """Which kits of a plan are here."""
        with self._lock:
            return set(self._kits.get(plan_digest, ()))

    def keep_only(self, plan_digests: Collection[bytes]) -> None:
        """Forget the kits of all other plans."""
        for digest in [digest for digest in self._kits if digest not in plan_digests]:
            for number in self.numbers(digest):
                self.pop(digest, number)

    def __repr__(self) -> str:
        return f"<KitMemory: {self._bytes} of {self._most_bytes} bytes>"
