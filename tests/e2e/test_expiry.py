"""A reference whose time is over is there for no call but the one that erases it, at all three parties from the same moment."""

import asyncio
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import grpc
import pytest
from visard import certs
from visard.client import Client, Connection
from visard.cluster import Cluster
from visard.errors import FailedPrecondition, NotFound, Unavailable
from visard_wire.v1 import gateway_pb2, party_pb2_grpc

from tests.e2e import raw
from tests.waiting import becomes

HOUR = 3600.0


@pytest.fixture(scope="module")
def patient(cluster: Cluster) -> Iterator[Cluster]:
    """The shared cluster with a gateway that does not have references erased while the tests look."""
    settings = cluster.home / "gateway.toml"
    before = settings.read_text()
    text, changed = re.subn("^expiry_interval = .*$", f"expiry_interval = {HOUR}", before, flags=re.MULTILINE)
    assert changed == 1
    certs.issue(cluster.home / "certs", "kiosk", "visard://enroller/kiosk")
    try:
        settings.write_text(text)
        cluster.restart("gateway")
        yield cluster
    finally:
        settings.write_text(before)
        cluster.restart("gateway")
    assert becomes(lambda: not any("brief" in names for names in stored(cluster))), "now they are erased"


def stored(cluster: Cluster) -> list[list[str]]:
    """The subjects of what each party's database holds."""
    found = []
    for party in range(3):
        path = cluster.home / f"party{party}" / "visard.sqlite"
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            query = "SELECT subject FROM refs WHERE visible ORDER BY subject, reference_id"
            found.append([row[0] for row in database.execute(query)])
    return found


async def over(cluster: Cluster, reference_id: str) -> int:
    """Wait until a reference's time is over; when that was."""
    with closing(sqlite3.connect(f"file:{cluster.home}/party0/visard.sqlite?mode=ro", uri=True)) as database:
        (end,) = database.execute("SELECT expires FROM refs WHERE reference_id = ?", (reference_id,)).fetchone()
    while time.time() * 1000 < end:
        await asyncio.sleep(0.05)
    return int(end)


async def listed(cluster: Cluster, party: int, at: int) -> dict[str, int]:
    """What a party tells the gateway for some time."""
    async with raw.channel(cluster, cluster.address(f"party{party}"), "gateway") as channel:
        ask = gateway_pb2.ListSubjectsRequest(model="face", at_unix_ms=at)
        page = await party_pb2_grpc.PartyStub(channel).ListSubjects(ask, timeout=10)
        return {one.subject: one.references for one in page.subjects}


async def noted(cluster: Cluster, party: int, at: int) -> int:
    """How many references of "both" a party tells of for some time."""
    async with raw.channel(cluster, cluster.address(f"party{party}"), "gateway") as channel:
        ask = gateway_pb2.ListReferencesRequest(model="face", subject="both", at_unix_ms=at)
        return len((await party_pb2_grpc.PartyStub(channel).ListReferences(ask, timeout=10)).references)


async def reference_whose_time_is_over__should_be_there_for_no_call(patient: Cluster, photos: dict[str, Path]) -> None:
    face = photos["obama"]
    async with (
        Client(Connection.from_home(patient.home)) as client,
        Client(Connection.from_home(patient.home, "kiosk")) as kiosk,
    ):
        await client.enrol("anchor", [face])
        await client.enrol("both", [face])
        short = await client.enrol("both", [photos["biden"]], ttl_seconds=1)
        brief = await client.enrol("brief", [face], ttl_seconds=1)
        await over(patient, brief.references[0])
        end = await over(patient, short.references[0])
        assert stored(patient) == [["anchor", "both", "both", "brief"]] * 3, "nothing is erased yet"

        assert [(s.subject, s.references) for s in await client.subjects()] == [("anchor", 1), ("both", 1)]
        assert len(await client.references("both")) == 1
        for call in (
            lambda: client.references("brief"),
            lambda: client.verify("brief", photos["obama2"]),
            lambda: client.delete("brief"),
            lambda: client.delete("brief", list(brief.references)),
            lambda: client.delete("both", list(short.references)),
            lambda: client.rename("brief", "other"),
        ):
            with pytest.raises(NotFound):
                await call()
        assert (await client.identify(photos["obama2"])).subject != "brief"
        for party in range(3):
            assert (await listed(patient, party, end - 1))["both"] == 2
            assert (await listed(patient, party, end))["both"] == 1
            assert (await noted(patient, party, end - 1), await noted(patient, party, end)) == (2, 1)

        assert await client.rename("anchor", "brief") == 1, "the name is free"
        assert await client.rename("brief", "anchor") == 1
        assert await client.delete("both") == 1
        await kiosk.enrol("both", [face])  # what is left of the subject is nobody's
        assert [r.enrolled_by for r in await kiosk.references("both")] == ["enroller/kiosk"]
        assert stored(patient) == [["anchor", "both", "both", "brief"]] * 3
        assert await kiosk.delete("both") == 1


async def list__should_be_of_the_time_that_the_gateway_says(patient: Cluster, photos: dict[str, Path]) -> None:
    async with Client(Connection.from_home(patient.home)) as client:
        await client.enrol("anchor", [photos["obama"]], replace=True)
        ask = gateway_pb2.ListSubjectsRequest(model="face", at_unix_ms=1)  # a caller's word does not count
        assert "anchor" in {s.subject for s in (await client._caller.matching.ListSubjects(ask, timeout=10)).subjects}
    for at in (1, int(time.time() * 1000) + 3_600_000):
        with pytest.raises(grpc.aio.AioRpcError, match="at_unix_ms: the time now") as caught:
            await listed(patient, 1, at)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert (await listed(patient, 1, 0))["anchor"] == 1


async def model__should_not_be_withdrawn_from_what_is_still_to_be_erased(
    patient: Cluster, photos: dict[str, Path]
) -> None:
    async with (
        Client(Connection.from_home(patient.home)) as client,
        Client(Connection.from_home(patient.home, "owner"), retry=False) as owner,
    ):
        brief = await client.enrol("brief", [photos["obama"]], ttl_seconds=1)
        with pytest.raises(FailedPrecondition, match="has references"):
            await owner.models.withdraw("face")
        for subject in await client.subjects():
            if subject.subject != "brief":
                await client.delete(subject.subject)
        await over(patient, brief.references[0])
        assert await client.subjects() == []
        with pytest.raises(Unavailable, match="whose time is over"):
            await owner.models.withdraw("face")
