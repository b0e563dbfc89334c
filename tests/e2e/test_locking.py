"""Too many failed verifications in a row lock a subject, whatever happens in between, and nothing else is told of them."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from visard.client import DEFAULT_MODEL, Client, Connection
from visard.cluster import Cluster
from visard.errors import FailedPrecondition, NotFound, SubjectLocked
from visard.owner import publish

from tests.attacks.test_takeover import as_caller
from tests.e2e.test_mean import chip
from tests.e2e.test_migrate import compiled
from tests.waiting import at_rest

MODEL, DOORS, DESK = "locks", "doors", "desk"
ADA, BOB = 1, 2  # seeds of pictures
ALLOWED = 3


@pytest.fixture(scope="module")
def small(cluster: Cluster) -> Iterator[Cluster]:
    """A model that is quick."""

    async def publishing() -> None:
        async with Client(Connection.from_home(cluster.home, "owner"), deadline=120) as owner:
            await publish.publish(owner, MODEL, compiled(31, mean=False), allow_loose=True)

    async def withdrawing() -> None:
        async with Client(Connection.from_home(cluster.home, "owner"), deadline=120) as owner:
            await owner.models.withdraw(MODEL)  # which nothing is left of

    asyncio.run(publishing())
    yield cluster
    asyncio.run(withdrawing())


@pytest.fixture
async def admin(small: Cluster) -> AsyncIterator[Client]:
    """An administrator, of a gallery that locks and of one that does not."""
    async with as_caller(small, "admin") as found:
        await found.galleries.create(DOORS, enrol=["*"], verify=["*"], search=["*"], lock_after=ALLOWED)
        await found.galleries.create(DESK, enrol=["*"], verify=["*"])
        found.model, found.gallery = MODEL, DOORS
        yield found
        for gallery in (DOORS, DESK):
            await found.galleries.delete(gallery)


@pytest.fixture
async def client(cluster: Cluster, admin: Client) -> AsyncIterator[Client]:
    async with Client(Connection.from_home(cluster.home), model=MODEL, gallery=DOORS, deadline=120) as found:
        await at_rest(found)
        yield found
        for found.gallery in (DOORS, DESK):
            for subject in await found.subjects():
                await found.delete(subject.subject)


async def fail(client: Client, times: int, subject: str = "ada") -> None:
    for _ in range(times):
        assert not (await client.verify(subject, chip(BOB))).match


async def locked(client: Client, subject: str = "ada") -> None:
    for photo in (chip(ADA, 1), chip(BOB)):
        with pytest.raises(SubjectLocked, match="administrator can unlock"):
            await client.verify(subject, photo)


async def subject__should_be_locked_until_an_administrator_unlocks_it(admin: Client, client: Client) -> None:
    await client.enrol("ada", [chip(ADA)])
    await client.enrol("bob", [chip(BOB)])
    await fail(client, ALLOWED - 1)
    assert (await client.verify("ada", chip(ADA, 1))).match, "which sets the counter back"
    await fail(client, ALLOWED)
    await locked(client)
    assert (await client.verify("bob", chip(BOB, 1))).match, "another subject"
    assert (await client.identify(chip(ADA, 1), operating_point="default")).subject == "ada", "a search is none of it"
    with pytest.raises(FailedPrecondition, match="docs/operations"):
        await client.migrate("bob", chip(BOB, 1), DEFAULT_MODEL)
    await client.enrol("ada", [chip(ADA, 2)], replace=True)
    await locked(client)
    assert await admin.admin.unlock("ada") == 1
    with pytest.raises(NotFound, match="no failures of ada"):
        await admin.admin.unlock("ada")
    await fail(client, ALLOWED - 1)
    assert (await client.verify("ada", chip(ADA, 1))).match
    told = await admin.admin.audit_log()
    codes = [entry.code for entry in told[0].entries if entry.subject == "ada" and entry.operation == "verify"]
    assert set(codes[-9:]) == {"OK", "FAILED_PRECONDITION"}, "the log says who was locked, and of no answer what it was"


async def verifications_at_once__should_each_be_counted(admin: Client, client: Client) -> None:
    await client.enrol("ada", [chip(ADA)])
    found = await asyncio.gather(*(client.verify("ada", chip(BOB)) for _ in range(ALLOWED + 3)), return_exceptions=True)
    answers = [answer for answer in found if not isinstance(answer, SubjectLocked)]
    assert len(answers) == ALLOWED, "one after the other"
    assert not any(isinstance(answer, BaseException) or answer.match for answer in answers)
    await locked(client)
    assert await admin.admin.unlock() == 1, "everybody of whom something is counted"
    assert (await client.verify("ada", chip(ADA, 1))).match


async def limit__should_be_a_gallerys_own_and_may_change(admin: Client, client: Client) -> None:
    assert (await client.galleries.describe(DOORS)).lock_after == ALLOWED
    assert (await client.galleries.describe(DESK)).lock_after == 0
    client.gallery = DESK
    await client.enrol("ada", [chip(ADA)])
    await fail(client, 6)
    assert (await client.verify("ada", chip(ADA, 1))).match, "nobody counts where nobody has asked for it"
    client.gallery = DOORS
    await client.enrol("ada", [chip(ADA)])
    await fail(client, ALLOWED)
    await locked(client)
    await admin.galleries.change(DOORS, lock_after=ALLOWED + 1, enrol=["*"], verify=["*"], search=["*"])
    await fail(client, 1)
    await locked(client)
    await admin.galleries.change(DOORS, enrol=["*"], verify=["*"], search=["*"])
    assert (await client.verify("ada", chip(ADA, 1))).match, "it locks no more, and this is not counted"
    await admin.galleries.change(DOORS, lock_after=2, enrol=["*"], verify=["*"], search=["*"])
    await locked(client)
