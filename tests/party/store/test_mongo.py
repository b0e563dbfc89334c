"""What is special about MongoDB: servers that go away, come back, refuse or do not answer lose nothing and hang nobody."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pymongo import MongoClient
from visard.secret import Secret

from services.party.errors import SchemaMismatch, StoreError
from services.party.store import open_store
from services.party.store.base import Change, Publish, Renew, State, Store
from services.party.store.mongo import TIMEOUT_SECONDS, MongoStore
from services.party.store.mongo_writes import MongoWrites
from tests.mongod import Mongod
from tests.party.store.test_conformance import ONE, TWO, model, reference


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Mongod]:
    """A replica set of this test's own, to be mistreated."""
    started = Mongod(tmp_path, replica_set=True)
    started.start()
    yield started
    started.stop(kill=True)


async def opened(server: Mongod, name: str = "party") -> Store:
    return await open_store(server.uri(name), Path())


async def kind_of_server__should_be_told(replica_set: Mongod, standalone: Mongod) -> None:
    for server, kind in ((replica_set, "replica set rs0"), (standalone, "standalone")):
        store = await opened(server, "kinds")
        assert kind in store.description
        await store.close()


async def wrong_password__should_be_said_without_the_password(replica_set: Mongod) -> None:
    with pytest.raises(StoreError, match="user or password") as caught:
        await open_store(replica_set.uri("x", password="battery-staple"), Path())
    assert "staple" not in str(caught.value)


@pytest.mark.parametrize("uri", ["mongodb://", "mongodb://host:0/x"])
async def unusable_uri__should_be_refused(uri: str) -> None:
    with pytest.raises(StoreError):
        await open_store(uri, Path())


async def unreachable_server__should_be_noticed_in_time(standalone: Mongod) -> None:
    started = time.monotonic()
    with pytest.raises(StoreError, match="cannot be reached"):
        await open_store("mongodb://127.0.0.1:9/x", Path())
    assert time.monotonic() - started < TIMEOUT_SECONDS


async def other_schema__should_be_refused(standalone: Mongod) -> None:
    with MongoClient(standalone.uri("future")) as client:
        client["future"].meta.replace_one({"_id": "schema"}, {"version": 99}, upsert=True)
    with pytest.raises(SchemaMismatch, match="99"):
        await opened(standalone, "future")


async def restarted_primary__should_be_waited_for(server: Mongod) -> None:
    store = await opened(server)
    await store.stage(ONE, Change((reference("a"),)), b"1")
    server.stop(kill=True)
    commit = asyncio.ensure_future(store.commit(ONE))
    await asyncio.sleep(0.3)
    await asyncio.to_thread(server.start)
    try:
        await commit
    except StoreError:  # it was away for too long for this operation: the next one finds it
        await store.commit(ONE)
    assert [row.reference_id for row in await store.gallery("face")] == ["a"]
    await store.close()


async def server_lost_in_flight__should_fail_in_time_and_lose_nothing(server: Mongod) -> None:
    store = await opened(server)
    await store.stage(ONE, Change((reference("a"),)), b"1")
    server.stop(kill=True)
    started = time.monotonic()
    with pytest.raises(StoreError):
        await store.gallery("face")
    assert time.monotonic() - started < TIMEOUT_SECONDS
    await asyncio.to_thread(server.start)
    assert (await store.states([ONE]))[ONE] is State.PENDING
    await store.close()


STEPS = ("_show", "_renew", "insert", "put_model")


@pytest.mark.parametrize("step", STEPS)
async def crash_between_commit_and_effects__should_be_made_good_before_anybody_reads(
    standalone: Mongod, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    name = f"crash{step}"
    store = await opened(standalone, name)
    await store.stage(ONE, Change((reference("a"), reference("b"))), b"1")
    await store.commit(ONE)
    await store.stage(TWO, Publish(model()), b"2")
    await store.commit(TWO)
    later = {
        "_show": Change((reference("c"), reference("d")), ("a",)),
        "_renew": Renew((("a", Secret(b"n")),), (("face", Secret(b"w")),), 9),
        "insert": Change((reference("c"), reference("d")), ("a",)),
        "put_model": Publish(model("other")),
    }[step]

    async def die(*_: object, **__: object) -> None:
        raise RuntimeError("killed")

    request = bytes(16)
    with monkeypatch.context() as patch:
        if step == "put_model":
            patch.setattr(MongoWrites, step, die)
            with pytest.raises(RuntimeError):
                await store.stage(request, later, b"3")
        else:
            await store.stage(request, later, b"3")
            patch.setattr(MongoWrites, step, die)
            with pytest.raises(RuntimeError):
                await store.commit(request)
    await store.close()
    again = await opened(standalone, name)
    if step == "put_model":  # it was not staged, and can be
        assert (await again.states([request]))[request] is State.UNKNOWN
        await again.stage(request, later, b"4")
        await again.commit(request)
        assert await again.models() == ["face", "other"]
    elif step == "_renew":
        assert [row.version for row in await again.gallery("face")] == [2, 1]
        renewed = await again.model("face")
        assert renewed is not None
        assert renewed.weights == Secret(b"w")
    else:
        assert [row.reference_id for row in await again.gallery("face")] == ["b", "c", "d"]
    await again.close()


async def interrupted_staging__should_leave_nothing_of_its_shares(standalone: Mongod) -> None:
    store = await opened(standalone, "orphans")
    assert isinstance(store, MongoStore)
    old = reference("a")
    await store._writes._put_payload(ONE, Change((old,)))  # and then the process died
    fresh = reference("a", subject="eve")
    await store.stage(ONE, Change((fresh,)), b"1")
    await store.commit(ONE)
    assert await store.gallery("face") == [fresh]
    await store.close()
