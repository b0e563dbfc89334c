"""The key that says which kits are audited, as this party keeps it: on disk, so that a restart asks for no new one."""

import threading
from pathlib import Path

from visard_common.files import write_durably

from visard_party.kits.audit import AuditKey


class Choosing:
    """The parties' present key, and one kit in how many this party's operator wants to be audited (0: none)."""

    def __init__(self, directory: Path, one_in: int) -> None:
        self._path = directory / "audit-key"
        self._lock = threading.Lock()
        self.wanted = one_in
        self.key = AuditKey.unpack(self._path.read_bytes(), one_in) if self._path.exists() else None

    @property
    def name(self) -> str:
        """What the key is called among the parties; empty where there is none yet."""
        return self.key.name if self.key else ""

    @property
    def one_in(self) -> int:
        """One kit in how many is audited now."""
        return self.key.one_in if self.key else self.wanted

    def chooses(self, plan_digest: bytes, number: int) -> bool:
        """Whether a kit is audited; none is while the parties have no key."""
        return self.key is not None and self.key.chooses(plan_digest, number)

    def keep(self) -> None:
        """Write the key down; raises OSError."""
        with self._lock:
            if self.key is None:
                return
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_durably(self._path, self.key.pack(self.wanted))
