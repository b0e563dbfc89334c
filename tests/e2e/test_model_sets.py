"""A party whose store has other models is named by its peers, and not computed with, until it has the right ones again."""

import asyncio
import contextlib
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from visard.client import Client, Connection
from visard.cluster import Cluster
from visard.errors import FailedPrecondition, Unavailable, VisardError

from tests.waiting import status_that


@asynccontextmanager
async def spoilt(cluster: Cluster, kept: Path, statement: str) -> AsyncIterator[None]:
    """Party 2 with a store that somebody has changed; afterwards it has its own again."""
    database = cluster.home / "party2" / "visard.sqlite"
    await asyncio.to_thread(cluster.stop_one, "party2")
    shutil.copy(database, kept)
    try:
        with contextlib.closing(sqlite3.connect(database)) as db, db:
            db.execute(statement)
        await asyncio.to_thread(cluster.start, ["party2"])
        yield
    finally:
        await asyncio.to_thread(cluster.stop_one, "party2")
        for left in database.parent.glob("visard.sqlite*"):
            left.unlink()
        shutil.copy(kept, database)
        await asyncio.to_thread(cluster.start, ["party2"])


async def party_without_a_model__should_be_named(cluster: Cluster, tmp_path: Path) -> None:
    async with Client(Connection.from_home(cluster.home)) as client:
        assert (await status_that(client, lambda s: s.ready)).parties[0].peers[0].version
        async with spoilt(cluster, tmp_path / "kept", "DELETE FROM models"):
            status = await status_that(client, lambda s: all("other models" in p.reason for p in s.parties))
            assert "party 2 has published other models" in status.parties[0].reason
            assert "party 0" in status.parties[2].reason
            assert "party 1" not in status.parties[0].reason
            assert [peer.models_differ for peer in status.parties[1].peers] == [False, True]
        await status_that(client, lambda s: s.ready)


async def party_with_another_publication__should_not_be_computed_with(
    cluster: Cluster, tmp_path: Path, photos: dict[str, Path]
) -> None:
    """The same name and program at another time: other weights, as in a backup of long ago. Mixed they would answer nonsense."""
    async with Client(Connection.from_home(cluster.home)) as client:
        await status_that(client, lambda s: s.ready)
        async with spoilt(cluster, tmp_path / "kept", "UPDATE models SET created = created - 1"):
            async with Client(Connection.from_home(cluster.home), retry=False) as once:
                with pytest.raises(VisardError, match="models"):  # at first as a difference that may pass
                    await until_compared(once, photos["obama"])
            await status_that(client, lambda s: all("other models" in p.reason for p in s.parties))
            with pytest.raises(FailedPrecondition, match="its models are not those of"):
                await client.compare(photos["obama"], photos["obama2"])
        await status_that(client, lambda s: s.ready)
        assert (await client.compare(photos["obama"], photos["obama2"])).match


async def until_compared(client: Client, photo: Path) -> None:
    """A comparison once the parties are there and know that they hold the same references; raises what they say of models."""
    async with asyncio.timeout(60):
        while True:
            try:
                await client.compare(photo, photo)
                return
            except Unavailable as error:
                if "models" in str(error):
                    raise
            await asyncio.sleep(0.1)
