"""One plan at one party: its ledger, its files, who waits for its kits, and which of them wait to be audited."""

import asyncio
import time
from collections.abc import Collection
from pathlib import Path

import structlog
from visard_common.limits import LEADER
from visard_engine.errors import KitError
from visard_engine.kits import Kit, KitPlan

from visard_party.kits.choosing import Choosing
from visard_party.kits.files import KitDirectory
from visard_party.kits.ledger import Ledger
from visard_party.kits.memory import KitMemory

log = structlog.get_logger()


class Shelf:
    """One plan's ledger, files and waiters."""

    def __init__(
        self,
        directory: Path,
        plan: KitPlan,
        party: int,
        target: int,
        first: int,
        choosing: Choosing | None = None,
        memory: KitMemory | None = None,
    ) -> None:
        self.plan = plan
        self.target = target
        self.files = KitDirectory(directory / plan.digest.hex(), plan, party, first if party == LEADER else 1, memory)
        self.ledger = Ledger(self.files.read_floor(), begin=first)
        self.changed = asyncio.Condition()
        self._choosing = choosing or Choosing(directory, 0)
        self._since = self.ledger.floor
        found = self.files.scan()
        self.ledger.in_stock |= {n for n in found if n >= self.ledger.floor}
        self.files.delete(found - self.ledger.in_stock)
        pending, done = self.files.scan_aside()
        self.ledger.aside |= pending | done
        self.ledger.restarted()
        self.pending = dict.fromkeys(pending, time.monotonic())  # number: since when it waits for its audit

    def clear(self) -> None:
        """Delete the kits that nobody waits for; their numbers stay good."""
        idle = self.ledger.in_stock - self.ledger.demanded - self.ledger.reserved
        self.ledger.in_stock -= idle
        self.files.delete(idle)

    def chosen(self, number: int) -> bool:
        """Whether this kit is audited.

        By the key that the parties have now, and only if no run was told the number before they had it: a kit that may be in
        use must never be shown.
        """
        return number >= self._since and self._choosing.chooses(self.plan.digest, number)

    def chosen_anew(self) -> set[int]:
        """There is another key: which kits of the stock it takes away."""
        self._since = self.ledger.untold
        return self.ledger.set_aside(self.chosen)

    async def put_aside(self, numbers: Collection[int]) -> None:
        """Make durable that these kits of the ledger are set aside; only then may anybody be asked about them."""
        for number in sorted(numbers):
            try:
                await asyncio.to_thread(self.files.set_aside, number)
            except (KitError, OSError) as error:  # it is not used in any case, as long as we live
                log.warning("a kit cannot be set aside for its audit", kit=number, reason=str(error))
            else:
                self.pending[number] = time.monotonic()

    async def finish(self, number: int) -> None:
        """The audit of a kit is over, however it ended."""
        await asyncio.to_thread(self.files.finish_aside, number)
        self.pending.pop(number, None)

    def take(self, number: int, floor: int, old: set[int]) -> Kit:
        """Read a kit that has left the ledger; raises KitError."""
        self.files.delete(old)
        return self.files.take(number, floor)
