"""A steady load of verifications whose answers are known, and an exact count of what became of each."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from visard.capture import Chip
from visard.client import Client, Connection
from visard.errors import Exhausted, Unavailable, VisardError

SUBJECT = "load"
UNLIMITED = {
    f"attempts_{what}": "1_000_000" for what in ("subject", "gallery", "search", "caller")
}  # counted, and never enough
PATIENCE = 60.0  # seconds in which a request must be answered, however often it is sent again
_PAUSE = 0.3

T = TypeVar("T")


@dataclass
class Tally:
    """What became of the requests. ``retried`` counts attempts that failed and were made again, by kind of error."""

    requests: int = 0
    answered: int = 0
    wrong: int = 0
    retried: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def summary(self) -> dict[str, object]:
        """For people and for JSON."""
        ordered = sorted(self.seconds) or [0.0]
        return {
            "requests": self.requests,
            "answered": self.answered,
            "wrong": self.wrong,
            "retried": dict(self.retried),
            "failures": self.failures,
            "median_s": round(ordered[len(ordered) // 2], 3),
            "slowest_s": round(ordered[-1], 3),
        }


class _CountingClient(Client):
    """A client whose failed attempts are counted, those that it makes again by itself included."""

    def __init__(self, connection: Connection, tally: Tally) -> None:
        super().__init__(connection)
        self._tally = tally
        self._made = self._caller.call
        self._caller.call = self._counted  # type: ignore[method-assign]

    async def _counted(self, call: Callable[[], Awaitable[T]]) -> T:
        try:
            return await self._made(call)
        except VisardError as error:
            self._tally.retried[type(error).__name__] += 1
            raise


@dataclass(frozen=True)
class Faces:
    """Two chips of one person, and one of somebody else."""

    enrolled: Chip
    same: Chip
    other: Chip


class Load:
    """Workers that verify, one request after another each, until they are told to stop."""

    def __init__(self, connection: Connection, faces: Faces, *, workers: int = 2, interval: float = 0.5) -> None:
        self.tally = Tally()
        self._connection = connection
        self._faces = faces
        self._workers = workers
        self._interval = interval
        self._stop = asyncio.Event()

    async def run(self) -> Tally:
        """Enrol, verify until ``stop``, delete."""
        async with Client(self._connection) as client:
            await client.enrol(SUBJECT, [self._faces.enrolled])
            async with asyncio.TaskGroup() as group:
                for number in range(self._workers):
                    group.create_task(self._work(number))
            await client.delete(SUBJECT)
        return self.tally

    def stop(self) -> None:
        """No new requests; those under way are answered."""
        self._stop.set()

    async def answered(self, more: int) -> None:
        """Wait until so many more requests were answered, or something failed."""
        goal = self.tally.answered + more
        async with asyncio.timeout(2 * PATIENCE):
            while self.tally.answered < goal and not self.tally.failures:
                await asyncio.sleep(0.1)

    async def _work(self, number: int) -> None:
        async with _CountingClient(self._connection, self.tally) as client:
            while not self._stop.is_set():
                number += 1
                await self._verify(client, same=number % 2 == 0)
                await asyncio.sleep(self._interval)

    async def _verify(self, client: Client, *, same: bool) -> None:
        self.tally.requests += 1
        started = time.monotonic()
        try:
            answer = await _patiently(client, self._faces.same if same else self._faces.other)
        except VisardError as error:
            self.tally.failures.append(f"{type(error).__name__}: {error}")
            return
        self.tally.answered += 1
        self.tally.wrong += answer is not same
        self.tally.seconds.append(time.monotonic() - started)


async def _patiently(client: Client, chip: Chip) -> bool:
    """The answer. A caller may send a verification again when a service was away or full, and after nothing else."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return (await client.verify(SUBJECT, chip)).match
        except (Unavailable, Exhausted):
            if time.monotonic() > end:
                raise
        await asyncio.sleep(_PAUSE)
