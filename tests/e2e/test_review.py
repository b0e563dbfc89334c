"""Nobody is refused for looking like somebody: whoever may be enrolled under another name waits until a person decides."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from visard.client import Client, Connection
from visard.cluster import Cluster
from visard.errors import InvalidRequest, NotFound, PermissionDenied

from tests.attacks.test_takeover import as_caller
from tests.waiting import at_rest


@pytest.fixture
async def client(cluster: Cluster) -> AsyncIterator[Client]:
    async with Client(Connection.from_home(cluster.home)) as found:
        await at_rest(found)
        yield found
        for subject in await found.subjects(waiting=True):
            await found.review(subject.subject, accept=False)
        for subject in await found.subjects():
            await found.delete(subject.subject)


async def who_resembles_nobody__should_be_enrolled_at_once(client: Client, photos: dict[str, Path]) -> None:
    first = await client.enrol("ada", [photos["obama"]], review=True)
    other = await client.enrol("bob", [photos["biden"]], review=True)
    assert [(done.waiting, done.candidates, done.more) for done in (first, other)] == [(False, (), False)] * 2
    assert (await client.verify("ada", photos["obama2"])).match
    again = await client.enrol("ada", [photos["obama2"]], review=True)
    assert not again.waiting, "that it is like its own is no question"
    assert len(await client.references("ada")) == 2


async def who_resembles_another__should_wait_and_be_seen_by_nobody(
    cluster: Cluster, client: Client, photos: dict[str, Path]
) -> None:
    known = await client.enrol("ada", [photos["obama"]])
    done = await client.enrol("eve", [photos["biden"], photos["obama2"]], review=True, metadata=b"desk 3")
    assert (done.waiting, done.more) == (True, False)
    assert {(one.subject, one.reference_id) for one in done.candidates} == {("ada", known.references[0])}
    assert [(row.subject, row.references) for row in await client.subjects(waiting=True)] == [("eve", 2)]
    assert [row.subject for row in await client.subjects()] == ["ada"]
    assert {row.reference_id for row in await client.references("eve", waiting=True)} == set(done.references)
    for asked in (client.verify("eve", photos["biden"]), client.references("eve"), client.delete("eve")):
        with pytest.raises(NotFound):
            await asked
    assert (await client.identify(photos["biden"])).subject is None
    async with as_caller(cluster, "kiosk-8") as other:
        for accept in (True, False):
            with pytest.raises(PermissionDenied, match="administrator can grant"):
                await other.review("eve", accept=accept)
    async with as_caller(cluster, "admin") as admin:
        assert await admin.review("eve", accept=False, reference_ids=done.references[1:]) == 1
        assert await admin.review("eve", accept=True) == 1
        with pytest.raises(NotFound, match="waits"):
            await admin.review("eve", accept=True)
        assert (await admin.admin.audit()).clean
    (kept,) = await client.references("eve")
    assert (kept.reference_id, kept.metadata, kept.version) == (done.references[0], b"desk 3", 2)
    assert (await client.verify("eve", photos["biden"])).match
    assert not (await client.verify("eve", photos["obama2"])).match
    assert (await client.identify(photos["biden"])).subject == "eve"


async def review__should_not_go_with_what_decides_otherwise(client: Client, photos: dict[str, Path]) -> None:
    for unique, replace in ((True, False), (False, True)):
        with pytest.raises(InvalidRequest, match=r"request\.review"):
            await client.enrol("ada", [photos["obama"]], review=True, unique=unique, replace=replace)
    assert await client.subjects(waiting=True) == await client.subjects() == []
