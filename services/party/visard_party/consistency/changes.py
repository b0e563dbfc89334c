"""What writes have changed since somebody last looked: what is kept in memory is brought up to date, not read again. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field

MOST = 10_000  # ids; from here on reading everything is no slower


@dataclass
class Changes:
    """References and writes that one reader has not seen yet, by id.

    ``everything`` says that more may have changed than can be named: at first, after a failure, after a restoration.
    """

    everything: bool = True
    references: set[str] = field(default_factory=set)
    writes: dict[bytes, int] = field(default_factory=dict)  # and when their requests expire

    def note(self, request_id: bytes, expires_unix_ms: int, references: Iterable[str] | None) -> None:
        """A write was committed that changed these references; None: nobody knows which."""
        self.writes[request_id] = expires_unix_ms
        self.told(references or ())
        if references is None or len(self.writes) > MOST:
            self.forget()

    def told(self, references: Iterable[str]) -> None:
        """These references were changed, by whatever write."""
        self.references.update(references)
        if len(self.references) > MOST:
            self.forget()

    def forget(self) -> None:
        """Whatever was seen is worth nothing any more."""
        self.everything, self.references, self.writes = True, set(), {}

    def take(self) -> "Changes":
        """All of it, for a reader who is about to look; what comes from now on is for the next time."""
        taken = Changes(self.everything, self.references, self.writes)
        self.everything, self.references, self.writes = False, set(), {}
        return taken

    def give_back(self, taken: "Changes") -> None:
        """The reader failed: nothing of it was seen."""
        self.references |= taken.references
        self.writes |= taken.writes
        if taken.everything or self.everything:
            self.forget()
