"""A party whose database is away says so, and does what it was asked once it is back: started before it, or left by it."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc
from visard import health
from visard.client import Client, Connection
from visard.cluster import SERVICES, Cluster, free_port_base
from visard.errors import AlreadyExists, Unavailable
from visard_wire.v1 import common_pb2, party_pb2

from bench.mongod import Mongod
from tests.conftest import UNLIMITED, publish_face
from tests.e2e import raw

SECONDS = 90.0
PARTY = party_pb2.DESCRIPTOR.services_by_name["Party"]
# what a party answers from its memory
WITHOUT_STORE = {"Deposit", "Cancel", "GetKey"}


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a state, and not for ever."""
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, f"not in time: {what}"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def prepared(database: Mongod, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Five services that are not started; party 1's enrolments are in the database."""
    made = Cluster(tmp_path_factory.mktemp("home"), free_port_base(), options=UNLIMITED)
    made.prepare()
    settings = made.home / "party1.toml"
    settings.write_text(re.sub("^store = .*$", f'store = "{database.uri("away")}"', settings.read_text(), flags=re.M))
    yield made
    made.stop()


def says(cluster: Cluster, text: str) -> bool:
    return text in cluster._own_log("party1")


def health_of(cluster: Cluster, name: str = "") -> int:
    with grpc.insecure_channel(cluster.health_address("party1")) as channel:
        ask = health_pb2.HealthCheckRequest(service=name)
        return int(health_pb2_grpc.HealthStub(channel).Check(ask, timeout=10).status)


async def every_call(cluster: Cluster) -> dict[str, grpc.StatusCode]:
    """What party 1 says to the gateway at each of its methods, about requests that are as they should be."""
    now = int(time.time() * 1000)
    expire = raw.request(operation=common_pb2.OPERATION_EXPIRE, images=0, sent_unix_ms=now)
    fields: dict[str, dict[str, Any]] = {
        "Run": {"request": expire, "attempt": bytes(16)},
        "Cancel": {"request_id": bytes(16)},
        "ListSubjects": {"model": "face"},
        "ListReferences": {"model": "face", "subject": "anchor"},
        "Audit": {"prefixes": [""]},
    }
    answers = {}
    async with raw.channel(cluster, cluster.address("party1"), "gateway") as channel:
        for method in PARTY.methods:
            asked = GetMessageClass(method.input_type)(**fields.get(method.name, {}))
            call = channel.stream_unary(f"/{PARTY.full_name}/{method.name}", None, None)
            answers[method.name] = await status_of(call(iter([asked.SerializeToString()]), timeout=60))
    return answers


async def status_of(call: Awaitable[bytes]) -> grpc.StatusCode:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


async def party_before_its_database__should_wait_and_then_serve(prepared: Cluster, database: Mongod) -> None:
    database.stop()
    prepared.spawn("party1")
    try:
        until(lambda: says(prepared, '"event": "waiting for the store"'), "a line for each attempt")
        assert health_of(prepared) == health_pb2.HealthCheckResponse.NOT_SERVING
        assert health_of(prepared, "live") == health_pb2.HealthCheckResponse.SERVING
        assert not prepared.healthy("party1")
        assert set((await every_call(prepared)).values()) == {grpc.StatusCode.UNAVAILABLE}
        prepared.processes["party1"].terminate()
        assert prepared.processes["party1"].wait(30) == 0, prepared.last_words("party1")
        prepared.buried("party1")
        prepared.spawn("party1")
        until(lambda: says(prepared, '"event": "waiting for the store"'), "waiting again")
    finally:
        await asyncio.to_thread(database.start)
    others = [name for name in SERVICES if name != "party1"]
    await asyncio.to_thread(prepared.start, others, SECONDS)
    until(lambda: prepared.healthy("party1"), "serving")
    assert says(prepared, '"event": "store opened"')
    assert "Traceback" not in prepared._own_log("party1")
    await asyncio.to_thread(publish_face, prepared.home)


@pytest.fixture
async def client(prepared: Cluster, photos: dict[str, Path]) -> AsyncIterator[Client]:
    """One that sends again what was unavailable, with somebody enrolled."""
    async with Client(Connection.from_home(prepared.home), deadline=SECONDS) as connected:
        with suppress(AlreadyExists):
            await connected.enrol("anchor", [photos["obama"]], replace=True)
        yield connected
        for subject in await connected.subjects():
            await connected.delete(subject.subject)


async def database_that_goes_away__should_be_unavailable_until_it_is_back(
    prepared: Cluster, database: Mongod, client: Client, photos: dict[str, Path]
) -> None:
    await client.enrol("leaving", [photos["biden"]])
    impatient = Client(Connection.from_home(prepared.home), deadline=60, retry=False)
    database.stop(kill=True)
    try:
        async with impatient:
            for call in (
                lambda: impatient.verify("anchor", photos["obama2"]),
                lambda: impatient.enrol("newcomer", [photos["biden"]]),
                lambda: impatient.delete("leaving"),
                impatient.subjects,
                lambda: impatient.references("anchor"),
            ):
                with pytest.raises(Unavailable, match="party 1's store is unavailable"):
                    await call()
            assert (await impatient.status()).parties[1].reason == "party 1's store is unavailable"
        answers = await every_call(prepared)
        refused = {name for name, code in answers.items() if code is grpc.StatusCode.UNAVAILABLE}
        assert refused == {method.name for method in PARTY.methods} - WITHOUT_STORE, answers
        verifying = asyncio.ensure_future(client.verify("anchor", photos["obama2"]))
        enrolling = asyncio.ensure_future(client.enrol("newcomer", [photos["biden"]]))
        deleting = asyncio.ensure_future(client.delete("leaving"))
    finally:
        await asyncio.to_thread(database.start)
    assert (await verifying).match
    assert len((await enrolling).references) == 1
    assert await deleting == 1
    assert (await client.verify("newcomer", photos["biden"])).match
    until(lambda: all(map(prepared.healthy, SERVICES)), "all are healthy")
    log = prepared._own_log("party1")
    assert "Traceback" not in log, "nothing of it was unforeseen"
    assert health.serving(prepared.health_address("party1"))
