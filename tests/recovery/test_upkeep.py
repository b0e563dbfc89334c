"""On MongoDB: shares are renewed without changing an answer, a lost store is written anew, and an audit names what differs."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import numpy as np
import pytest
from visard.client import Client, Connection
from visard.cluster import Cluster
from visard.errors import DeadlineExceeded, FailedPrecondition, PermissionDenied, ServiceError
from visard_engine.field import M31
from visard_engine.shamir import is_degree_1, reconstruct

from bench.mongod import Documents, Mongod
from tests.conftest import published
from tests.waiting import PATIENCE


@pytest.fixture(scope="module")
def mongo_cluster(replica_set: Mongod, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Five services whose parties keep everything in MongoDB."""
    store = replica_set.uri(f"visard_{os.urandom(4).hex()}_{{party}}")
    with published(tmp_path_factory.mktemp("home"), store=store) as running:
        yield running


@pytest.fixture
async def client(mongo_cluster: Cluster, photos: dict[str, Path]) -> AsyncIterator[Client]:
    async with Client(Connection.from_home(mongo_cluster.home), deadline=180) as connected:
        await connected.enrol("anchor", [photos["obama"]], metadata=b"note")
        yield connected
        for subject in await connected.subjects():
            await connected.delete(subject.subject)


@pytest.fixture
async def administrator(mongo_cluster: Cluster) -> AsyncIterator[Client]:
    async with Client(Connection.from_home(mongo_cluster.home, "admin"), deadline=120) as connected:
        yield connected


class Databases:
    """The three parties' databases, from outside."""

    def __init__(self, server: Mongod, cluster: Cluster) -> None:
        name = cluster.store.partition("?")[0].rpartition("/")[2]
        self._client = Documents(server.root_uri())
        self.parties = [self._client[name.replace("{party}", str(party))] for party in range(3)]

    def descriptors(self, party: int) -> dict[str, np.ndarray]:
        rows = self.parties[party].refs.find({"visible": True}).sort("_id")
        return {row["_id"]: np.frombuffer(row["descriptor"], "<u4") for row in rows}

    def weights(self, party: int) -> np.ndarray:
        (model,) = self.parties[party].models.find()
        chunks = self.parties[party]["weights.chunks"].find({"files_id": model["file"]}).sort("n")
        return np.frombuffer(b"".join(chunk["data"] for chunk in chunks), "<u4")


@pytest.fixture
def databases(replica_set: Mongod, mongo_cluster: Cluster) -> Iterator[Databases]:
    opened = Databases(replica_set, mongo_cluster)
    yield opened
    opened._client.close()


async def until_ready(client: Client, seconds: float = PATIENCE) -> None:
    """Wait for the services to say that they are ready."""
    end = time.monotonic() + seconds
    while not (status := await client.status()).ready:
        assert time.monotonic() < end, status
        await asyncio.sleep(0.3)


async def until_told(client: Client, text: str, seconds: float = PATIENCE) -> None:
    """Wait for a party to say why it is not ready."""
    end = time.monotonic() + seconds
    while True:
        status = await client.status()
        if any(text in party.reason for party in status.parties):
            return
        assert time.monotonic() < end, status
        await asyncio.sleep(0.3)


async def refresh__should_change_every_share_and_no_secret(
    client: Client, administrator: Client, databases: Databases, photos: dict[str, Path]
) -> None:
    before = [databases.descriptors(party) for party in range(3)], [databases.weights(party) for party in range(3)]
    assert await administrator.admin.refresh() == len(before[0][0])
    after = [databases.descriptors(party) for party in range(3)], [databases.weights(party) for party in range(3)]
    for name in before[0][0]:
        old, new = ([rows[name] for rows in side[0]] for side in (before, after))
        assert (reconstruct(M31, old) == reconstruct(M31, new)).all()
        assert is_degree_1(M31, new)
    assert (reconstruct(M31, before[1]) == reconstruct(M31, after[1])).all()
    for party in range(3):
        # of 5.6 million uniform words no more stay the same than chance lets
        assert (before[1][party] == after[1][party]).sum() <= 3
        slopes = (after[1][party].astype(np.int64) - before[1][party]) % M31.p
        assert abs(slopes.mean() / M31.p - 0.5) < 0.002
    assert (await client.verify("anchor", photos["obama2"])).match
    assert not (await client.verify("anchor", photos["biden"])).match
    (reference,) = await client.references("anchor")
    assert (reference.version, reference.metadata) == (2, b"note")


async def refreshes_at_a_time__should_not_mix(client: Client, administrator: Client, photos: dict[str, Path]) -> None:
    verify = [client.verify("anchor", photos[name]) for name in ("obama2", "biden", "obama2")]
    answers = await asyncio.gather(
        administrator.admin.refresh(), *verify, administrator.admin.refresh(), return_exceptions=True
    )
    for answer in answers:  # a run that met another version at a peer is refused, and never wrong
        assert not isinstance(answer, Exception) or isinstance(answer, FailedPrecondition | ServiceError), answer
    matches = [
        getattr(answer, "match", expected) for answer, expected in zip(answers[1:4], (True, False, True), strict=True)
    ]
    assert matches == [True, False, True]
    assert (await client.verify("anchor", photos["obama2"])).match
    assert (await administrator.admin.audit()).clean


async def refresh__should_leave_no_moment_without_models(
    client: Client, administrator: Client, mongo_cluster: Cluster, photos: dict[str, Path]
) -> None:
    """Whoever comes while the models are read again sees them, and what an administrator was told is true."""
    ended, seen = asyncio.Event(), list[list[str]]()

    async def look() -> None:
        async with Client(Connection.from_home(mongo_cluster.home), retry=False, deadline=10) as fresh:
            while not ended.is_set():
                seen.append([model.name for model in await fresh.models.list()])

    looking = asyncio.ensure_future(look())
    for _ in range(4):
        await administrator.admin.refresh()
        async with Client(Connection.from_home(mongo_cluster.home), retry=False) as fresh:
            assert (await fresh.verify("anchor", photos["obama2"])).match
    ended.set()
    await looking
    assert len(seen) > 4
    assert all(names == ["face"] for names in seen)


async def stale_store__should_answer_nothing_from_its_first_moment(
    client: Client, databases: Databases, mongo_cluster: Cluster, photos: dict[str, Path]
) -> None:
    """A party whose backup is older than the others' stores: what the three hold is compared before anything is answered."""
    stale = databases.parties[2].refs.find_one({"visible": True})
    assert stale is not None
    enrolment = await client.enrol("later", [photos["biden"]])
    mongo_cluster.kill("party2")
    databases.parties[2].refs.delete_one({"_id": enrolment.references[0]})
    kept = databases.parties[2].writes.find_one_and_delete({"kind": "change"}, sort=[("$natural", -1)])
    assert kept is not None
    mongo_cluster.spawn("party2")
    try:
        async with Client(Connection.from_home(mongo_cluster.home), retry=False) as fresh:
            for _ in range(40):
                with pytest.raises((ServiceError, FailedPrecondition, DeadlineExceeded)):
                    await fresh.verify("anchor", photos["obama2"])
                await asyncio.sleep(0.1)
    finally:
        async with Client(Connection.from_home(mongo_cluster.home, "admin"), deadline=120) as administrator:
            await until_told(client, "visard admin audit")
            assert await administrator.admin.recover(2) == 2
    assert (await client.verify("later", photos["biden"])).match


async def client_certificate__should_not_administer(client: Client) -> None:
    for attempt in (client.admin.refresh(), client.admin.recover(0), client.admin.holdings([""])):
        with pytest.raises(PermissionDenied):
            await attempt


async def lost_reference__should_be_named_and_stop_the_service_until_it_is_restored(
    client: Client, administrator: Client, databases: Databases, mongo_cluster: Cluster, photos: dict[str, Path]
) -> None:
    enrolment = await client.enrol("second", [photos["biden"]])
    databases.parties[1].refs.delete_one({"_id": enrolment.references[0]})
    mongo_cluster.kill("party1")  # it hashes what it holds anew when it starts
    mongo_cluster.start(["party1"])
    await until_told(client, "visard admin audit")
    found = await administrator.admin.audit()
    assert [d.reference_id for d in found.differences] == list(enrolment.references)
    assert [view is None for view in found.differences[0].parties] == [False, True, False]
    assert found.steps == 1
    with pytest.raises(FailedPrecondition, match="visard admin"):
        await client.verify("anchor", photos["obama2"])
    assert await administrator.admin.recover(1) == 2
    assert (await client.status()).ready  # done is done
    assert (await client.verify("second", photos["biden"])).match
    assert (await administrator.admin.audit()).clean


@pytest.mark.parametrize("party", [0, 1, 2])
async def lost_store__should_be_written_anew_share_for_share(
    client: Client,
    administrator: Client,
    databases: Databases,
    mongo_cluster: Cluster,
    photos: dict[str, Path],
    party: int,
) -> None:
    before, weights = databases.descriptors(party), databases.weights(party)
    await administrator.admin.grant("enroller/kiosk-7", "anchor")
    rights, references = await administrator.admin.rights(), await client.references("anchor")
    mongo_cluster.kill(f"party{party}")
    database = databases.parties[party]
    for collection in database.list_collection_names():
        database.drop_collection(collection)
    mongo_cluster.start([f"party{party}"])
    await until_told(client, "visard admin audit")
    assert await administrator.admin.recover(party) == 1
    assert (await client.status()).ready
    assert (databases.weights(party) == weights).all()
    assert await administrator.admin.rights() == rights
    assert await client.references("anchor") == references
    assert references[0].enrolled_by == "enroller/default"
    await administrator.admin.revoke("enroller/kiosk-7", "anchor")
    after = databases.descriptors(party)
    assert after.keys() == before.keys()
    assert all((after[name] == before[name]).all() for name in before)
    assert (await client.verify("anchor", photos["obama2"])).match
    await client.enrol("afterwards", [photos["biden"]])
    assert await client.delete("afterwards") == 1
    assert (await administrator.admin.audit()).clean
