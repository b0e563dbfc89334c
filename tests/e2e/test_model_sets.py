"""A party whose store lacks a model is named by its peers until it has the model again."""

import asyncio
import contextlib
import shutil
import sqlite3
from pathlib import Path

from visard.client import Client, Connection
from visard.cluster import Cluster

from tests.waiting import status_that


async def party_without_a_model__should_be_named(cluster: Cluster, tmp_path: Path) -> None:
    database = cluster.home / "party2" / "visard.sqlite"
    async with Client(Connection.from_home(cluster.home)) as client:
        assert (await status_that(client, lambda s: s.ready)).parties[0].peers[0].version
        await asyncio.to_thread(cluster.stop_one, "party2")
        shutil.copy(database, tmp_path / "kept")
        try:
            with contextlib.closing(sqlite3.connect(database)) as db, db:
                db.execute("DELETE FROM models")
            await asyncio.to_thread(cluster.start, ["party2"])
            status = await status_that(client, lambda s: all("other models" in p.reason for p in s.parties))
            assert "party 2 has published other models" in status.parties[0].reason
            assert "party 0" in status.parties[2].reason
            assert "party 1" not in status.parties[0].reason
            assert [peer.models_differ for peer in status.parties[1].peers] == [False, True]
        finally:
            await asyncio.to_thread(cluster.stop_one, "party2")
            for left in database.parent.glob("visard.sqlite*"):
                left.unlink()
            shutil.copy(tmp_path / "kept", database)
            await asyncio.to_thread(cluster.start, ["party2"])
        await status_that(client, lambda s: s.ready)
