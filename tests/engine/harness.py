"""Three parties and a dealer in one process: what the protocol tests share."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from visard_engine.bits import pack, unpack
from visard_engine.claims import Folded, Source, Stream
from visard_engine.correlated import joined
from visard_engine.field import Elements, Field
from visard_engine.in_process import LocalChannel
from visard_engine.kits import Kit, KitPlan, deal_kit, dealt_part
from visard_engine.session import Run, Session
from visard_engine.shamir import share
from visard_engine.views import VIEW_BYTES

from tests.engine.liar import AGREEMENT, CredulousViews, Liar, LyingChannel, RecordedViews, carries_view
from tests.engine.wires import wired_channels

MASTER = bytes(range(32))
DEADLINE = 240  # seconds for what takes a few: nothing here waits for a clock (wires.py)


@dataclass
class Outcome:
    """What each party returned, or in a run with a liar raised, its channel with counters and all that it received."""

    results: list[Any]
    channels: list[LocalChannel]
    runs: list[Run]
    liar: int | None = None

    @property
    def rounds(self) -> int:
        """Rounds, the same at all parties."""
        (rounds,) = {channel.rounds for channel in self.channels}
        return rounds

    @property
    def sent_bytes(self) -> list[int]:
        """Bytes each party sent."""
        return [channel.sent_bytes for channel in self.channels]

    @property
    def kinds(self) -> list[str]:
        """The kinds of the rounds in order, the same at all parties."""
        first, *others = (self.kinds_of(i) for i in range(3))
        assert all(one == first for one in others)
        return first

    def kinds_of(self, party: int) -> list[str]:
        """The kinds of the rounds that a party has completed."""
        views = self.runs[party].views
        assert isinstance(views, RecordedViews)
        return views.kinds

    @property
    def honest(self) -> list[Any]:
        """What the two honest parties returned or raised."""
        return [result for party, result in enumerate(self.results) if party != self.liar]

    @property
    def honest_parties(self) -> list[int]:
        """All but the liar."""
        return [party for party in range(3) if party != self.liar]

    def received(self, party: int) -> list[tuple[str, int, bytes]]:
        """What was opened to a party: kind, sender and message, without the hashes that messages begin with."""
        messages = iter(self.channels[party].received)
        found = []
        for kind in self.kinds_of(party):
            for sender, message in (next(messages) for _ in range(self._senders(kind))):
                start = VIEW_BYTES if carries_view(sender, party) or kind == AGREEMENT else 0
                found.append((kind, sender, message[start:]))
        return found

    def words(self, party: int, field: Field, *kinds: str) -> list[Elements]:
        """The elements of each message of some kinds that a party received."""
        return [np.frombuffer(message, field.dtype) for kind, _, message in self.received(party) if kind in kinds]

    def bits(self, party: int, *kinds: str) -> list[Any]:
        """The bits of each message of some kinds, padding included: it is masked like everything else."""
        return [
            np.unpackbits(np.frombuffer(message, np.uint8), bitorder="little").astype(np.bool_)
            for kind, _, message in self.received(party)
            if kind in kinds
        ]

    @staticmethod
    def _senders(kind: str) -> int:
        return 2 if kind in TO_BOTH else 1


TO_BOTH = ("masked product", "degree", AGREEMENT)  # the openings in which a party hears from both others
Body = Callable[[Session, int], Awaitable[Any]]
Part = Callable[[Run, list[Kit]], Awaitable[Any]]  # one party's, from its run and its kits


async def play(
    plan: KitPlan | Sequence[KitPlan],
    part: Part,
    *,
    kits: int = 1,
    kit_id: int | None = None,
    liar: Liar | None = None,
) -> Outcome:
    """Run one coroutine as three parties on fresh kits; honest parties use them up. With a liar errors are results.

    There are so many kits of one plan, or one of each of several.
    """
    first = kit_id or secrets.randbelow(1 << 40) + 1
    plans = [plan] * kits if isinstance(plan, KitPlan) else list(plan)
    dealt = [deal_kit(one, MASTER, first + k) for k, one in enumerate(plans)]
    channels, wires = wired_channels()
    runs, coin = list[Run](), secrets.token_bytes(32)
    if liar is not None:
        channels[liar.party] = LyingChannel(channels[liar.party], liar, wires, runs)
    for channel in channels:
        runs.append(Run(channel))
        runs[-1].views = CredulousViews(channel) if liar and liar.party == channel.party else RecordedViews(channel)

    async def party(i: int) -> Any:
        own = [dealt_part(plans[k], first + k, one, i, coin) for k, one in enumerate(dealt)]
        try:
            result = await part(runs[i], own)
            assert liar is not None or not any(kit.left for kit in own)
            return result
        finally:
            wires.ended(i)

    async with asyncio.timeout(DEADLINE):
        results = await asyncio.gather(*(party(i) for i in range(3)), return_exceptions=True)
    if liar is None:
        raise_first(results)
    return Outcome(list(results), channels, runs, None if liar is None else liar.party)


def raise_first(results: Sequence[Any]) -> None:
    """Raise what a party has raised, the cause rather than what the others made of it."""
    errors = [result for result in results if isinstance(result, BaseException)]
    for error in sorted(errors, key=lambda error: type(error).__name__ in ("PeerLost", "RoundTimeout")):
        raise error


async def run(
    plan: KitPlan, body: Body, kit_id: int | None = None, *, kits: int = 1, liar: Liar | None = None
) -> Outcome:
    """``play`` with the session of one part of a run."""

    async def part(own: Run, parts: list[Kit]) -> Any:
        return await body(Session(own, joined(parts)), own.channel.party)

    return await play(plan, part, kits=kits, kit_id=kit_id, liar=liar)


class Unverified(Source):
    """Where wide shares of a test came from: nowhere. Its claims cannot be verified."""

    def fold(self, opened: Elements, stream: Stream, into: Folded) -> None:
        """Nothing is known of it."""
        raise AssertionError("this claim stays unverified")


NOWHERE = Unverified()


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


def replicated(bits: Any, seed: int = 0) -> list[Any]:
    """The three parties' pieces (2, ..., words) of bits (..., n)."""
    a, b = (np.random.default_rng(seed + i).integers(0, 1 << 63, pack(bits).shape, dtype=np.uint64) for i in (1, 2))
    pieces = [a, b, pack(bits) ^ a ^ b]
    return [np.stack([pieces[i], pieces[i - 1]]) for i in range(3)]
