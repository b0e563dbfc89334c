"""Three channels in one process, for tests, benchmarks and simulations: messages are handed over, not sent."""

import asyncio
import secrets
from collections.abc import Collection, Mapping

from visard_engine.channel import PARTIES, Payload
from visard_engine.prf import KEY_BYTES
from visard_engine.prss import PairKeys

Queues = dict[tuple[int, int], asyncio.Queue[bytes]]


class LocalChannel:
    """A Channel over queues. ``received`` keeps every message, so that tests can look at one party's view."""

    def __init__(self, party: int, keys: PairKeys, queues: Queues) -> None:
        self.party = party
        self.keys = keys
        self.rounds = 0
        self.sent_bytes = 0
        self.received: list[tuple[int, bytes]] = []
        self._queues = queues

    async def exchange(self, outgoing: Mapping[int, Payload], incoming: Collection[int]) -> dict[int, bytes]:
        """See Channel.exchange; a message's order on its queue is its round."""
        self.rounds += 1
        for peer, payload in outgoing.items():
            data = bytes(payload)
            self.sent_bytes += len(data)
            self._queues[self.party, peer].put_nowait(data)
        messages = {peer: await self._queues[peer, self.party].get() for peer in incoming}
        self.received.extend(messages.items())
        return messages


def local_channels(keys: list[bytes] | None = None) -> list[LocalChannel]:
    """Three connected channels, with the given pair keys or fresh ones."""
    pair = keys or [secrets.token_bytes(KEY_BYTES) for _ in range(PARTIES)]
    queues: Queues = {(i, j): asyncio.Queue() for i in range(PARTIES) for j in range(PARTIES) if i != j}
    return [LocalChannel(i, PairKeys(pair[i], pair[i - 1]), queues) for i in range(PARTIES)]
