"""What is special about MongoDB: servers that go away, come back, refuse or do not answer lose nothing and hang nobody."""

import asyncio
import functools
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from motor.motor_asyncio import AsyncIOMotorCollection, AsyncIOMotorGridFSBucket
from pymongo.errors import DuplicateKeyError
from visard import certs
from visard_party.errors import ForeignStore, SchemaMismatch, StoreAway, StoreError, StoreRefused
from visard_party.spread import WHOLE, part_of
from visard_party.store import open_store
from visard_party.store.base import Store, all_rights, restored
from visard_party.store.contents import Change, Page, Place, Publish, Rename, Renew, Right, Rule, State, Withdraw, Write
from visard_party.store.mongo import SELECTION_SECONDS, MongoStore
from visard_party.store.mongo_reach import TIMEOUT_SECONDS
from visard_wire.secret import Secret

from bench.mongod import Documents, Mongod
from tests.party.store.content import ONE, THREE, TWO, model, reference
from tests.waiting import PATIENCE, until

T = TypeVar("T")

# a server that is killed while pymongo shakes hands with it leaves a socket that pymongo forgets to close
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Mongod]:
    """A replica set of this test's own, to be mistreated."""
    started = Mongod(tmp_path, replica_set=True)
    started.start()
    yield started
    started.stop(kill=True)


async def opened(server: Mongod, name: str = "party") -> Store:
    return await open_store(server.uri(name), Path(), 0)


async def again(work: Callable[[], Awaitable[T]]) -> T:
    """What a store says that is back, as whoever is told that it is away asks again."""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while True:
            try:
                return await work()
            except StoreAway:
                await asyncio.sleep(0.05)


async def kind_of_server__should_be_told(replica_set: Mongod, standalone: Mongod) -> None:
    for server, kind in ((replica_set, "replica set rs0"), (standalone, "standalone")):
        store = await opened(server, "kinds")
        assert kind in store.description
        await store.close()


async def wrong_password__should_be_said_without_the_password(replica_set: Mongod) -> None:
    with pytest.raises(StoreRefused, match="user or password") as caught:
        await open_store(replica_set.uri("x", password="battery-staple"), Path(), 0)
    assert "staple" not in str(caught.value)


async def certificate_of_another_authority__should_be_named(replica_set: Mongod, tmp_path: Path) -> None:
    certs.init(tmp_path / "other")
    uri = replica_set.uri("x").replace(f"{replica_set.directory / 'certs'}/ca.pem", str(tmp_path / "other" / "ca.pem"))
    with pytest.raises(StoreAway, match="certificate is not accepted: ") as caught:
        await open_store(uri, Path(), 0)
    assert "horse" not in str(caught.value)


@pytest.mark.parametrize("text", ["mongodb://", "mongodb://host:0/x"])
async def unusable_uri__should_be_refused(text: str) -> None:
    with pytest.raises(StoreError):
        await open_store(text, Path(), 0)


async def unreachable_server__should_be_noticed_in_time(standalone: Mongod) -> None:
    started = time.monotonic()
    with pytest.raises(StoreError, match="cannot be reached"):
        await open_store("mongodb://127.0.0.1:9/x", Path(), 0)
    assert time.monotonic() - started < PATIENCE, f"by itself in {TIMEOUT_SECONDS} s"


async def other_schema__should_be_refused(standalone: Mongod) -> None:
    with Documents(standalone.uri("future")) as client:
        client["future"].meta.replace_one({"_id": "schema"}, {"version": 99}, upsert=True)
    with pytest.raises(SchemaMismatch, match="99"):
        await opened(standalone, "future")


async def worker__should_read_beside_its_party_and_nothing_that_is_half_erased(replica_set: Mongod) -> None:
    uri = replica_set.uri("beside")
    with pytest.raises(StoreAway, match="not begun"):
        await open_store(uri, Path(), 0, reads_only=True)
    store = await open_store(uri, Path(), 0)
    worker = await open_store(uri, Path(), 0, reads_only=True)
    with pytest.raises(ForeignStore):
        await open_store(uri, Path(), 1, reads_only=True)
    await store.stage(ONE, Change((reference("0a"), reference("0b"), reference("f0"))), b"1")
    assert await worker.gallery(Place("face")) == []
    await store.commit(ONE)
    for part, found in ((WHOLE, ["0a", "0b", "f0"]), (part_of(0, 2), ["0a", "0b"]), (part_of(1, 2), ["f0"])):
        assert [row.reference_id for row in await worker.gallery(Place("face"), part)] == found
    with Documents(uri) as client:  # as while the party erases it
        client.get_default_database().refs.update_one({"_id": "0a"}, {"$set": {"descriptor": b""}})
    assert [row.reference_id for row in await worker.gallery(Place("face"))] == ["0b", "f0"]
    assert [row.reference_id for row in await worker.by_ids(["0a", "0b"])] == ["0b"]
    await worker.close()
    await store.close()


async def restarted_primary__should_be_waited_for(server: Mongod) -> None:
    store = await opened(server)
    await store.stage(ONE, Change((reference("a"),)), b"1")
    server.stop(kill=True)
    commit = asyncio.ensure_future(store.commit(ONE))
    await asyncio.sleep(0.3)
    await asyncio.to_thread(server.start)
    try:
        await commit
    except StoreError:  # it was away for too long for this operation: a later one finds it
        await again(lambda: store.commit(ONE))
    assert [row.reference_id for row in await store.gallery(Place("face"))] == ["a"]
    await store.close()


async def server_lost_in_flight__should_fail_in_time_and_lose_nothing(server: Mongod) -> None:
    store = await opened(server)
    await store.stage(ONE, Change((reference("a"),)), b"1")
    server.stop(kill=True)
    started = time.monotonic()
    with pytest.raises(StoreError):
        await store.gallery(Place("face"))
    assert time.monotonic() - started < PATIENCE, f"by itself in {TIMEOUT_SECONDS} s"
    await asyncio.to_thread(server.start)
    assert (await again(lambda: store.states([ONE])))[ONE] is State.PENDING
    await store.close()


async def operations_on_a_lost_server__should_not_wait_for_one_another(server: Mongod) -> None:
    """As behind a lock, where each would otherwise look for the server as long as the first one has."""
    store = await opened(server)
    server.stop(kill=True)
    with pytest.raises(StoreAway):
        await store.gallery(Place("face"))
    started = time.monotonic()
    for _ in range(20):
        with pytest.raises(StoreAway):
            await store.gallery(Place("face"))
    assert time.monotonic() - started < 20 * SELECTION_SECONDS / 2
    await asyncio.to_thread(server.start)
    assert await again(lambda: store.gallery(Place("face"))) == []
    await store.close()


async def deposed_primary__should_be_waited_for(server: Mongod) -> None:
    store = await opened(server)
    await store.stage(ONE, Change((reference("a"),)), b"1")
    with Documents(server.root_uri()) as client:
        client.admin.command("replSetStepDown", 1, force=True)
    assert (await store.commit(ONE)).changes == 1
    assert [row.reference_id for row in await store.gallery(Place("face"))] == ["a"]
    await store.close()


async def server_killed_during_writes__should_keep_what_it_has_acknowledged(server: Mongod) -> None:
    store, staged, committed = await opened(server), list[int](), list[int]()

    async def write() -> None:
        for k in range(1, 10_000):
            request = k.to_bytes(16, "big")
            await store.stage(request, Change(tuple(reference(f"{k}-{j}") for j in range(8))), b"d")
            staged.append(k)
            await store.commit(request)
            committed.append(k)

    writer = asyncio.ensure_future(write())
    await until(lambda: len(committed) >= 5)
    await asyncio.to_thread(server.stop, kill=True)
    with pytest.raises(StoreError):
        await writer
    await asyncio.to_thread(server.start)
    states = await again(lambda: store.states([k.to_bytes(16, "big") for k in staged]))
    assert {states[k.to_bytes(16, "big")] for k in committed} == {State.COMMITTED}
    assert State.UNKNOWN not in states.values()
    whole = sum(state is State.COMMITTED for state in states.values())
    assert len(await store.gallery(Place("face"))) == 8 * whole
    await store.close()


async def options_in_the_uri__should_not_weaken_what_is_written(replica_set: Mongod) -> None:
    weak = "&w=1&journal=false&readConcernLevel=local&readPreference=secondaryPreferred&retryWrites=true"
    store = await MongoStore.open(replica_set.uri("weak") + weak, 0)
    database = store._db
    assert database.write_concern.document == {"w": "majority", "j": True}
    assert database.read_concern.document == {"level": "majority"}
    assert database.read_preference.name == "Primary"
    await store.close()


async def names_within_a_write__should_be_unique(standalone: Mongod) -> None:
    store = await opened(standalone, "unique")
    with Documents(standalone.uri("unique")) as client, pytest.raises(DuplicateKeyError):
        for _ in range(2):
            client["unique"].renewals.insert_one({"request_id": ONE, "name": "a"})
    await store.close()


HELD, HELD_BY = Right("face", "", "enroller/kiosk-7"), b"h" * 16
WRITES: dict[str, Write] = {
    "enrol": Change((reference("c"), reference("d"))),
    "replace": Change((reference("e"),), ("a",)),
    "count": Change((replace(reference("e"), gallery="!default"),), beside=("a",)),
    "rename": Rename(("b",), "eve", 7),
    "move": Rename(("b",), "eve", 7, "staff"),
    "publish": Publish(model("other")),
    "renew": Renew((("b", Secret(b"new")),), (("face", Secret(b"new")),), 9),
    "withdraw": Withdraw("face"),
    "grant": Rule(give=(Right("face", "ada", "enroller/kiosk-8"),)),
    "revoke": Rule(take=(HELD.right_id,)),
}
# every way to the server by which something is changed
CHANGING = (
    "bulk_write",
    "delete_many",
    "delete_one",
    "find_one_and_update",
    "insert_one",
    "replace_one",
    "update_many",
    "update_one",
)


class Killed(Exception):
    """The process is no more."""


class DyingDatabase:
    """A database whose client dies before its nth change, or after it."""

    def __init__(self, patch: pytest.MonkeyPatch, fatal: int, *, after: bool) -> None:
        self.count, self.fatal, self.after = 0, fatal, after
        for owner, names in ((AsyncIOMotorCollection, CHANGING), (AsyncIOMotorGridFSBucket, FILES)):
            for name in names:
                patch.setattr(owner, name, self.dying(getattr(owner, name)))

    def dying(self, original: Any) -> Any:
        @functools.wraps(original)
        async def changed(*arguments: Any, **options: Any) -> Any:
            self.count += 1
            if self.count == self.fatal and not self.after:
                raise Killed
            result = await original(*arguments, **options)
            if self.count == self.fatal:
                raise Killed
            return result

        return changed


FILES = ("delete", "upload_from_stream_with_id")


async def contents(store: Store) -> tuple[Any, ...]:
    names = await store.models()
    models = [await store.model(name) for name in names]
    return await store.gallery(Place("face")), models, await store.tombstones("", 99), await all_rights(store)


async def prepared(server: Mongod, name: str) -> Store:
    store = await opened(server, name)
    await restored(store, Page())
    for request, write in ((ONE, Change((reference("a"), reference("b")))), (TWO, Publish(model()))):
        await store.stage(request, write, b"1")
        await store.commit(request)
    await store.stage(HELD_BY, Rule(give=(HELD,)), b"1")
    await store.commit(HELD_BY)
    return store


@pytest.mark.parametrize("kind", WRITES)
async def crash_at_any_step__should_leave_a_write_undone_or_to_be_finished(
    standalone: Mongod, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    name = f"crash-{kind}"
    store = await prepared(standalone, name)
    before = await contents(store)
    await store.stage(THREE, WRITES[kind], b"3")
    await store.commit(THREE)
    done = await contents(store)
    await store.close()
    for fatal in itertools.count(1):
        store = await prepared(standalone, name)
        with monkeypatch.context() as patch:
            dying = DyingDatabase(patch, fatal, after=fatal % 2 == 0)
            try:
                await store.stage(THREE, WRITES[kind], b"3")
                await store.commit(THREE)
            except Killed:
                pass
        await store.close()
        if dying.count < fatal:
            break
        again = await opened(standalone, name)
        state = (await again.states([THREE]))[THREE]
        assert await contents(again) == (done if state is State.COMMITTED else before)
        await again.stage(THREE, WRITES[kind], b"3")
        await again.commit(THREE)
        assert await contents(again) == done
        await again.close()
    assert fatal > 3, "there are steps to die at"


async def interrupted_staging__should_leave_nothing_of_its_shares(standalone: Mongod) -> None:
    store = await opened(standalone, "orphans")
    assert isinstance(store, MongoStore)
    old = reference("a")
    await store._writes._put_payload(ONE, Change((old,)))  # and then the process died
    fresh = reference("a", subject="eve")
    await store.stage(ONE, Change((fresh,)), b"1")
    await store.commit(ONE)
    assert await store.gallery(Place("face")) == [fresh]
    await store.close()
