"""A photo moves a subject from one model to another if it shows the subject, in one request; if not, nothing is stored."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from visard import opening
from visard.calls import Operation
from visard.capture import Chip
from visard.client import Client, Connection
from visard.cluster import Cluster
from visard.envelopes import SealedRequest
from visard.errors import InvalidRequest, NobodyEnrolled, NotFound, PermissionDenied
from visard.owner import publish
from visard.owner.networks import calibration
from visard.uploads import pixels, shared
from visard_wire.v1 import party_pb2_grpc

from tests.attacks.test_takeover import as_caller
from tests.attacks.turned import TurnedGateway
from tests.e2e import raw
from tests.e2e.test_mean import AVERAGE, SHAPE, chip, described, network
from tests.waiting import at_rest

OLD, NEW = "before", "after"
DISTANCE = 0.2
ADA, BOB = 1, 2  # seeds of pictures


def compiled(q: int, mean: bool) -> publish.Compiled:
    """A small network; in another field it takes other words, and with a mean it refuses whoever is like it."""
    of_all, *others = described(chip(AVERAGE), chip(ADA), chip(BOB)).double().numpy()
    nearest = max(float(one @ of_all) for one in others)
    made: publish.Compiled = publish.compiler()(
        network(),
        SHAPE,
        q=q,
        calibration=calibration.patterns(SHAPE),
        operating_points={"default": DISTANCE},
        mean=np.rint(of_all * 2**14).astype(int).tolist() if mean else (),
        mean_limit=(1 + nearest) / 2 if mean else 0.0,
    )
    return made


@pytest.fixture(scope="module")
def two(cluster: Cluster) -> Iterator[Cluster]:
    """Two models in two fields, of which the new one has a mean."""

    async def publishing() -> None:
        async with Client(Connection.from_home(cluster.home, "owner"), deadline=120) as owner:
            await publish.publish(owner, OLD, compiled(31, mean=False), allow_loose=True)
            await publish.publish(owner, NEW, compiled(61, mean=True), allow_loose=True)

    async def withdrawing() -> None:
        async with Client(Connection.from_home(cluster.home, "owner"), deadline=120) as owner:
            for name in (OLD, NEW):
                await owner.models.withdraw(name)

    asyncio.run(publishing())
    yield cluster
    asyncio.run(withdrawing())


@pytest.fixture
async def client(two: Cluster) -> AsyncIterator[Client]:
    async with Client(Connection.from_home(two.home), model=OLD, deadline=120) as found:
        await at_rest(found)
        yield found
        await forget(found)


async def forget(client: Client) -> None:
    """Whoever is left with either model."""
    for client.model in (NEW, OLD):
        for subject in await client.subjects():
            await client.delete(subject.subject)


async def enrolled(client: Client, model: str) -> dict[str, int]:
    before, client.model = client.model, model
    found = {one.subject: one.references for one in await client.subjects()}
    client.model = before
    return found


async def who_is_shown__should_be_moved_with_note_and_enroller(client: Client) -> None:
    await client.enrol("ada", [chip(ADA)], metadata=b"desk 3")
    await client.enrol("ada", [chip(ADA, 1)], metadata=b"desk 4", ttl_seconds=3600)
    done = await client.migrate("ada", chip(ADA, 2), NEW)
    assert (done.migrated, done.erased, done.model, done.operating_point) == (True, 2, NEW, "default")
    assert (await enrolled(client, OLD), await enrolled(client, NEW)) == ({}, {"ada": 1})
    client.model = NEW
    (kept,) = await client.references("ada")
    assert (kept.reference_id, kept.metadata, kept.expires_unix_ms) == (done.reference, b"desk 4", None)
    assert kept.enrolled_by == "enroller/default"
    assert (await client.verify("ada", chip(ADA, 3))).match
    assert not (await client.verify("ada", chip(BOB))).match


async def who_is_not_shown__should_not_be_moved_and_nothing_be_stored(cluster: Cluster, client: Client) -> None:
    await client.enrol("ada", [chip(ADA)])
    await client.enrol("bob", [chip(AVERAGE)])
    for subject, photo in (
        ("ada", chip(BOB)),
        ("bob", chip(AVERAGE, 1)),
    ):  # another face; one that the new model refuses
        done = await client.migrate(subject, photo, NEW)
        assert (done.migrated, done.erased, done.reference) == (False, 0, None)
    assert (await client.verify("bob", chip(AVERAGE, 1))).match
    assert (await enrolled(client, OLD), await enrolled(client, NEW)) == ({"ada": 1, "bob": 1}, {})
    async with as_caller(cluster, "admin") as admin:
        assert (await admin.admin.audit()).clean
        for log in await admin.admin.audit_log():
            told = [entry for entry in log.entries if entry.operation == "migrate"][-2:]
            assert [(entry.subject, entry.code, entry.detail) for entry in told] == [
                ("ada", "OK", f"to {NEW}"),
                ("bob", "OK", f"to {NEW}"),
            ]


async def references__should_stay_where_that_is_asked_for_and_live_as_long_as_the_longest(client: Client) -> None:
    await client.enrol("ada", [chip(ADA)], ttl_seconds=3600)
    await client.enrol("ada", [chip(ADA, 1)], ttl_seconds=7200)
    ends = max(row.expires_unix_ms or 0 for row in await client.references("ada"))
    done = await client.migrate("ada", chip(ADA, 2), NEW, keep=True)
    assert (done.migrated, done.erased) == (True, 0)
    assert (await enrolled(client, OLD), await enrolled(client, NEW)) == ({"ada": 2}, {"ada": 1})
    far = await client.migration(NEW)
    assert (far.both, far.left, far.old.references, far.new.references) == (1, (), 2, 1)
    client.model = NEW
    (kept,) = await client.references("ada")
    assert kept.expires_unix_ms == ends


async def searches__should_ask_both_until_the_old_one_is_empty(client: Client) -> None:
    with pytest.raises(NobodyEnrolled):
        await client.identify(chip(ADA), models=[OLD, NEW], operating_point="default")
    await client.enrol("ada", [chip(ADA)])
    await client.enrol("bob", [chip(BOB)])
    far = await client.migration(NEW)
    assert (far.left, far.both, far.old.subjects, far.new.subjects) == (("ada", "bob"), 0, 2, 0)

    async def found(seed: int) -> tuple[str | None, list[tuple[str, str]], bool]:
        answer = await client.identify(chip(seed, 7), models=[OLD, NEW], operating_point="default")
        return answer.subject, [(one.subject, one.model) for one in answer.candidates], answer.more

    assert await found(ADA) == ("ada", [("ada", OLD)], False)
    await client.migrate("ada", chip(ADA, 1), NEW)
    assert await found(ADA) == ("ada", [("ada", NEW)], False)
    assert await found(BOB) == ("bob", [("bob", OLD)], False)
    assert await found(3) == (None, [], False)
    assert (await client.migration(NEW)).left == ("bob",)
    await client.migrate("bob", chip(BOB, 1), NEW, keep=True)
    assert await found(BOB) == ("bob", [("bob", OLD)], False), "once, although both models know him"
    await client.delete("bob")
    assert await found(BOB) == ("bob", [("bob", NEW)], False), "the old one is empty"


async def strangers__should_take_over_nobody(two: Cluster, client: Client) -> None:
    """Who has not enrolled somebody erases nothing of them; moved with ``keep`` they are still their enroller's."""
    await client.enrol("ada", [chip(ADA)])
    async with as_caller(two, "kiosk-9") as kiosk, as_caller(two, "admin") as admin:
        kiosk.model = admin.model = OLD
        with pytest.raises(PermissionDenied, match="administrator can grant"):
            await kiosk.migrate("ada", chip(ADA, 1), NEW)
        assert await enrolled(client, NEW) == {}
        assert (await kiosk.migrate("ada", chip(ADA, 1), NEW, keep=True)).migrated
        with pytest.raises(PermissionDenied, match="administrator can grant"):
            await kiosk.migrate("ada", chip(ADA, 1), NEW, keep=True)
        kiosk.model = NEW
        with pytest.raises(PermissionDenied, match="administrator can grant"):
            await kiosk.delete("ada")
        client.model = NEW
        assert await client.delete("ada") == 1
        client.model = kiosk.model = OLD
        await admin.admin.grant("enroller/kiosk-9", "ada")
        done = await kiosk.migrate("ada", chip(ADA, 1), NEW)
        assert (done.migrated, done.erased) == (True, 1)
        await admin.admin.revoke("enroller/kiosk-9", "ada")


async def who_may_not_verify_or_not_enrol__should_move_nobody(two: Cluster, client: Client) -> None:
    async with as_caller(two, "admin") as admin:
        await admin.galleries.create("staff", enrol=["*"], verify=["*"])
        client.gallery = "staff"
        await client.enrol("ada", [chip(ADA)])
        some: tuple[dict[str, Any], ...] = ({"enrol": ["*"]}, {"verify": ["*"]}, {"search": ["*"]})
        for rules in some:
            await admin.galleries.change("staff", **rules)
            with pytest.raises(NotFound, match="staff"):
                await client.migrate("ada", chip(ADA, 1), NEW)
        await admin.galleries.change("staff", enrol=["*"], verify=["*"])
        assert (await client.migrate("ada", chip(ADA, 1), NEW)).migrated
        assert (await client.migration(NEW)).gallery == "staff"
        await forget(client)
        client.gallery = "default"
        await admin.galleries.delete("staff")


async def what_cannot_be_moved__should_be_said(client: Client) -> None:
    with pytest.raises(NotFound, match="not enrolled"):
        await client.migrate("ada", chip(ADA), NEW)
    with pytest.raises(NotFound, match="not published"):
        await client.migrate("ada", chip(ADA), "nothing")
    with pytest.raises(InvalidRequest, match=r"request\.new_model"):
        await client.migrate("ada", chip(ADA), OLD)
    with pytest.raises(InvalidRequest, match=r"request\.operating_point"):
        await client.migrate("ada", chip(ADA), NEW, operating_point="other")
    for models in ([], [OLD, OLD], [1], OLD):
        with pytest.raises(InvalidRequest, match="models"):
            await client.identify(chip(ADA), models=models)  # type: ignore[arg-type]


async def sealed_migration(client: Client, subject: str, photo: Chip) -> SealedRequest:
    """A migration, signed, as the gateway gets it."""
    old, new = await client.models.info(OLD), await client.models.info(NEW)
    parts = [shared([pixels(photo, info)], info.field_bits) for info in (old, new)]
    asked = client._caller.request(Operation.OPERATION_MIGRATE, subject, images=1, new_model=NEW, model=OLD)
    return await client._caller.sealed(asked, [first + second for first, second in zip(*parts, strict=True)])


@pytest.fixture
async def gateway(two: Cluster) -> AsyncIterator[TurnedGateway]:
    channels = [raw.channel(two, two.address(f"party{i}"), "gateway") for i in range(3)]
    yield TurnedGateway([party_pb2_grpc.PartyStub(channel) for channel in channels])
    for channel in channels:
        await channel.close(None)


async def answers__should_be_of_one_size_and_tell_the_gateway_nothing(client: Client, gateway: TurnedGateway) -> None:
    """Whoever is moved, is not, or was and asks again."""
    await client.enrol("ada", [chip(ADA)])
    told: list[list[tuple[int, int]]] = []
    moved = await sealed_migration(client, "ada", chip(ADA, 1))
    for sealed in (await sealed_migration(client, "ada", chip(BOB)), moved, moved):
        found = await gateway.hand_in([sealed.request] * 3, sealed)
        told.append([(answer.references_changed, len(answer.result.ciphertext)) for answer in found])
        opened = opening.open_all([answer.result for answer in found], sealed.context, sealed.reply_keys)
        done, reference, erased = opening.moved(opened)
        assert (done, erased, reference is not None) == ((True, 1, True) if sealed is moved else (False, 0, False))
    assert told[0] == told[1] == told[2]
    assert {changed for changed, _ in told[0]} == {0}


async def migration_that_failed__should_not_be_made_when_it_would_match(client: Client, gateway: TurnedGateway) -> None:
    """A gateway has kept the request."""
    await client.enrol("ada", [chip(ADA)])
    kept = await sealed_migration(client, "ada", chip(BOB))
    await gateway.hand_in([kept.request] * 3, kept)
    await client.enrol("ada", [chip(BOB, 1)])
    with pytest.raises(grpc.aio.AioRpcError, match="undone or refused"):
        await gateway.hand_in([kept.request] * 3, kept)
    assert await enrolled(client, NEW) == {}


async def share_of_one_model_alone__should_be_refused(client: Client, gateway: TurnedGateway) -> None:
    await client.enrol("ada", [chip(ADA)])
    info = await client.models.info(OLD)
    asked = client._caller.request(Operation.OPERATION_MIGRATE, "ada", images=1, new_model=NEW)
    sealed = await client._caller.sealed(asked, shared([pixels(chip(ADA), info)], info.field_bits))
    with pytest.raises(grpc.aio.AioRpcError, match=r"header\.shares\.size"):
        await gateway.hand_in([sealed.request] * 3, sealed)


async def moves_at_the_same_time__should_wait_for_each_other(client: Client, two: Cluster) -> None:
    """Of one subject, to and fro: nobody is lost, and nobody waits for ever."""
    await client.enrol("ada", [chip(ADA)])
    found = await asyncio.gather(*(client.migrate("ada", chip(ADA, k), NEW) for k in (1, 2)), return_exceptions=True)
    assert sorted(type(one).__name__ for one in found) == ["Migration", "NotFound"]
    await client.enrol("ada", [chip(ADA, 3)])
    async with Client(Connection.from_home(two.home), model=NEW, deadline=120) as other:
        to, fro = client.migrate("ada", chip(ADA, 4), NEW), other.migrate("ada", chip(ADA, 5), OLD)
        assert [one.migrated for one in await asyncio.gather(to, fro)] == [True, True]
    there, back = await enrolled(client, NEW), await enrolled(client, OLD)
    assert there.get("ada", 0) + back.get("ada", 0) == 1
