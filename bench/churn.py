"""``python -m bench.churn [WRITES]``: a day of writes at three parties on SQLite, and how large their stores become.

The clock is simulated; stores, logs, reports and the horizon are those of the service. Some 2,000 people come and go, most of
them in two busy times of the day. Parties are restarted, one is away for half an hour with a write undecided, and requests are
taken back (``instead_of``). After each hour every request that may still be repeated must be known to all three.
"""

import asyncio
import itertools
import logging
import os
import random
import sqlite3
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from rich.console import Console
from rich.table import Table
from visard_common.limits import MAX_EXPIRY_MS
from visard_party.consistency.recovery import Decision
from visard_party.consistency.watch import Watch
from visard_party.consistency.writes import Writes
from visard_party.store.base import Store
from visard_party.store.contents import Change, Reference, Rename, State, Write
from visard_party.store.sqlite import SqliteStore
from visard_wire.secret import Secret
from visard_wire.v1 import peer_pb2

HOUR_MS = 3_600_000
START_MS = 1_790_000_000_000
LONGEST_SECONDS = 600.0
LOOK_SECONDS = 10.0  # between two reports; the service's come every two
PEOPLE = 2000
BUSY = frozenset({8, 9, 17, 18})  # hours, eight times as busy as others
_KINDS = ("replace", "replace", "rename", "move", "move")
_TABLES = ("writes", "tombstones", "seen", "refs")
_DESCRIPTOR = 512  # bytes

Handler = Callable[[int, Any], Awaitable[None]]


@dataclass
class _Link:
    """What one party sends another: kept until the simulation delivers it."""

    sent: list[peer_pb2.Frame] = field(default_factory=list)

    def send(self, frame: peer_pb2.Frame) -> None:
        self.sent.append(frame)


class _Links:
    """One party's links, in this process."""

    def __init__(self, party: int) -> None:
        self.party = party
        self.peers = tuple(peer for peer in range(3) if peer != party)
        self.away = False
        self.handlers: dict[str, Handler] = {}
        self._links = {peer: _Link() for peer in self.peers}

    def on(self, kind: str, handler: Handler) -> None:
        self.handlers.setdefault(kind, handler)

    def connected(self, _: int) -> bool:
        return not self.away

    def link(self, peer: int) -> _Link:
        return self._links[peer]


class _Together:
    """A run's channel: everybody goes on when all three have staged."""

    def __init__(self) -> None:
        self._barrier = asyncio.Barrier(3)

    async def exchange(self, *_: object) -> None:
        await self._barrier.wait()


class Party:
    """A store, and the consistency of the service over it."""

    def __init__(self, number: int, store: Store, now_ms: Callable[[], int]) -> None:
        self.number, self.store, self._now_ms = number, store, now_ms
        self.restart()

    def restart(self) -> None:
        """Forget what is in memory."""
        links: Any
        self.links = links = _Links(self.number)
        self.writes = Writes(self.store, links)
        self.watch = Watch(self.store, links, self.writes, LONGEST_SECONDS, now_ms=self._now_ms)


@dataclass(frozen=True)
class Hour:
    """A party's store at the end of an hour: writes made in it, rows of each table, bytes of its files."""

    made: int
    rows: dict[str, int]
    size: int


class Day:
    """Three parties through some hours."""

    def __init__(self, folder: Path, seed: int = 1, look_seconds: float = LOOK_SECONDS) -> None:
        self.now = START_MS
        self.hours: list[Hour] = []
        self._folder = folder
        self._look_ms = int(1000 * look_seconds)
        self._random = random.Random(seed)
        self._held: list[str] = []
        # requests that may come again: when they expire, and how they ended
        self._recent: dict[bytes, tuple[int, State]] = {}
        self._number = itertools.count(1)

    async def run(self, writes: int, hours: int = 24) -> None:
        """So many writes; raises AssertionError where the parties' stores are not as they must be."""
        stores = [await SqliteStore.open(self._folder / str(party), party) for party in range(3)]
        self._parties = [Party(number, store, lambda: self.now) for number, store in enumerate(stores)]
        weights = [8 if hour in BUSY else 1 for hour in range(hours)]
        try:
            for hour, weight in enumerate(weights):
                await self._hour(hour, round(writes * weight / sum(weights)))
            await self._same()
        finally:
            for store in stores:
                await store.close()

    async def _hour(self, hour: int, writes: int) -> None:
        begin = START_MS + hour * HOUR_MS
        looks = [(begin + at + 7 * party, party) for at in range(0, HOUR_MS, self._look_ms) for party in range(3)]
        times = [(begin + self._random.randrange(HOUR_MS), -1) for _ in range(writes)]
        away = begin + HOUR_MS // 4 if hour % 6 == 3 else None
        for self.now, party in sorted(looks + times):
            if away and self.now >= away:
                await self._absent(hour % 3)
                away = None
            if party < 0:
                await self._write()
            else:
                await self._parties[party].watch.look()
                await self._deliver()
        if hour % 5 == 4:
            self._parties[hour % 3].restart()
        await self._known()
        self.hours.append(Hour(writes, await self._rows(), self._size()))

    async def _write(self) -> None:
        request, expires = next(self._number).to_bytes(16, "big"), self.now + self._random.randrange(1, MAX_EXPIRY_MS)
        for party in self._parties:
            await party.store.remember(os.urandom(16), self.now, self.now + 2 * MAX_EXPIRY_MS)
        if self._random.random() < 0.01:  # taken back before it came
            await asyncio.gather(*(p.store.drop(request, self.now + MAX_EXPIRY_MS) for p in self._parties))
            self._recent[request] = (expires, State.DROPPED)
            return
        write, channel = self._planned(request), _Together()
        made: list[Awaitable[object]] = [
            p.writes.make(channel, request, b"digest" * 5, write, expires)  # type: ignore[arg-type]
            for p in self._parties
        ]
        if self._random.random() < 0.05:  # somebody looks in its midst
            made.append(self._random.choice(self._parties).watch.look())
        await asyncio.gather(*made)
        self._recent[request] = (expires, State.COMMITTED)

    def _planned(self, request: bytes) -> Write:
        kind = self._random.choice(_KINDS) if len(self._held) >= PEOPLE else "move"
        at = self._random.randrange(len(self._held)) if self._held else 0
        if kind == "rename":
            return Rename((self._held[at],), f"person {self._random.random()}", self.now)
        if kind == "move" and self._held and self._random.random() < len(self._held) / (2 * PEOPLE):
            self._held[at], self._held[-1] = self._held[-1], self._held[at]
            return Change(erase=(self._held.pop(),))
        fresh = Reference(
            request.hex(), "person", "face", 1, self.now, self.now, 0, b"note" * 8, Secret(os.urandom(_DESCRIPTOR))
        )
        erase = (self._held.pop(at),) if kind == "replace" else ()
        self._held.append(fresh.reference_id)
        return Change((fresh,), erase)

    async def _absent(self, number: int) -> None:
        """A party dies before it commits; half an hour later it is back, and recovery rolls its write forward."""
        request, expires, absent = next(self._number).to_bytes(16, "big"), self.now + 60_000, self._parties[number]
        write = self._planned(request)
        for party in self._parties:
            await party.store.stage(request, write, b"digest" * 5, expires)
        for party in self._parties:
            if party is not absent:
                await party.writes.finish(request, Decision.COMMIT)
        absent.restart()
        absent.links.away = True
        back = self.now + HOUR_MS // 2
        while self.now < back:
            self.now += self._look_ms
            for party in self._parties:
                if party is not absent:
                    await party.watch.look()
            await self._deliver()
        states = [(await party.store.states([request]))[request] for party in self._parties]
        assert states.count(State.COMMITTED) == 2, "a write was forgotten that one party has not finished"
        absent.links.away = False
        await absent.writes.finish(request, Decision.COMMIT)

    async def _deliver(self) -> None:
        for party in self._parties:
            for peer in party.links.peers:
                frames, party.links.link(peer).sent = party.links.link(peer).sent, []
                if self._parties[peer].links.away or party.links.away:
                    continue
                for frame in frames:
                    await self._parties[peer].links.handlers["set"](party.number, frame.set)

    async def _known(self) -> None:
        """Each request that may be sent again, or may just have been, is in all three logs, as it ended."""
        self._recent = {i: kept for i, kept in self._recent.items() if kept[0] > self.now - MAX_EXPIRY_MS}
        wanted = {request: state for request, (_, state) in self._recent.items()}
        for party in self._parties:
            assert await party.store.states(list(wanted)) == wanted, "a request was forgotten that may come again"

    async def _same(self) -> None:
        for party in self._parties:
            names = await party.store.names()
            assert sorted(name.reference_id for name in names) == sorted(self._held), "a reference too many, or too few"
            assert names == await self._parties[0].store.names()
            assert not await party.store.pending()

    async def _rows(self) -> dict[str, int]:
        store = self._parties[0].store
        assert isinstance(store, SqliteStore)
        return {table: await store._do(partial(_count, table)) for table in _TABLES}

    def _size(self) -> int:
        return max(sum(path.stat().st_size for path in (self._folder / str(party)).iterdir()) for party in range(3))


def _count(table: str, db: sqlite3.Connection) -> int:
    return int(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def _print(day: Day) -> None:
    table = Table("hour", "writes made", *(f"rows of {name}" for name in _TABLES), "bytes of the largest store")
    for number, hour in enumerate(day.hours):
        table.add_row(str(number), f"{hour.made:,}", *(f"{hour.rows[t]:,}" for t in _TABLES), f"{hour.size:,}")
    Console(width=120).print(table)


def main() -> None:
    """A day, and a table of its hours."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with tempfile.TemporaryDirectory() as folder:
        day = Day(Path(folder))
        asyncio.run(day.run(int(sys.argv[1]) if len(sys.argv) > 1 else 50_000))
    _print(day)
    half = len(day.hours) // 2
    first, second = (max(hour.size for hour in part) for part in (day.hours[:half], day.hours[half:]))
    sys.exit(0 if second <= 1.1 * first else f"the stores grow: {first:,} bytes by noon, {second:,} by midnight")


if __name__ == "__main__":
    main()
