"""A party's stock of kits, put together from its configuration."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from visard_common.background import Background
from visard_common.limits import LEADER

from visard_party.config import ComputingConfig
from visard_party.kits.auditing import Auditor
from visard_party.kits.files import first_number_in
from visard_party.kits.source import RenewedDealer
from visard_party.kits.stock import KitStock
from visard_party.kits.trust import Trust

_FOLDER = "kits"


@dataclass(frozen=True)
class Kits:
    """What a party has to do with its dealer."""

    stock: KitStock
    auditor: Auditor

    def keep(self, work: Background) -> None:
        """Fetch kits, and audit some, for as long as the party works."""
        work.forever("kits", self.stock.fill)
        self.auditor.keep(work)


def first_kit(config: ComputingConfig) -> int:
    """Where party 0, or its worker, begins the numbers of new plans; 1 at the others, until they have heard it."""
    return first_number_in(config.data_dir / _FOLDER) if config.index == LEADER else 1


def trust(config: ComputingConfig, worker: int = 0) -> Trust:
    """What this party, or its worker, holds against the dealer; ``worker`` as in visard_party.kits.ledger.kit_id."""
    return Trust(config.data_dir / _FOLDER, config.index, worker)


@asynccontextmanager
async def stocked(config: ComputingConfig, heard: Callable[[], int], worker: int = 0) -> AsyncIterator[Kits]:
    """The stock, and who audits it, with a channel to the dealer while the block lasts.

    ``heard`` is what party 0, or its worker, has said of the first number; ``worker`` as in ``trust``.
    """
    folder = config.data_dir / _FOLDER
    dealer = RenewedDealer(config.tls, config.dealer, worker)
    first = heard if config.index != LEADER else partial(first_number_in, folder)
    stock = KitStock(folder, config.index, dealer, first, config.audit_one_in, config.kit_memory_mb << 20, worker)
    auditor = Auditor(stock, dealer, config.index)
    try:
        yield Kits(stock, auditor)
    finally:
        auditor.close()
        await dealer.close()
