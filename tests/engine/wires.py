"""Three channels in one process on which no wait lasts for ever, and without a clock.

A party that waits for one whose part has ended gets PeerLost; where all wait for each other, as they do when a message was
dropped, each gets RoundTimeout: what comes of a deadline in a network, but at once and always.
"""

import asyncio
import secrets
from collections.abc import Callable

from typing_extensions import override
from visard_engine.channel import PARTIES
from visard_engine.errors import EngineError, PeerLost, RoundTimeout
from visard_engine.in_process import LocalChannel, Queues
from visard_engine.prf import KEY_BYTES
from visard_engine.prss import PairKeys

Late = Callable[[], bytes]  # a message that is made when its receiver takes it


class Wires:
    """The queues between three parties, and who waits for whom."""

    def __init__(self) -> None:
        self._wires = {(i, j): Wire(self, i) for i in range(PARTIES) for j in range(PARTIES) if i != j}
        self._waiting: set[Wire] = set()
        self._ended: set[int] = set()

    @property
    def queues(self) -> Queues:
        """What a LocalChannel takes."""
        return dict(self._wires)

    def __getitem__(self, ends: tuple[int, int]) -> "Wire":
        """The queue from one party to another."""
        return self._wires[ends]

    def ended(self, party: int) -> None:
        """A party's part is over: nothing more comes from it."""
        self._ended.add(party)
        self._look()

    def waits(self, wire: "Wire") -> None:
        """A party waits on an empty wire."""
        self._waiting.add(wire)
        self._look()

    def goes_on(self, wire: "Wire") -> None:
        """It waits no more."""
        self._waiting.discard(wire)

    def _look(self) -> None:
        empty = [wire for wire in self._waiting if wire.empty()]
        stuck = len(empty) + len(self._ended) == PARTIES
        for wire in empty:
            if wire.sender in self._ended:
                wire.put_nowait(PeerLost(f"party {wire.sender} has gone"))
            elif stuck:
                wire.put_nowait(RoundTimeout(f"party {wire.sender} sent nothing"))


class Wire(asyncio.Queue[bytes]):
    """Messages from one party to another; an error among them is raised where it would be read."""

    def __init__(self, wires: Wires, sender: int) -> None:
        super().__init__()
        self._wires = wires
        self.sender = sender

    @override
    def put_nowait(self, item: bytes | Late | EngineError) -> None:
        super().put_nowait(item)  # type: ignore[arg-type]

    @override
    async def get(self) -> bytes:
        if self.empty():
            self._wires.waits(self)
        item: bytes | Late | EngineError = await super().get()
        self._wires.goes_on(self)
        if isinstance(item, EngineError):
            raise item
        return item if isinstance(item, bytes) else item()


def wired_channels(keys: list[bytes] | None = None) -> tuple[list[LocalChannel], Wires]:
    """Three connected channels, with the given pair keys or fresh ones, and the wires between them."""
    pair = keys or [secrets.token_bytes(KEY_BYTES) for _ in range(PARTIES)]
    wires = Wires()
    return [LocalChannel(i, PairKeys(pair[i], pair[i - 1]), wires.queues) for i in range(PARTIES)], wires
