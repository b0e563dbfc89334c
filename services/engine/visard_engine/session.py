"""What a protocol's online half works with: one run's channel, keys, kit and field, and what is left to be verified of it."""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from visard_engine.channel import Channel
from visard_engine.claims import Claims
from visard_engine.correlated import KitReader
from visard_engine.field import Field
from visard_engine.prss import Prss
from visard_engine.views import Views

P = ParamSpec("P")
T = TypeVar("T")

_THREAD_FROM = 1 << 17  # elements from which a kernel holds the event loop for longer than a change of thread is worth


class Run:
    """One party's part in one run: its channel, what it has seen, and PRSS counters that go on from one kit to the next.

    The keys of the channel are this run's alone; exactly one Run is made of a channel.
    """

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.prss = Prss(channel.keys, channel.party)
        self.views = Views(channel.keys, channel.party)


class Session:
    """A run while it uses one kit. Protocols use it in the same order at all three parties."""

    def __init__(self, run: Run, kit: KitReader) -> None:
        self.run = run
        self.field: Field = kit.field
        self.channel = run.channel
        self.prss = run.prss
        self.kit = kit
        self.claims = Claims()
        self.party = run.channel.party
        self.next = (self.party + 1) % 3
        self.previous = (self.party + 2) % 3
        run.views.saw(kit.public_seed)  # of the coin that was tossed and of the dealer's tag: all three have the same

    async def compute(self, size: int, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run local work on ``size`` elements: in a thread when it is large, so that the event loop stays free."""
        if size < _THREAD_FROM:
            return work(*args, **kwargs)
        return await asyncio.to_thread(work, *args, **kwargs)
