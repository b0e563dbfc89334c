"""Three parties' stocks that agree on kits and audit one dealer, in one process."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from visard_common.background import background
from visard_common.errors import Unavailable
from visard_dealer.reveals import Reveals
from visard_engine.channel import Payload
from visard_engine.in_process import LocalChannel, local_channels
from visard_engine.kits import DealtKit, Kit, KitPlan, deal_kit
from visard_engine.sections import Section
from visard_party.faults import Refusal
from visard_party.kits.auditing import Auditor
from visard_party.kits.source import Fetched, Seeds
from visard_party.kits.stock import KitStock
from visard_party.runs.agreement import Terms
from visard_party.runs.handshake import Agreeing

from tests.party.test_stock import part
from tests.waiting import until

TINY = KitPlan(31, (Section("truncate", 3, 8),))
MASTER = bytes(32)
Deal = Callable[[KitPlan, int], DealtKit]


def honestly(plan: KitPlan, number: int) -> DealtKit:
    """A kit as it should be."""
    return deal_kit(plan, MASTER, number)


@dataclass
class OneDealer:
    """What the three parties fetch from; it deals as the test says, and shows what it should have dealt from."""

    deal: Deal = honestly
    reveals: Reveals = field(default_factory=Reveals)
    mute: bool = False
    shown: set[int] = field(default_factory=set)
    fetched: list[tuple[int, int]] = field(default_factory=list)  # party, number

    def at(self, party: int) -> "Source":
        """As one party calls it."""
        return Source(self, party)


@dataclass
class Source:
    """One party's calls to the dealer."""

    dealer: OneDealer
    party: int

    async def fetch(self, plan: KitPlan, number: int) -> Fetched:
        """The part that the dealer delivers."""
        await asyncio.sleep(0)
        self.dealer.fetched.append((self.party, number))
        return part(self.dealer.deal(plan, number), self.party)

    async def reveal(self, plan: KitPlan, number: int) -> Seeds | None:
        """The seeds, once all have asked."""
        await asyncio.sleep(0)
        if self.dealer.mute:
            raise Unavailable("the dealer is unavailable")
        if not self.dealer.reveals.ask(self.party, (plan.digest, number)):
            return None
        self.dealer.shown.add(number)
        return honestly(plan, number).seeds


class PatientChannel(LocalChannel):
    """A channel that is given how long to wait, and takes no notice."""

    async def exchange(
        self, outgoing: Mapping[int, Payload], incoming: Collection[int], seconds: float | None = None
    ) -> dict[int, bytes]:
        """See LocalChannel."""
        return await super().exchange(outgoing, incoming)


class Party:
    """A stock, who audits it, and who agrees on its kits with the others."""

    def __init__(self, home: Path, index: int, source: Source, one_in: int) -> None:
        self.index = index
        memory = (0, 2 * TINY.correction_bytes, 1 << 20)[index]  # one keeps kits on disk, one in memory, one in both
        self.stock = KitStock(home / str(index), index, source, audit_one_in=one_in, memory_bytes=memory)
        self.auditor = Auditor(self.stock, source, index)
        config = SimpleNamespace(index=index, peer_timeout=60.0, kit_wait=60.0)
        self.agreeing = Agreeing(cast(Any, config), self.stock)

    async def run(self, channel: Any, plans: tuple[KitPlan, ...], refusal: Refusal | None = None) -> list[Kit]:
        """The kits of a run."""
        terms = Terms("asked", "verifier", "", "", tuple(plan.digest.hex() for plan in plans))
        return await self.agreeing.kits(channel, (terms, plans), await self.agreeing.proposal(channel, 60), refusal)


async def run(parties: list[Party], plans: tuple[KitPlan, ...] = (TINY,)) -> list[list[Kit]]:
    """One run's kits at all three parties."""
    channels = local_channels()
    for channel in channels:
        channel.__class__ = PatientChannel
    return list(await asyncio.gather(*(p.run(c, plans) for p, c in zip(parties, channels, strict=True))))


@asynccontextmanager
async def three(
    home: Path, dealer: OneDealer, one_in: tuple[int, int, int] = (4, 4, 4), *, audits: bool = True
) -> AsyncIterator[list[Party]]:
    """Three parties at work, as they are after a start."""
    parties = [Party(home, index, dealer.at(index), one_in[index]) for index in range(3)]
    async with background() as work:
        for party in parties:
            party.stock.want(TINY, 4)
            work.forever(f"kits {party.index}", party.stock.fill)
            if audits:
                work.forever(f"audits {party.index}", party.auditor.audit)
        yield parties
        for party in parties:
            party.auditor.close()


async def full(parties: list[Party]) -> None:
    """Wait until nothing is missing in any stock."""
    await until(lambda: all(party.stock.full.is_set() for party in parties))
