"""Three parties and a dealer in one process: what the protocol tests share."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from visard_engine.bits import unpack
from visard_engine.field import Elements, Field
from visard_engine.in_process import LocalChannel, local_channels
from visard_engine.kits import Kit, KitPlan, deal_kit
from visard_engine.session import Run, Session
from visard_engine.shamir import share

MASTER = bytes(range(32))


@dataclass
class Outcome:
    """What each party returned, and its channel with counters and everything it received."""

    results: list[Any]
    channels: list[LocalChannel]

    @property
    def rounds(self) -> int:
        """Rounds, the same at all parties."""
        (rounds,) = {channel.rounds for channel in self.channels}
        return rounds

    @property
    def sent_bytes(self) -> list[int]:
        """Bytes each party sent."""
        return [channel.sent_bytes for channel in self.channels]


Body = Callable[[Session, int], Awaitable[Any]]


async def run(plan: KitPlan, body: Body, kit_id: int | None = None) -> Outcome:
    """Run one coroutine as three parties on one fresh kit, and check that the kit is used up."""
    dealt = deal_kit(plan, MASTER, kit_id or secrets.randbelow(1 << 40) + 1)
    channels, coin = local_channels(), secrets.token_bytes(32)
    kits = [Kit(plan, 1, dealt.part(i), i, dealt.corrections, coin) for i in range(3)]
    sessions = [Session(Run(channel), kit) for channel, kit in zip(channels, kits, strict=True)]
    results = await asyncio.wait_for(asyncio.gather(*(body(s, s.party) for s in sessions)), 240)
    assert [kit.left for kit in kits] == [0, 0, 0]
    return Outcome(list(results), channels)


def shares_of(field: Field, x: Any) -> tuple[Elements, Elements, Elements]:
    """Fresh degree-1 shares of signed integers."""
    return share(field, field.encode(x))


def wide_shares_of(field: Field, x: Any) -> tuple[Elements, Elements, Elements]:
    """Degree-2 shares of signed integers: as a local product leaves them."""
    one, quadratic = shares_of(field, x), share(field, np.zeros(np.shape(x), field.dtype))
    return tuple(field.add(a, field.scale(b, i + 1)) for i, (a, b) in enumerate(zip(one, quadratic, strict=True)))  # type: ignore[return-value]


def open_bits(results: Sequence[Any], n: int) -> Any:
    """The bits of three parties' (2, ..., words) pieces, after checking that both holders of each piece agree."""
    for i in range(3):
        assert (unpack(results[i][0], n) == unpack(results[(i + 1) % 3][1], n)).all()
    return unpack(results[0][0] ^ results[1][0] ^ results[2][0], n)
