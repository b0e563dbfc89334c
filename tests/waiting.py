"""Waiting for states: the end is far away, so that what a test finds does not depend on how busy the machine is."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from visard.client import Client
from visard.results import Status

PATIENCE = 90.0  # after which what must happen has not happened
_PAUSE = 0.05


async def until(condition: Callable[[], bool | Awaitable[bool]], seconds: float = PATIENCE) -> None:
    """Wait for what must become true; raises TimeoutError when it does not."""
    async with asyncio.timeout(seconds):
        while True:
            found = condition()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(_PAUSE)


def becomes(condition: Callable[[], bool], seconds: float = PATIENCE) -> bool:
    """Whether something becomes true in time, for tests that are not coroutines."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(_PAUSE)
    return True


async def status_that(client: Client, fits: Callable[[Status], bool]) -> Status:
    """The first status that fits."""
    async with asyncio.timeout(PATIENCE):
        while not fits(answer := await client.status()):
            await asyncio.sleep(_PAUSE)
        return answer


async def at_rest(client: Client) -> None:
    """Wait until the services are ready, run nothing and have all the kits that they keep: no request meets a lack."""
    await status_that(client, _rests)


def _rests(status: Status) -> bool:
    stocks = [stock for party in status.parties for stock in party.stock]
    busy = any(party.runs_active for party in status.parties)
    return status.ready and not busy and all(stock.available >= stock.target for stock in stocks)
