"""What a worker holds: its part of each place, in memory, and for each run in progress a view of it that stays as it is."""

import asyncio
import time
from dataclasses import dataclass

import structlog
from visard_common.background import Background
from visard_common.errors import Unavailable
from visard_common.limits import RETRY_SECONDS
from visard_engine.field import Field, field_of
from visard_wire.v1 import worker_pb2

from visard_party.errors import StoreError
from visard_party.gallery import TIDY_SECONDS, Galleries, Rows
from visard_party.spread import part_of
from visard_party.store.base import Store
from visard_party.store.contents import Place
from visard_party.worker.told import Told

MOST_VIEWS = 256  # many more than a party has runs in progress
IDLE_SECONDS = 600.0  # what is held for another number of workers is let go when nobody has asked for it for so long

log = structlog.get_logger()


@dataclass(frozen=True)
class View:
    """Rows of a run, with their field, until it searches, or has ended, or its time is over."""

    rows: Rows
    field: Field
    until: float


@dataclass
class _Spread:
    """What is held for one number of workers."""

    galleries: Galleries
    asked: float = 0.0


class Holding:
    """One worker's rows. While the number of workers changes it holds a part for the old one and a part for the new one."""

    def __init__(self, ordinal: int, store: Store, seconds: float) -> None:
        self._ordinal = ordinal
        self._store = store
        self._seconds = seconds
        self._told = Told()
        self._spreads: dict[int, _Spread] = {}
        self._views: dict[bytes, View] = {}

    async def hold(self, request: worker_pb2.HoldRequest) -> Rows:
        """Rows as they are now, kept for the run under its session; raises StoreError, Unavailable where too many are kept."""
        self.hear(request.told)
        self._forget_late_views()
        if len(self._views) >= MOST_VIEWS:
            raise Unavailable("too many runs are in progress at a worker", retry_after=RETRY_SECONDS)
        place, field_ = Place(request.model, request.gallery), field_of(request.field_bits)
        rows = (await self._read(request.workers, place, field_)).live(request.at_unix_ms)
        rows = rows.without(request.without) if request.without else rows
        if rows:  # or nobody will ask for it
            self._views[request.session] = View(rows, field_, time.monotonic() + self._seconds)
        return rows

    def hear(self, told: worker_pb2.TellRequest) -> None:
        """What the party says was written."""
        self._told.hear(told.changed, everything=told.everything)
        for session in told.ended:
            self._views.pop(session, None)

    @property
    def references(self) -> int:
        """How many are in memory, of all places."""
        return sum(spread.galleries.references for spread in self._spreads.values())

    def taken(self, session: bytes) -> View:
        """What is kept for a run, which is not kept any longer; raises Unavailable."""
        view = self._views.pop(session, None)
        if view is None:
            raise Unavailable("a worker holds nothing for this run, or no longer", retry_after=RETRY_SECONDS)
        return view

    async def _read(self, workers: int, place: Place, field_: Field) -> Rows:
        """A place's rows; a caller that gives up does not end a long reading, so that who comes next finds it further on."""
        spread = self._spreads.get(workers)
        if spread is None:
            part = part_of(self._ordinal, workers)
            spread = self._spreads[workers] = _Spread(Galleries(self._store, self._told, part))
        spread.asked = time.monotonic()
        task = asyncio.get_running_loop().create_task(spread.galleries.get(place, field_))
        task.add_done_callback(_seen)
        return await asyncio.shield(task)

    def _forget_late_views(self) -> None:
        now = time.monotonic()
        self._views = {session: view for session, view in self._views.items() if view.until > now}

    def keep(self, work: Background) -> None:
        """Begin what is done by itself: looking."""
        work.every(TIDY_SECONDS, "rows", self.look)

    async def look(self) -> None:
        """What is erased leaves the memory, and what nobody asks for."""
        self._forget_late_views()
        newest = max((spread.asked for spread in self._spreads.values()), default=0.0)
        for workers, spread in list(self._spreads.items()):
            if spread.asked < newest - IDLE_SECONDS:
                self._spreads.pop(workers).galleries.close()
        for spread in list(self._spreads.values()):
            try:
                await spread.galleries.tidy()
            except StoreError as error:
                log.warning("rows wait for the store", reason=str(error))


def _seen(task: "asyncio.Task[Rows]") -> None:
    """Nobody may be left who hears how a reading has failed: the next one begins it anew."""
    if not task.cancelled() and (error := task.exception()):
        log.warning("rows were not read", reason=str(error))
