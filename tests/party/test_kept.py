"""What a party keeps in memory is what its store holds, after any writes, in any order, with failures between."""

import asyncio
import os
import random
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from visard_engine.field import field_of
from visard_party.consistency.recovery import Decision
from visard_party.consistency.sets import Holdings
from visard_party.consistency.watch import Watch
from visard_party.consistency.writes import Writes
from visard_party.errors import StoreError
from visard_party.gallery import Galleries, Rows
from visard_party.store import open_store
from visard_party.store.base import Store, all_rights, restored
from visard_party.store.contents import (
    Change,
    Page,
    Place,
    Publish,
    Reference,
    Rename,
    Renew,
    Right,
    Rule,
    State,
    Write,
)
from visard_wire.secret import Secret

from tests.party.store.content import model
from tests.party.test_gallery import same

F31 = field_of(31)
OPERATIONS = (
    "enrol",
    "enrol",
    "replace",
    "rename",
    "move",
    "delete",
    "renew",
    "publish",
    "drop",
    "fail",
    "late",
    "leave",
    "clear",
    "grant",
    "revoke",
)


class Party:
    """A store with the write log, the galleries and the holdings over it; its peers are away."""

    def __init__(self, store: Store, seed: int) -> None:
        links: Any = SimpleNamespace(party=0, peers=(1, 2), connected=lambda _: False, on=lambda *_: None)
        self.store = store
        self.writes = Writes(store, links)
        self.galleries = Galleries(store, self.writes)
        self.watch = Watch(store, links, self.writes)
        self.random = random.Random(seed)
        self.number = 0

    async def play(self, operation: str) -> None:
        """One write, or what becomes of one."""
        self.number += 1
        request = self.number.to_bytes(16, "big")
        if operation == "clear":  # what a restoration does
            await restored(self.store, Page([self.reference() for _ in range(3)]))
            await self.writes.forget()
            return
        write = await self.write(operation)
        await self.store.stage(request, write, b"digest")
        match operation:
            case "leave":
                return
            case "drop":
                await self.writes.finish(request, Decision.DROP)
            case "fail" | "late":
                await self.failing(request, made=operation == "late")
            case _:
                await self.writes.finish(request, Decision.COMMIT)

    async def failing(self, request: bytes, *, made: bool) -> None:
        """A commit whose answer is lost; whether it was made shows later."""
        commit = self.store.commit

        async def lose(_: bytes) -> None:
            raise StoreError("no answer")

        self.store.commit = lose  # type: ignore[method-assign, assignment]
        with pytest.raises(StoreError):
            await self.writes.finish(request, Decision.COMMIT)
        self.store.commit = commit  # type: ignore[method-assign]
        await self.check()
        if made:
            await self.store.commit(request)  # only now does it reach the store, and nobody is told
        await self.writes._make_certain()
        assert ((await self.store.states([request]))[request] is State.COMMITTED) == made

    def reference(self) -> Reference:
        subject, kind = self.random.choice(["ada", "bob", "eve"]), self.random.choice(["face", "face", "other"])
        share = Secret(self.random.randbytes(16))
        return Reference(self.random.randbytes(16).hex(), subject, kind, 1, 5, 5, 0, b"", share)

    async def write(self, operation: str) -> Write:
        there = sorted(name.reference_id for name in await self.store.names())
        some = tuple(self.random.sample(there, min(len(there), self.random.randrange(4))))
        match operation:
            case "move":
                return Rename(some, "new", 7, "elsewhere")
            case "rename":
                return Rename(some, "new", 7)
            case "delete":
                return Change(erase=some)
            case "renew":
                return Renew(tuple((name, Secret(self.random.randbytes(16))) for name in there), (), 9)
            case "publish":
                return Publish(model(f"model{self.number}"))
            case "grant":
                return Rule(give=(Right("face", self.random.choice(["", "ada"]), "enroller/kiosk-7"),))
            case "revoke":
                return Rule(take=(Right("face", self.random.choice(["", "ada"]), "enroller/kiosk-7").right_id,))
        added = tuple(self.reference() for _ in range(self.random.randrange(1, 4)))
        return Change(added, some if operation == "replace" else ())

    async def check(self) -> None:
        for kind in ("face", "other"):
            assert same(await self.galleries.get(Place(kind), F31), Rows.of(await self.store.gallery(Place(kind)), F31))
        rights = [right.name for right in await all_rights(self.store)]
        fresh = Holdings([*await self.store.names(), *rights], await self.store.log())
        kept = await self.watch.holdings()
        assert (kept.references, kept.writes, kept.pending) == (fresh.references, fresh.writes, fresh.pending)
        assert kept.node("") == fresh.node("")
        assert kept.counts == fresh.counts
        assert kept.counts[1] == len(await self.store.names()), "rights are no references"


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(OPERATIONS), st.booleans()), min_size=1, max_size=12), st.integers(0, 1 << 30)
)
def memory__should_follow_the_store(played: list[tuple[str, bool]], seed: int) -> None:
    async def example() -> None:
        with tempfile.TemporaryDirectory() as folder:
            store = await open_store("sqlite", Path(folder), 0)
            party = Party(store, seed)
            for operation, look in played:
                await party.play(operation)
                if look:
                    await party.check()
            await party.check()
            await store.close()

    asyncio.run(example())


@pytest.fixture(params=["replica_set", "standalone"])
async def mongo(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    store = await open_store(request.getfixturevalue(request.param).uri(f"kept_{os.urandom(6).hex()}"), Path(), 0)
    yield store
    await store.close()


async def memory__should_follow_mongodb(mongo: Store) -> None:
    party = Party(mongo, 11)
    for operation in (*OPERATIONS, *party.random.sample(OPERATIONS, len(OPERATIONS))):
        await party.play(operation)
        await party.check()


async def change_by_another_hand__should_show_in_an_audit(tmp_path: Path) -> None:
    store = await open_store("sqlite", tmp_path, 0)
    party = Party(store, 3)
    await party.play("enrol")
    await party.check()
    before = (await party.watch.holdings()).references
    await restored(store, Page())
    assert (await party.watch.holdings()).references == before
    await party.watch._read_anew()
    await party.check()
    await store.close()
