"""What a party has seen opened in a run, as a hash that it compares with the others', and the evidence where they differ."""

import hashlib
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from visard_engine.channel import PARTIES, Payload
from visard_engine.field import Elements, Words
from visard_engine.prss import PairKeys

VIEW_BYTES = 32
DIGEST_BYTES = 16  # of a message, in evidence
_KEPT = 2  # rounds whose messages are kept for evidence: a difference shows in the round after the one that made it


@dataclass(frozen=True)
class Round:
    """One round's messages as they went out and came in; nothing of them is printed but their digests."""

    number: int
    kind: str
    sent: Mapping[int, Payload]
    received: Mapping[int, Payload]

    def __repr__(self) -> str:
        return f"<Round: {self.kind}>"


class Views:
    """A chain of hashes over everything opened.

    Evidence tells a message by a digest under the key that only its two ends have. The hash of a view tells something of
    secrets where a liar has driven two views apart, so a third party must have nothing that it could try its guesses on.
    """

    def __init__(self, keys: PairKeys, party: int) -> None:
        self.digest = bytes(VIEW_BYTES)
        self.count = 0  # of rounds so far
        self._keys = {(party + 1) % PARTIES: keys.own, (party + 2) % PARTIES: keys.previous}
        self._rounds: deque[Round] = deque(maxlen=_KEPT)

    def __repr__(self) -> str:
        return f"<Views: {self.count} rounds>"

    def saw(self, opened: Elements | Words | bytes) -> None:
        """Something was opened."""
        data = opened if isinstance(opened, bytes) else opened.data.cast("B") if opened.size else b""
        self.digest = hashlib.blake2b(data, digest_size=VIEW_BYTES, key=self.digest, person=b"visard view").digest()

    def round(self, kind: str, sent: Mapping[int, Payload], received: Mapping[int, Payload]) -> None:
        """Keep a round's messages until they are not needed for evidence any more."""
        self.count += 1
        self._rounds.append(Round(self.count, kind, dict(sent), dict(received)))

    def evidence(self) -> list[dict[str, object]]:
        """The last rounds, the older ones first: number, kind of opening, and the digest of each message by its other end."""
        return [
            {
                "round": one.number,
                "opening": one.kind,
                "sent": {peer: self._digest(peer, message) for peer, message in one.sent.items()},
                "received": {peer: self._digest(peer, message) for peer, message in one.received.items()},
            }
            for one in self._rounds
        ]

    def _digest(self, peer: int, message: Payload) -> str:
        key = self._keys[peer]
        return hashlib.blake2b(message, digest_size=DIGEST_BYTES, key=key, person=b"visard evidence").hexdigest()
