"""The stock of kits: fetched ahead of need, reserved by the leader, taken once; or set aside, to be audited.

Decisions are in ledger.py and audit.py, files in files.py, a plan's in shelf.py, the dealer behind source.py.
"""

import asyncio
import contextlib
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakValueDictionary

import structlog
from visard_common.errors import FailedPrecondition, ResourceExhausted, ServiceFault
from visard_common.limits import LEADER, RETRY_SECONDS
from visard_common.metrics import stage
from visard_engine.errors import KitError
from visard_engine.kits import Kit, KitPlan

from visard_party.kits.audit import AuditKey
from visard_party.kits.choosing import Choosing
from visard_party.kits.files import renew_first_number
from visard_party.kits.memory import KitMemory
from visard_party.kits.shelf import Shelf
from visard_party.kits.source import KitSource
from visard_party.kits.trust import Trust

_BACKOFF = (0.2, 5.0)  # seconds between attempts to reach the dealer: at first, at most
_DISTRUST_SECONDS = 1.0  # between two looks whether the dealer is believed again
AHEAD = 2  # searches that kits are kept ready for
MAX_PLANS = 64  # plans kept in stock; the one not used for longest gives way

log = structlog.get_logger()


class KitBurnt(Exception):
    """The number asked for can never be used (again); ``floor`` is the lowest one that can."""

    def __init__(self, floor: int) -> None:
        super().__init__(f"kits below {floor} are used up")
        self.floor = floor


class KitAside(KitBurnt):
    """The number asked for is audited here."""


@dataclass(frozen=True)
class StockLevel:
    """What the status shows of one plan."""

    plan: KitPlan
    available: int
    target: int


class KitStock:
    """All kits of this party, up to ``memory_bytes`` in memory. ``fill`` must be going on for any to come."""

    def __init__(
        self,
        directory: Path,
        party: int,
        source: KitSource,
        first: Callable[[], int] = lambda: 1,
        audit_one_in: int = 0,
        memory_bytes: int = 0,
        worker: int = 0,
    ) -> None:
        self.worker = worker  # whose kits these are (visard_party.kits.ledger.kit_id)
        self.trust = Trust(directory, party, worker)
        self.choosing = Choosing(directory, audit_one_in)
        self._directory = directory
        self._party = party
        self._source = source
        self._first = first
        self.memory = KitMemory(memory_bytes)
        self._shelves: dict[bytes, Shelf] = {}
        # every shelf somebody still works with: a second one of the same plan could use a number twice
        self._alive: WeakValueDictionary[bytes, Shelf] = WeakValueDictionary()
        self._work = asyncio.Event()
        self.full = asyncio.Event()  # set while nothing is missing
        self.set_aside = asyncio.Event()  # that there is something new to audit
        self._defects: list[Exception] = []  # what nobody foresaw, to be heard when nothing else is to be done

    def want(self, plan: KitPlan, target: int) -> None:
        """Keep ``target`` kits of a plan in stock from now on."""
        shelf = self._alive.get(plan.digest) or self._shelf(plan, target)
        shelf.target = max(shelf.target, target)
        self._shelves.pop(plan.digest, None)
        self._shelves[plan.digest] = self._alive[plan.digest] = shelf  # most recently wanted last
        while len(self._shelves) > MAX_PLANS:
            self._shelves.pop(next(iter(self._shelves))).clear()
        self._work.set()

    def want_ahead(self, plans: Sequence[KitPlan]) -> None:
        """Keep kits for AHEAD searches in stock, of which one takes these: those of blocks are the same for all galleries."""
        for plan, count in Counter(plans).items():
            self.want(plan, AHEAD * count)

    def _shelf(self, plan: KitPlan, target: int) -> Shelf:
        return Shelf(self._directory, plan, self._party, target, self._first(), self.choosing, self.memory)

    async def reserve(self, plan: KitPlan, seconds: float) -> int:
        """A number for a new run, waiting for one if need be; raises ResourceExhausted.

        FailedPrecondition while the dealer is not believed; so does ``take``.
        """
        self.trust.require()
        self.want(plan, 1)
        shelf = self._shelves[plan.digest]
        try:
            async with asyncio.timeout(seconds), shelf.changed:
                while (number := shelf.ledger.reserve()) is None:
                    await shelf.changed.wait()
        except TimeoutError as error:
            message = "no kit in stock: the dealer is away, or slower than the requests"
            raise ResourceExhausted(message, retry_after=RETRY_SECONDS) from error
        self._work.set()
        return number

    async def release(self, plan: KitPlan, number: int) -> None:
        """Give back a reserved number that no other party was told."""
        self.want(plan, 1)
        shelf = self._shelves[plan.digest]
        async with shelf.changed:
            shelf.ledger.release(number)
            shelf.changed.notify_all()

    async def take(self, plan: KitPlan, number: int, seconds: float) -> Kit:
        """The kit of this number, for this once; raises KitBurnt, and ResourceExhausted when it does not come.

        KitAside for a number that is audited here, which is as good as burnt.
        """
        self.trust.require()
        self.want(plan, 1)
        shelf = self._shelves[plan.digest]
        if shelf.ledger.audited(number, shelf.chosen):
            raise KitAside(shelf.ledger.floor)
        if not shelf.ledger.demand(number, shelf.chosen):
            raise KitBurnt(shelf.ledger.floor)
        self._work.set()
        try:
            async with asyncio.timeout(seconds), shelf.changed:
                await shelf.changed.wait_for(lambda: number in shelf.ledger.in_stock)
                old = shelf.ledger.taken(number)
                floor = shelf.ledger.floor
        except TimeoutError as error:
            raise ResourceExhausted(f"kit {number} did not arrive", retry_after=RETRY_SECONDS) from error
        finally:
            shelf.ledger.demanded.discard(number)  # also when the caller is gone
        self._work.set()
        try:
            return await asyncio.to_thread(shelf.take, number, floor, old)
        except KitError as error:
            raise FailedPrecondition(str(error)) from error

    async def raise_floor(self, plan: KitPlan, floor: int) -> None:
        """Use no number below ``floor`` any more: the others have burnt them."""
        self.want(plan, 1)
        shelf = self._shelves[plan.digest]
        old = shelf.ledger.raise_floor(floor)
        await asyncio.to_thread(shelf.files.write_floor, shelf.ledger.floor)
        await asyncio.to_thread(shelf.files.delete, old)
        self._work.set()

    def clear(self) -> None:
        """Fetch everything anew that no run waits for: the dealer's secret was changed, so it deals other kits now."""
        for shelf in self._alive.values():
            shelf.clear()
        self.memory.keep_only(set(self._alive))
        known = {digest.hex() for digest in self._alive}
        for kit in self._directory.glob("*/*.kit"):
            if kit.parent.name not in known:  # of a plan that nobody has asked for since the start
                kit.unlink(missing_ok=True)
        self._work.set()

    def discard(self) -> None:
        """Throw away every kit that no run waits for: after a disk was lost, who knows which were used.

        Party 0, which picks numbers, goes on with numbers beyond any that were used.
        """
        first = renew_first_number(self._directory) if self._party == LEADER else 1
        for shelf in self._alive.values():
            shelf.clear()
            shelf.files.delete(shelf.ledger.raise_floor(first))
            shelf.files.write_floor(shelf.ledger.floor)
        self.memory.keep_only(set(self._alive))
        known = {digest.hex() for digest in self._alive}
        for folder in self._directory.iterdir():
            if folder.is_dir() and folder.name not in known:
                shutil.rmtree(folder)
        self._work.set()

    async def adopt(self, key: AuditKey) -> None:
        """The parties have another key that says which kits are audited: what it chooses of the stock is set aside at once."""
        self.choosing.key = key
        claims = [(shelf, shelf.chosen_anew()) for shelf in self._alive.values()]  # before anybody else has a turn
        try:
            await asyncio.to_thread(self.choosing.keep)
        except OSError as error:  # after a restart the parties make another one
            log.warning("the audit key cannot be kept", reason=str(error))
        for shelf, numbers in claims:
            await self._put_aside(shelf, numbers)
        self._work.set()

    async def _put_aside(self, shelf: Shelf, numbers: set[int]) -> None:
        await shelf.put_aside(numbers)
        if numbers:
            self.set_aside.set()

    def aside(self) -> list[tuple[Shelf, int]]:
        """What waits for its audit, of each plan in order of number."""
        return [(shelf, number) for shelf in self._shelves.values() for number in sorted(shelf.pending)]

    async def distrust(self, problem: str) -> None:
        """The dealer has failed: nothing is used any more of what it has delivered, nor fetched. Raises OSError."""
        await asyncio.to_thread(self.trust.lose, problem)
        self.clear()
        for shelf, number in self.aside():
            await shelf.finish(number)

    def levels(self) -> list[StockLevel]:
        """What is in stock of each plan that is wanted: kits that no run has reserved."""
        return [
            StockLevel(shelf.plan, len(shelf.ledger.in_stock - shelf.ledger.reserved), shelf.target)
            for shelf in self._shelves.values()
        ]

    async def fill(self) -> None:
        """Fetch what is missing, for ever: fair between plans, and patient when the dealer is away."""
        pause = _BACKOFF[0]
        while True:
            if self.trust.problem:
                self.clear()  # also what came just then, or was there when we were started
                await asyncio.sleep(_DISTRUST_SECONDS)
                continue
            self._work.clear()
            self.full.clear()
            outcomes = [await self._attempt(shelf) for shelf in list(self._shelves.values())]
            if True in outcomes:
                pause = _BACKOFF[0]
            elif None not in outcomes:
                self.full.set()
                await self._work.wait()
            elif self._defects:  # all plans that can be filled are
                raise self._defects.pop()
            else:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._work.wait()
                pause = min(2 * pause, _BACKOFF[1])

    async def _attempt(self, shelf: Shelf) -> bool | None:
        """Whether a kit was fetched; None when it failed, which must not keep other plans waiting meanwhile."""
        try:
            return await self._fetch(shelf)
        except (ServiceFault, OSError) as error:
            log.warning("no kit from the dealer", reason=str(error))
        except Exception as error:
            self._defects = [error]
        return None

    async def _fetch(self, shelf: Shelf) -> bool:
        """Fetch one kit of a plan, if one is missing."""
        number = shelf.ledger.next_to_fetch(shelf.target)
        if number is None:
            return False
        shelf.ledger.fetching = number
        try:
            with stage("kit"):
                part = await self._source.fetch(shelf.plan, number)
                await asyncio.to_thread(shelf.files.store, number, part)
        except (
            FailedPrecondition
        ) as error:  # all three have asked for its seeds, we before we were killed: nobody uses it
            log.warning("a kit is not to be had any more", kit=number, reason=str(error))
            async with shelf.changed:
                shelf.ledger.withheld(number)
                shelf.changed.notify_all()
            return True
        finally:
            shelf.ledger.fetching = None
        async with shelf.changed:
            if not shelf.ledger.arrived(number):
                shelf.files.delete({number})
            audited = shelf.ledger.set_aside(shelf.chosen)
            shelf.changed.notify_all()
        await self._put_aside(shelf, audited)
        return True
