"""Runs that are under way, as the parties say themselves: for tests of what happens to them."""

import asyncio
from pathlib import Path

from visard.client import Client
from visard.results import Verification

from tests.waiting import at_rest

ATTEMPTS = 20


async def under_way(client: Client, subject: str, photo: Path) -> "asyncio.Task[Verification]":
    """A verification that all parties have begun. Where the machine did not let us look in time, another one."""
    for _ in range(ATTEMPTS):
        await at_rest(client)
        run = asyncio.create_task(client.verify(subject, photo))
        while not run.done():
            if all(party.runs_active for party in (await client.status()).parties):
                return run
        await run
    raise AssertionError(f"{ATTEMPTS} verifications, and none was seen while it ran")
