"""What a party has seen opened in a run, as a hash that it compares with the others', and the evidence where they differ."""

import hashlib
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from visard_engine.channel import Payload
from visard_engine.field import Elements, Words

VIEW_BYTES = 16
_KEPT = 2  # rounds whose messages are kept for evidence: a difference shows in the round after the one that made it


@dataclass(frozen=True)
class Round:
    """One round's messages as they went out and came in; nothing of them is printed but their digests."""

    number: int
    kind: str
    view: bytes
    sent: Mapping[int, Payload]
    received: Mapping[int, Payload]

    def __repr__(self) -> str:
        return f"<Round: {self.kind}>"

    def evidence(self) -> dict[str, object]:
        """Which round, of which opening, the view before it, and each message's digest: of masked words, so it says nothing."""
        return {
            "round": self.number,
            "opening": self.kind,
            "view": self.view.hex(),
            "sent": {peer: _digest(message).hex() for peer, message in self.sent.items()},
            "received": {peer: _digest(message).hex() for peer, message in self.received.items()},
        }


class Views:
    """A chain of hashes over everything opened."""

    def __init__(self) -> None:
        self.digest = bytes(VIEW_BYTES)
        self.count = 0  # of rounds so far
        self._rounds: deque[Round] = deque(maxlen=_KEPT)

    def __repr__(self) -> str:
        return f"<Views: {self.digest.hex()}>"

    def saw(self, opened: Elements | Words | bytes) -> None:
        """Something was opened."""
        data = opened if isinstance(opened, bytes) else opened.data.cast("B") if opened.size else b""
        self.digest = hashlib.blake2b(data, digest_size=VIEW_BYTES, key=self.digest, person=b"visard view").digest()

    def round(self, kind: str, sent: Mapping[int, Payload], received: Mapping[int, Payload]) -> None:
        """Keep a round's messages until they are not needed for evidence any more."""
        self.count += 1
        self._rounds.append(Round(self.count, kind, self.digest, sent, received))

    def evidence(self) -> list[dict[str, object]]:
        """The last rounds, the older ones first."""
        return [one.evidence() for one in self._rounds]


def _digest(message: Payload) -> bytes:
    return hashlib.blake2b(message, digest_size=VIEW_BYTES, person=b"visard message").digest()
