"""The seam between the engine and whatever carries its messages."""

from collections.abc import Collection, Mapping
from typing import Protocol

from visard_engine.prss import PairKeys

PARTIES = 3

Payload = bytes | memoryview


class Channel(Protocol):
    """One run's connection to the two other parties."""

    @property
    def party(self) -> int:
        """This party's number: 0, 1 or 2. Its Shamir point is one more."""

    @property
    def keys(self) -> PairKeys:
        """The PRSS keys of this run, which the dealer never sees."""

    @property
    def rounds(self) -> int:
        """Rounds so far."""

    @property
    def sent_bytes(self) -> int:
        """Payload bytes sent so far, to both parties together."""

    async def exchange(self, outgoing: Mapping[int, Payload], incoming: Collection[int]) -> dict[int, bytes]:
        """One round: send to the parties of ``outgoing``, return what those of ``incoming`` sent in the same round.

        Raises PeerLost when a peer's connection ends and RoundTimeout when nothing comes in time.
        """
