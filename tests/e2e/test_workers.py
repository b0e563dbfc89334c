"""A gallery spread over two workers of each party: the same answers, never a silent part of them, and more workers on the way."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from visard.client import Client, Connection
from visard.cluster import Cluster
from visard.errors import Unavailable
from visard.owner import publish

from tests.conftest import UNLIMITED, published
from tests.e2e.test_metrics import page
from tests.e2e.test_migrate import NEW, compiled
from tests.mending import mend, restarted
from tests.waiting import PATIENCE, status_that

POINT = "default"


@pytest.fixture(scope="module")
def spread(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two workers a party."""
    with published(tmp_path_factory.mktemp("spread"), workers=2, options=UNLIMITED) as running:
        yield running


def client_of(cluster: Cluster, deadline: float = PATIENCE) -> Client:
    return Client(Connection.from_home(cluster.home), deadline=deadline)


async def search__should_find_whoever_is_held_by_whichever_worker(spread: Cluster, photos: dict[str, Path]) -> None:
    async with client_of(spread) as client:
        enrolled = await client.enrol("obama", [photos["obama"]] * 8)
        await client.enrol("biden", [photos["biden"]])
        found = await client.identify(photos["obama2"], operating_point=POINT)
        assert {c.reference_id for c in found.candidates} == set(enrolled.references), "in both parts, but for 1 in 128"
        each = await client.identify_each([photos["biden"], photos["obama2"]], operating_point=POINT)
        assert [answer.subject for answer in each] == ["biden", "obama"]
        status = await status_that(client, lambda s: sum(w.references for w in s.parties[0].workers) == 9)
        assert [[w.reason for w in party.workers] for party in status.parties] == [["", ""]] * 3
        assert (await client.identify(photos["biden"], operating_point=POINT, nearest=True)).subject == "biden"
        await client.delete("obama")
        assert (await client.identify(photos["obama2"], operating_point=POINT)).subject is None
        waiting = await client.enrol("joe", [photos["biden"]], review=True)
        assert {candidate.subject for candidate in waiting.candidates} == {"biden"}
        async with Client(Connection.from_home(spread.home, "admin")) as admin:
            await admin.review("joe", accept=False)
        await client.delete("biden")


async def worker_that_is_away__should_make_searches_fail_and_nothing_else(
    spread: Cluster, photos: dict[str, Path]
) -> None:
    async with client_of(spread, 10.0) as client:
        await client.enrol("biden", [photos["biden"]])
        spread.kill("party1-worker1")
        with pytest.raises(Unavailable, match="worker 1 of party"):
            await client.identify(photos["biden"], operating_point=POINT)
        assert (await client.verify("biden", photos["biden"])).match
        await status_that(client, lambda s: "unavailable" in s.parties[1].workers[1].reason)
        shown = await asyncio.to_thread(page, spread, "party1")
        assert {line for line in shown.splitlines() if line.startswith("visard_worker_ready")} == {
            'visard_worker_ready{worker="0"} 1.0',
            'visard_worker_ready{worker="1"} 0.0',
        }
    mend(spread)
    async with client_of(spread) as client:
        assert (await client.identify(photos["biden"], operating_point=POINT)).subject == "biden"
        await client.delete("biden")


async def subject__should_be_moved_to_another_model(spread: Cluster, photos: dict[str, Path]) -> None:
    """Both networks are evaluated by workers, in two fields; the workers hold the new reference, and not the old one."""
    async with Client(Connection.from_home(spread.home, "owner"), deadline=PATIENCE) as owner:
        await publish.publish(owner, NEW, compiled(61, mean=True), allow_loose=True)
        async with client_of(spread) as client:
            await client.enrol("biden", [photos["biden"]])
            assert not (await client.migrate("biden", photos["obama"], NEW)).migrated
            done = await client.migrate("biden", photos["biden"], NEW)
            assert (done.migrated, done.erased) == (True, 1)
            found = await client.identify(photos["biden"], models=["face", NEW], operating_point=POINT)
            assert [(one.subject, one.model) for one in found.candidates] == [("biden", NEW)]
            client.model = NEW
            await client.delete("biden")
        await owner.models.withdraw(NEW)


async def third_worker__should_join_while_searches_go_on(spread: Cluster, photos: dict[str, Path]) -> None:
    """Parties learn of it one after the other, party 0 last: until then it has no part."""
    async with client_of(spread) as client:
        enrolled = await client.enrol("obama", [photos["obama"]] * 12)
        ended = asyncio.Event()

        async def searching() -> int:
            count = 0
            while not ended.is_set():
                found = await client.identify(photos["obama2"], operating_point=POINT)
                assert {c.reference_id for c in found.candidates} == set(enrolled.references)
                count += 1
            return count

        searches = asyncio.create_task(searching())
        spread.workers = 3
        spread.prepare()
        await asyncio.to_thread(spread.start, spread.names[-3:])
        for name in ("party2", "party1", "party0"):
            await asyncio.to_thread(restarted, spread, name)
        status = await status_that(
            client, lambda s: bool(s.parties[0].workers[2:]) and s.parties[0].workers[2].references > 0
        )
        assert len(status.parties[0].workers) == 3
        ended.set()
        assert await searches > 0
        await client.delete("obama")
