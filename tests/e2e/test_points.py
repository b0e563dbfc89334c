"""A live model's points are replaced at all three parties or at none, and a search's threshold follows its gallery."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from visard.client import Client, Connection
from visard.cluster import Cluster, free_port_base
from visard.errors import Exhausted, FailedPrecondition, InvalidRequest, NotFound, PermissionDenied
from visard.owner import publish
from visard.owner.networks import calibration
from visard_wire.v1 import common_pb2, gateway_pb2

from tests.conftest import UNLIMITED
from tests.recovery.crash_table import SHAPE, chip, small_network
from tests.waiting import PATIENCE, at_rest, until

LOOSE, TIGHT = 1.9, 0.2  # whoever is compared is within the one, and no other photo within the other
RATES = {"default": 1e-4, "FMR_1E3": 1e-3, "FMR_1E4": 1e-4}
POINTS = {"default": LOOSE, "FMR_1E3": LOOSE + 0.05, "FMR_1E4": LOOSE}
SEARCHES = {name: number for name, number in UNLIMITED.items() if name != "attempts_search"}


async def published(home: Path) -> None:
    compiled = publish.compiler()(
        small_network(),
        SHAPE,
        q=31,
        calibration=calibration.patterns(SHAPE)[:6],
        operating_points=POINTS,
        false_match_rates=RATES,
    )
    async with Client(Connection.from_home(home, "owner"), deadline=PATIENCE) as owner:
        await publish.publish(owner, "face", compiled)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Services with a small network, that count searches alone."""
    running = Cluster(tmp_path_factory.mktemp("points"), free_port_base(), options=SEARCHES)
    running.prepare()
    try:
        running.start()
        asyncio.run(published(running.home))
        yield running
    finally:
        running.stop()


@pytest.fixture
async def owner(small: Cluster) -> AsyncIterator[Client]:
    """Who publishes; at the end the points are what they were, and nobody is enrolled."""
    async with Client(Connection.from_home(small.home, "owner"), deadline=PATIENCE) as client:
        yield client
        for subject in await client.subjects():
            await client.delete(subject.subject)
        await client.models.set_points("face", POINTS, RATES)


async def points__should_be_replaced_and_all_else_stay(small: Cluster, owner: Client) -> None:
    await owner.enrol("ann", [chip(1)])
    assert (await owner.verify("ann", chip(2))).match
    before, (reference,) = await owner.models.info(), await owner.references("ann")
    await owner.models.set_points("face", POINTS | {"default": TIGHT}, RATES | {"default": 1e-6})
    assert not (await owner.verify("ann", chip(2))).match, "the references stay, and are compared at the new point"
    loose = await owner.verify("ann", chip(2), operating_point="FMR_1E4")
    assert (loose.match, loose.operating_point) == (True, "FMR_1E4")
    after = await owner.models.info()
    assert (await owner.references("ann")) == [reference]
    assert {point.name: point.distance for point in after.points} == POINTS | {"default": TIGHT}
    assert (after.published_unix_ms, after.cost) == (before.published_unix_ms, before.cost)
    assert after.program_digest != before.program_digest
    await owner.models.set_points("face", POINTS, RATES)
    assert (await owner.models.info()) == before, "the same points make the same program"
    async with Client(Connection.from_home(small.home, "admin")) as administrator:
        assert (await administrator.admin.audit()).clean
        logs = await administrator.admin.audit_log()
    told = [[e for e in log.entries if e.operation == "calibrate"][:2] for log in logs]
    for first, second in told:
        assert (first.caller, first.model, first.code) == ("owner/default", "face", "OK")
        assert first.detail.startswith(f"program {before.program_digest.hex()} FMR_1E3=")
        assert f"default={TIGHT}@1e-06" in first.detail
        assert second.detail.startswith(f"program {after.program_digest.hex()} ")
    assert all(not log.broken() for log in logs)


async def parties_that_begin_again__should_have_the_new_points(small: Cluster, owner: Client) -> None:
    await owner.enrol("ann", [chip(1)])
    await owner.models.set_points("face", {"default": TIGHT}, {"default": 1e-6})
    for name in ("party0", "party1", "party2"):
        small.restart(name)
    await at_rest(owner)
    assert not (await owner.verify("ann", chip(2))).match
    assert (await owner.verify("ann", chip(1))).match


async def calls_while_points_change__should_decide_at_the_old_or_at_the_new(small: Cluster, owner: Client) -> None:
    """A party that decided at another point than the others would make an answer that no client believes."""
    answers, ended = list[bool](), asyncio.Event()

    async def ask(client: Client) -> None:
        while not ended.is_set():
            answers.append((await client.verify("ann", chip(2))).match)

    await owner.enrol("ann", [chip(1)])
    async with Client(Connection.from_home(small.home), deadline=PATIENCE) as client:
        asking = [asyncio.ensure_future(ask(client)) for _ in range(3)]
        for distance in (TIGHT, LOOSE, TIGHT):
            count = len(answers)
            await until(lambda count=count: len(answers) > count or any(a.done() for a in asking))  # type: ignore[misc]
            await owner.models.set_points("face", {"default": distance}, {"default": 1e-4})
            assert (await owner.verify("ann", chip(2))).match == (distance == LOOSE)
        ended.set()
        await asyncio.gather(*asking)
    assert set(answers) == {True, False}


async def changed(client: Client, **fields: Any) -> int:
    """A change of points as it comes over the wire, whatever a client would have said before."""
    point = common_pb2.OperatingPoint(name="default", distance=1.0)
    info = next(info for info in await client.models.list() if info.name == "face")
    options = {"model": "face", "program_digest": info.program_digest, "points": [point]} | fields
    caller = client._caller
    request = caller.request(common_pb2.OPERATION_CALIBRATE, **options)
    return await caller.change(caller.registry.Calibrate, gateway_pb2.CalibrateRequest, request)


async def change_that_is_wrong__should_be_refused_and_change_nothing(small: Cluster, owner: Client) -> None:
    before, point = await owner.models.list(), common_pb2.OperatingPoint
    for role in ("verifier", "client", "admin"):
        async with Client(Connection.from_home(small.home, role), deadline=PATIENCE) as other:
            with pytest.raises(PermissionDenied):
                if role == "admin":  # who may not even list models
                    await other.models.set_points("face", POINTS, RATES)
                else:
                    await changed(other)
    with pytest.raises(NotFound, match="'other' is not published"):
        await changed(owner, model="other")
    with pytest.raises(FailedPrecondition, match=r"request\.program_digest: model 'face' has another program by now"):
        await changed(owner, program_digest=bytes(32))
    for points, text in (
        ([], r"request\.points: 1 to 32"),
        ([point(name="strict", distance=1)], r"request\.points\.name: each once, and one of them default"),
        ([point(name="default", distance=2)], r"request\.points\.distance: more than 0, less than 2"),
        ([point(name="default", distance=1, false_match_rate=1)], r"request\.points\.false_match_rate"),
        (
            [
                point(name="default", distance=1, false_match_rate=1e-4),
                point(name="a", distance=1.5, false_match_rate=1e-5),
            ],
            r"request\.points: false match rates: a larger distance",
        ),
    ):
        with pytest.raises(InvalidRequest, match=text):
            await changed(owner, points=points)
    with pytest.raises(InvalidRequest, match=r"request\.points: for calibrate only"):
        await owner._caller.change(
            owner._caller.registry.Withdraw,
            gateway_pb2.WithdrawRequest,
            owner._caller.request(
                common_pb2.OPERATION_WITHDRAW, model="face", points=[point(name="default", distance=1)]
            ),
        )
    assert await owner.models.list() == before


async def search__should_take_the_point_that_its_gallery_asks_for(small: Cluster, owner: Client) -> None:
    """Ten references at 1e-3, and at most a hundred at 1e-4: the eleventh decides, and budgets go by what was taken."""
    async with Client(Connection.from_home(small.home, "verifier"), deadline=PATIENCE, retry=False) as door:
        await owner.enrol("ann", [chip(k) for k in range(10)])
        await at_rest(owner)
        found = await door.identify(chip(2))
        assert (found.subject, found.operating_point) == ("ann", "FMR_1E3")
        await owner.enrol("bob", [chip(11)])
        await at_rest(owner)
        assert (await door.identify(chip(2))).operating_point == "FMR_1E4"
        assert (await door.identify(chip(2), operating_point="FMR_1E3")).operating_point == "FMR_1E3", "a name wins"
        only = {"default": LOOSE}, {"default": 1e-3}
        await owner.models.set_points("face", *only)
        refused = "11 references are searched, and default, the strictest point of face, carries 10"
        await at_rest(owner)
        with pytest.raises(FailedPrecondition, match=rf"request\.allow_large_gallery: {refused}"):
            await door.identify(chip(2))
        assert (await door.identify(chip(2), allow_large_gallery=True)).operating_point == "default"
        with pytest.raises(InvalidRequest, match=r"request\.operating_point: default"):
            await door.identify(chip(2), operating_point="FMR_1E3")
        await owner.delete("bob")
        await at_rest(owner)
        assert (await door.identify(chip(2))).operating_point == "default", "whose gallery is small enough again"


async def budgets__should_follow_the_rates_at_once(small: Cluster, owner: Client) -> None:
    def searches(status: Any) -> dict[str, int]:
        return {one.operating_point: one.search for one in status.parties[1].attempts}

    await owner.enrol("ann", [chip(1)])
    assert searches(await owner.status()) == {"default": 50, "FMR_1E3": 5, "FMR_1E4": 50}
    await owner.models.set_points("face", {"default": LOOSE}, {"default": 4e-3}, allow_loose=True)
    assert searches(await owner.status()) == {"default": 1}
    async with Client(Connection.from_home(small.home), deadline=PATIENCE, retry=False) as desk:
        await at_rest(owner)
        assert (await desk.identify(chip(1))).subject == "ann"
        with pytest.raises(Exhausted, match="at this gallery: 1 within"):
            await desk.identify(chip(1))
        await owner.models.set_points("face", POINTS, RATES)
        assert searches(await owner.status()) == {"default": 50, "FMR_1E3": 5, "FMR_1E4": 50}
