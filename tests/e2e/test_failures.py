"""Whoever dies in the middle of a run, the caller hears UNAVAILABLE in time, the others live on, and nothing is lost.

Each service is killed (SIGKILL) while a verification runs, and while an enrolment runs. Afterwards the parties hold the
same references, and after a restart on the same data the next verification succeeds.
"""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from visard.client import Client, Connection
from visard.cluster import SERVICES, Cluster
from visard.errors import DeadlineExceeded, Exhausted, FailedPrecondition, NotFound, ServiceError, Unavailable

from tests.e2e.runs import under_way
from tests.waiting import PATIENCE, at_rest, becomes

DEADLINE = 60.0


def references(cluster: Cluster, party: int) -> set[tuple[str, str]]:
    """What a party's database shows, and its writes that are neither committed nor dropped."""
    with sqlite3.connect(cluster.home / f"party{party}" / "visard.sqlite", timeout=60) as db:
        rows = set(db.execute("SELECT reference_id, subject FROM refs WHERE visible"))
        pending = db.execute("SELECT count(*) FROM writes WHERE state = 2").fetchone()[0]
    return rows | ({("pending", str(pending))} if pending else set())


async def until_equal(cluster: Cluster, seconds: float = PATIENCE) -> set[tuple[str, str]]:
    """Wait until recovery has left the same references everywhere, and nothing pending."""
    end = time.monotonic() + seconds
    while True:
        views = [references(cluster, party) for party in range(3)]
        settled = views[0] == views[1] == views[2] and not any(row[0] == "pending" for row in views[0])
        if settled or time.monotonic() > end:
            assert settled, views
            return views[0]
        await asyncio.sleep(0.2)


async def verified(client: Client, photo: Path, subject: str = "anchor", seconds: float = PATIENCE) -> bool:
    """A verification that waits for the services to find each other again."""
    end = time.monotonic() + seconds
    while True:
        try:
            return (await client.verify(subject, photo)).match
        except (ServiceError, FailedPrecondition):
            if time.monotonic() > end:
                raise
            await asyncio.sleep(0.3)


@pytest.fixture
async def anchored(cluster: Cluster, photos: dict[str, Path]) -> AsyncIterator[Client]:
    """A client that does not try again, with one subject enrolled that must survive everything."""
    async with (
        Client(Connection.from_home(cluster.home), deadline=DEADLINE) as patient,
        Client(Connection.from_home(cluster.home), deadline=DEADLINE, retry=False) as client,
    ):
        await patient.enrol("anchor", [photos["obama"]])
        assert await verified(client, photos["obama2"])
        await at_rest(client)
        yield client
        for subject in await patient.subjects():
            await patient.delete(subject.subject)


def restart(cluster: Cluster, name: str) -> None:
    cluster.start([name])
    for service in SERVICES:  # all links are up again
        assert becomes(lambda service=service: cluster.healthy(service)), cluster.last_words(service)  # type: ignore[misc]


async def answered_after_the_loss(cluster: Cluster, client: Client, photo: Path, victim: str) -> bool:
    """Kill a service while a verification runs; raises what the caller sees, but for UNAVAILABLE, which is right."""
    run = await under_way(client, "anchor", photo)
    cluster.kill(victim)
    try:
        return (await run).match
    except Unavailable:
        return False


@pytest.mark.parametrize("victim", ["party0", "party1", "party2", "gateway"])
async def killed_service__should_fail_the_verification_and_nothing_else(
    cluster: Cluster, anchored: Client, photos: dict[str, Path], victim: str
) -> None:
    before = await until_equal(cluster)
    others = {name: process.pid for name, process in cluster.processes.items() if name != victim}
    while await answered_after_the_loss(cluster, anchored, photos["obama2"], victim):
        restart(cluster, victim)  # the run was over already
    assert {name: p.pid for name, p in cluster.processes.items() if p.poll() is None} == others
    restart(cluster, victim)
    assert await verified(anchored, photos["obama2"])
    assert await until_equal(cluster) == before


async def killed_dealer__should_not_stop_runs_that_have_kits(
    cluster: Cluster, anchored: Client, photos: dict[str, Path]
) -> None:
    cluster.kill("dealer")
    assert await verified(anchored, photos["obama2"])
    restart(cluster, "dealer")
    assert await verified(anchored, photos["obama2"])


@pytest.mark.parametrize("victim", ["party0", "party1", "party2", "gateway"])
@pytest.mark.parametrize("moment", [0.1, 0.35])
async def interrupted_enrolment__should_be_whole_or_absent(
    cluster: Cluster, anchored: Client, photos: dict[str, Path], victim: str, moment: float
) -> None:
    run = asyncio.ensure_future(anchored.enrol("newcomer", [photos["biden"]]))
    await asyncio.sleep(moment)
    cluster.kill(victim)
    acknowledged = False
    try:
        await run
        acknowledged = True
    except (Unavailable, DeadlineExceeded):
        pass
    restart(cluster, victim)
    subjects = {subject for _, subject in await until_equal(cluster)}
    assert "anchor" in subjects
    assert not acknowledged or "newcomer" in subjects
    try:
        assert await verified(anchored, photos["biden"], "newcomer")
        assert "newcomer" in subjects
    except NotFound:
        assert "newcomer" not in subjects


async def changed_dealer_key__should_be_noticed_and_survived(
    cluster: Cluster, anchored: Client, photos: dict[str, Path]
) -> None:
    """Kits of one number from two keys would make every answer wrong: the parties discard all, and fetch new ones."""
    cluster.kill("dealer")
    cluster.kill("party1")
    for kit in (cluster.home / "party1" / "kits").rglob("*.kit"):
        kit.unlink()  # so that this party fetches the same numbers from the changed dealer
    (cluster.home / "dealer.master").unlink()
    cluster.start(["dealer", "party1"])
    await at_rest(anchored)
    with pytest.raises(Exhausted, match="differ"):
        await anchored.verify("anchor", photos["obama2"])
    assert await verified(anchored, photos["obama2"])
