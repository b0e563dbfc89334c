"""A home moves from SQLite to MongoDB party by party, each written anew from the two others, and holds the same afterwards."""

import asyncio
import os
import re
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from visard.client import Client, Connection
from visard.cluster import Cluster, OtherSettings
from visard.errors import FailedPrecondition

from bench.mongod import Mongod
from tests.conftest import UNLIMITED, published

SECONDS = 90.0


@pytest.fixture
def moving(tmp_path: Path) -> Iterator[Cluster]:
    """Five services on SQLite."""
    with published(tmp_path / "home", options=UNLIMITED) as running:
        yield running


def edited(cluster: Cluster, party: int, store: str) -> None:
    """What an operator does to a party's settings."""
    settings = cluster.home / f"party{party}.toml"
    settings.write_text(re.sub("^store = .*$", f'store = "{store}"', settings.read_text(), flags=re.M))


async def until(asks: Callable[[], Awaitable[bool]], what: str) -> None:
    end = time.monotonic() + SECONDS
    while not await asks():
        assert time.monotonic() < end, f"not in time: {what}"
        await asyncio.sleep(0.2)


async def home__should_hold_the_same_when_all_its_parties_have_moved(
    moving: Cluster, standalone: Mongod, photos: dict[str, Path]
) -> None:
    store = standalone.uri(f"moved_{os.urandom(4).hex()}_{{party}}")
    with pytest.raises(OtherSettings, match="Moving to another store"):
        Cluster(moving.home, moving.base_port, store=store).prepare()
    async with (
        Client(Connection.from_home(moving.home), deadline=SECONDS) as client,
        Client(Connection.from_home(moving.home, "admin"), deadline=SECONDS) as administrator,
    ):
        await client.enrol("ada", [photos["obama"]], metadata=b"note", ttl_seconds=86400)
        await client.enrol("bob", [photos["biden"]])
        await administrator.admin.grant("enroller/kiosk-8", "ada")
        before, kept = await client.references("ada"), await administrator.admin.holdings([""])

        async def ready() -> bool:
            return (await administrator.status()).ready

        async def differs(party: int) -> bool:
            status = await administrator.status()
            return "visard admin recover" in status.parties[party].reason

        for party in (2, 1, 0):
            moving.stop_one(f"party{party}")
            edited(moving, party, store.replace("{party}", str(party)))
            await asyncio.to_thread(moving.start, [f"party{party}"], SECONDS)
            await until(partial(differs, party), "the empty store is seen")
            with pytest.raises(FailedPrecondition):
                await client.verify("ada", photos["obama2"])
            assert await administrator.admin.recover(party) == 2
            await until(ready, "all three hold the same")
            status = await administrator.status()
            assert "MongoDB" in status.parties[party].store
            (moving.home / f"party{party}" / "visard.sqlite").unlink()  # nobody needs it any more
        assert await administrator.admin.holdings([""]) == kept
        assert (await administrator.admin.audit()).clean
        assert await client.references("ada") == before
        assert [right.grantee for right in await administrator.admin.rights()] == ["enroller/kiosk-8"]
        assert (await client.verify("ada", photos["obama2"])).match
    moved = Cluster(moving.home, moving.base_port, store=store)
    moved.prepare()  # as visard up --store does from now on
    with pytest.raises(OtherSettings):
        Cluster(moving.home, moving.base_port).prepare()
