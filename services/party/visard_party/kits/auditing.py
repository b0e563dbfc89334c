"""Auditing the dealer, in the background: what was set aside is dealt again here, one kit at a time, and compared.

It steps back for everything else: it waits while the stock is not full, though not for ever, or a dealer that is slow enough
would never be audited; and it deals in a thread of its own at a low priority. Nothing of a kit is logged but that it differs.
"""

import asyncio
import contextlib
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import structlog
from visard_common.background import Background
from visard_common.errors import ServiceFault
from visard_engine.errors import KitError

from visard_party.kits.audit import differing
from visard_party.kits.ledger import kit_id
from visard_party.kits.shelf import Shelf
from visard_party.kits.source import KitSource, Seeds
from visard_party.kits.stock import KitStock
from visard_party.metrics import KIT_AUDITS

_PAUSES = (0.2, 30.0)  # seconds between attempts: at first, at most
_POLITE_SECONDS = 20.0  # for which an audit waits until the stock is full
PATIENCE = 60.0  # seconds in which the other parties should have asked for a kit's seeds as well
GIVE_UP = 900.0  # seconds after which a kit is thrown away that not all have asked about
_NICE = 10
_DIGITS = 12  # of a plan's digest, as in the metrics

log = structlog.get_logger()


@dataclass
class Counts:
    """How the audits since the start have ended; ``unanswered`` counts attempts."""

    passed: int = 0
    failed: int = 0
    unanswered: int = 0


class Auditor:
    """Audits the kits that the stock has set aside."""

    def __init__(self, stock: KitStock, source: KitSource, party: int) -> None:
        self._stock = stock
        self._source = source
        self._party = party
        self.counts = Counts()
        self._worker = ThreadPoolExecutor(1, "audit", _step_back)

    def keep(self, work: Background) -> None:
        """Audit for as long as the party works."""
        if not self._stock.choosing.wanted:
            log.warning("this party asks for no audits of the dealer: a kit that is spoilt is believed")
        work.forever("audits", self.audit)

    async def audit(self) -> None:
        """Audit whatever is set aside, for ever."""
        pause = _PAUSES[0]
        while True:
            self._stock.set_aside.clear()
            answered = [await self._one(shelf, number) for shelf, number in self._stock.aside()]
            try:
                async with asyncio.timeout(None if all(answered) else pause):
                    await self._stock.set_aside.wait()
                pause = _PAUSES[0]  # the others ask as soon as we do
            except TimeoutError:
                pause = min(2 * pause, _PAUSES[1])

    async def _one(self, shelf: Shelf, number: int) -> bool:
        """Audit a kit; whether there is nothing more to be done about it."""
        if (since := shelf.pending.get(number)) is None:  # thrown away meanwhile
            return True
        waited = time.monotonic() - since
        try:
            seeds = await self._source.reveal(shelf.plan, number)
        except ServiceFault as error:
            self._unanswered(number, str(error))
            return False
        if seeds is None:
            return await self._waited(shelf, number, waited)
        await self._quiet()
        await self._compared(shelf, number, seeds)
        return True

    def _unanswered(self, number: int, reason: str) -> None:
        self.counts.unanswered += 1
        KIT_AUDITS.labels("unanswered").inc()
        log.warning("the dealer does not show the seeds of a kit to be audited", kit=number, reason=reason)

    async def _waited(self, shelf: Shelf, number: int, waited: float) -> bool:
        """Another party has set this number not aside, as by an older key; or the dealer says so."""
        if waited > PATIENCE:
            self._unanswered(number, "it says that not all three parties have asked")
        if waited <= GIVE_UP:
            return False
        await shelf.finish(number)
        return True

    async def _quiet(self) -> None:
        """Wait until the stock is full, but not for ever."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_POLITE_SECONDS):
                await self._stock.full.wait()

    async def _compared(self, shelf: Shelf, number: int, seeds: Seeds) -> None:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(self._worker, self._differing, shelf, number, seeds)
        except (KitError, OSError) as error:  # damaged here: it says nothing of the dealer
            log.warning("a kit to be audited cannot be read", kit=number, reason=str(error))
            await shelf.finish(number)
            return
        outcome = "failed" if found else "passed"
        KIT_AUDITS.labels(outcome).inc()
        plan = shelf.plan.digest.hex()[:_DIGITS]
        if not found:
            self.counts.passed += 1
            log.info("a kit has passed its audit", plan=plan, kit=number)
            await shelf.finish(number)
            return
        self.counts.failed += 1
        log.error("the dealer has failed an audit: nothing is served", plan=plan, kit=number, differ=found)
        await self._stock.distrust(f"the dealer failed the audit of kit {number} of plan {plan} ({', '.join(found)})")

    def _differing(self, shelf: Shelf, number: int, seeds: Seeds) -> tuple[str, ...]:
        named = kit_id(number, self._stock.worker)
        return differing(shelf.plan, named, self._party, shelf.files.read_aside(number), seeds)

    def close(self) -> None:
        """Stop after the kit in work."""
        self._worker.shutdown(wait=False, cancel_futures=True)


def _step_back() -> None:
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
