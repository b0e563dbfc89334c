"""One party lies in a run: its caller is told that nothing was decided, nothing is stored, and the next request is served."""

import asyncio
import json
import sqlite3
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from visard.client import Client, Connection
from visard.cluster import free_port_base
from visard.errors import AlreadyExists, Deviated
from visard_party.operations.renewal import SEED_BYTES

from tests.attacks.lying import Lie, LyingCluster
from tests.conftest import UNLIMITED
from tests.recovery.crash_table import SECONDS, chip, publish_small
from tests.waiting import at_rest, until

AFTER_THE_NETWORK = 18  # rounds, of which the small network takes fewer
LIES = [(0, Lie(1, 4)), (1, Lie(0, 8)), (2, Lie(1, 1)), (1, Lie(2, 5))]


@pytest.fixture(scope="module")
def lying(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LyingCluster]:
    cluster = LyingCluster(tmp_path_factory.mktemp("lying"), free_port_base(), options=UNLIMITED)
    cluster.prepare()
    try:
        cluster.start()
        asyncio.run(publish_small(cluster.home))
        yield cluster
    finally:
        cluster.stop()


def client(cluster: LyingCluster, role: str = "client", *, retry: bool = False) -> Client:
    return Client(Connection.from_home(cluster.home, role), deadline=SECONDS, retry=retry)


def evidence(cluster: LyingCluster) -> list[list[dict[str, Any]]]:
    """What each party has logged of deviations."""
    texts = [(cluster.home / "logs" / f"party{party}.log").read_text() for party in range(3)]
    lines = [[json.loads(line) for line in text.splitlines() if line.startswith("{")] for text in texts]
    return [[line for line in one if line["event"] == "a party deviates"] for one in lines]


def counted(cluster: LyingCluster) -> list[float]:
    """What each party has counted."""
    found = []
    for party in range(3):
        with urllib.request.urlopen(f"http://{cluster.metrics_address(f'party{party}')}/metrics", timeout=60) as answer:
            families = text_string_to_metric_families(answer.read().decode())
            samples = [sample for family in families for sample in family.samples]
        found.append(sum(sample.value for sample in samples if sample.name == "visard_deviations_total"))
    return found


def stored(cluster: LyingCluster) -> list[tuple[set[Any], set[Any]]]:
    """Each party's references with their shares, and its unfinished writes."""
    found = []
    for party in range(3):
        with sqlite3.connect(cluster.home / f"party{party}" / "visard.sqlite", timeout=60) as db:
            rows = set(db.execute("SELECT * FROM refs"))
            pending = set(db.execute("SELECT request_id FROM writes WHERE state = 2"))
        found.append((rows, pending))
    return found


async def written_down(cluster: LyingCluster, before: list[list[dict[str, Any]]], sessions: int = 1) -> None:
    """All three have written down the same sessions, and counted them."""
    await until(
        lambda: all(len(now) == len(old) + sessions for now, old in zip(evidence(cluster), before, strict=True))
    )
    fresh = [now[len(old) :] for now, old in zip(evidence(cluster), before, strict=True)]
    assert len({frozenset(line["session"] for line in lines) for lines in fresh}) == 1
    assert all(line["rounds"] or line["kind"] == "message" for lines in fresh for line in lines)
    assert counted(cluster) == [len(lines) for lines in evidence(cluster)]


@pytest.mark.parametrize(("liar", "lie"), LIES)
async def lie_in_a_verification__should_leave_it_undecided(lying: LyingCluster, liar: int, lie: Lie) -> None:
    before = evidence(lying)
    async with client(lying) as caller:
        await at_rest(caller)
        lying.lie(liar, lie)
        with pytest.raises(Deviated, match="nothing was decided") as caught:
            await caller.verify("anchor", chip(0))
        assert not any(f"party {k}" in str(caught.value) for k in range(3))
        assert not lying.lies(liar).exists()
        await written_down(lying, before)
        await at_rest(caller)
        assert (await caller.verify("anchor", chip(0))).match


@pytest.mark.parametrize(("liar", "lie"), LIES[:3])
async def lie_in_an_enrolment__should_leave_nothing_stored(lying: LyingCluster, liar: int, lie: Lie) -> None:
    before, held = evidence(lying), stored(lying)
    async with client(lying) as caller:
        await at_rest(caller)
        lying.lie(liar, lie)
        with pytest.raises(Deviated, match="nothing was decided"):
            await caller.enrol("newcomer", [chip(7)])
        await written_down(lying, before)
        assert stored(lying) == held
        await at_rest(caller)
        await caller.enrol("newcomer", [chip(7)])
        assert (await caller.verify("newcomer", chip(7))).match
        await caller.delete("newcomer")


@pytest.mark.parametrize("liar", [0, 1, 2])
async def lie_about_who_is_enrolled__should_leave_nothing_stored(lying: LyingCluster, liar: int) -> None:
    """In the session of the request, when its photo has been through the network."""
    before, held = evidence(lying), stored(lying)
    async with client(lying) as caller:
        await at_rest(caller)
        lying.lie(liar, Lie((liar + 2) % 3, AFTER_THE_NETWORK))
        with pytest.raises(Deviated, match="nothing was decided"):
            await caller.enrol("double", [chip(0)], unique=True)
        await written_down(lying, before)
        assert stored(lying) == held
        await at_rest(caller)
        with pytest.raises(AlreadyExists, match="another name"):
            await caller.enrol("double", [chip(0)], unique=True)


@pytest.mark.parametrize("liar", [0, 1, 2])
async def seeds_that_differ__should_leave_all_shares_as_they_were(lying: LyingCluster, liar: int) -> None:
    before, held = evidence(lying), stored(lying)
    async with client(lying, "admin") as administrator, client(lying) as caller:
        await at_rest(caller)
        lying.lie(liar, Lie((liar + 1) % 3, 1, engine=False, size=SEED_BYTES))
        with pytest.raises(Deviated, match="nothing was decided"):
            await administrator.admin.refresh()
        await written_down(lying, before)
        assert stored(lying) == held
        await at_rest(caller)
        await administrator.admin.refresh()
        assert (await caller.verify("anchor", chip(0))).match


@pytest.mark.parametrize(("liar", "peer"), [(0, 1), (1, 0), (2, 0)])
async def nonsense_before_a_run__should_be_written_down_as_well(lying: LyingCluster, liar: int, peer: int) -> None:
    before = evidence(lying)
    async with client(lying) as caller:
        await at_rest(caller)
        lying.lie(liar, Lie(peer, 1, engine=False))
        with pytest.raises(Deviated, match="what does not belong there"):
            await caller.verify("anchor", chip(0))
        await written_down(lying, before)
        await at_rest(caller)
        assert (await caller.verify("anchor", chip(0))).match


async def party_that_always_lies__should_be_met_twice_and_no_more(lying: LyingCluster) -> None:
    before = evidence(lying)
    async with client(lying, retry=True) as caller:
        await at_rest(caller)
        lying.lie(2, Lie(1, 3, always=True))
        try:
            with pytest.raises(Deviated):
                await caller.verify("anchor", chip(0))
            await written_down(lying, before, sessions=2)
        finally:
            lying.lies(2).unlink()
        assert (await caller.verify("anchor", chip(0))).match


async def lie_that_is_told_once__should_not_be_seen_by_a_caller(lying: LyingCluster) -> None:
    """The client sends again by itself, a write under another id."""
    async with client(lying, retry=True) as caller:
        await at_rest(caller)
        lying.lie(0, Lie(2, 3))
        await caller.enrol("second", [chip(9)])
        assert not lying.lies(0).exists()
        assert [subject.references for subject in await caller.subjects() if subject.subject == "second"] == [1]
        await caller.delete("second")
