"""A store is written anew over real links: row for row, whatever its size; and a helper that is lost leaves the old one."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from visard import certs
from visard_common.limits import MAX_METADATA_BYTES, MAX_PROGRAM_BYTES, MAX_REQUEST, SESSION_BYTES
from visard_engine.field import M31, Elements
from visard_engine.nn.program import Program
from visard_party.consistency.writes import Writes
from visard_party.intake.asked import Asked
from visard_party.operations import manifest
from visard_party.operations.prepared import Prepared
from visard_party.operations.resources import Resources
from visard_party.operations.restoration import Recover
from visard_party.peers.channel import SessionChannel
from visard_party.store.base import Store, restored
from visard_party.store.contents import LogEntry, ModelRecord, Page, Reference, Right, State, Tombstone
from visard_party.store.sqlite import SqliteStore
from visard_wire.secret import Secret
from visard_wire.v1 import common_pb2

from tests.engine.nn.test_program import CONV, TAIL, program
from tests.party.harness import LinkedParty, linked

PROGRAM: Program = program(CONV, *TAIL, q=31)
ROWS, LOGGED = 2 * manifest.REFERENCES + 1, manifest.ROWS + 1
# what a recovery tells of: the model, three pages of references, two of writes, tombstones, rights
PAGES = 1 + 3 + 2 + 1 + 1
LONGEST = "x" * 128
RNG = np.random.default_rng(21)


def shared(size: int) -> list[Elements]:
    """Shares of uniform values."""
    secret, slope = (RNG.integers(0, M31.p, size, dtype=np.uint64).astype(M31.dtype) for _ in range(2))
    return [M31.add(secret, M31.scale(slope, x)) for x in (1, 2, 3)]


def held() -> list[Page]:
    """What each of three parties holds; names, notes and numbers are as large as callers can make them."""
    weights, size = shared(PROGRAM.weight_count), PROGRAM.output.size
    descriptors = shared(ROWS * size)
    note, times = b"\xff" * MAX_METADATA_BYTES, (2**52, 2**52, 2**52)
    writes = [LogEntry(os.urandom(16), "change", os.urandom(32), State.COMMITTED, 2**31, 2**52) for _ in range(LOGGED)]
    stones = [Tombstone(f"{number:032x}", 2**52) for number in range(5)]
    rights = [Right(LONGEST, LONGEST, f"enroller/{number:064d}") for number in range(5)]

    def reference(number: int, party: int) -> Reference:
        share = Secret(descriptors[party][number * size : (number + 1) * size].tobytes())
        names = (f"{number:032x}", LONGEST, LONGEST, 2**31)
        return Reference(*names, *times, note, share, "enroller/" + 64 * "k")

    return [
        Page(
            [reference(number, party) for number in range(ROWS)],
            [ModelRecord(LONGEST, PROGRAM.to_json(), 1, 2**52, Secret(weights[party].tobytes()))],
            writes,
            stones,
            rights,
        )
        for party in range(3)
    ]


class House:
    """Three parties: their links, stores and what a recovery needs of the rest."""

    def __init__(self, parties: Sequence[LinkedParty], stores: Sequence[Store]) -> None:
        self.parties = parties
        self.stores = stores
        self.discarded: list[int] = []
        self._session = 0
        self._writes = [Writes(store, party.links) for store, party in zip(stores, parties, strict=True)]

    def resources(self, party: int) -> Resources:
        store = self.stores[party]
        stock = SimpleNamespace(discard=lambda: self.discarded.append(party))
        return cast("Resources", SimpleNamespace(party=party, store=store, writes=self._writes[party], stock=stock))

    async def recover(self, target: int, seconds: float = 20) -> list[Any]:
        """How it ended at each party: an answer, or why not."""
        self._session += 1
        session = self._session.to_bytes(SESSION_BYTES, "big")
        channels = [SessionChannel(party.links, session, seconds) for party in self.parties]
        request = common_pb2.Request(operation=common_pb2.OPERATION_RECOVER, party=target)
        asked = Asked(request, b"", None, seconds)
        runs = [
            Recover().perform(self.resources(party), Prepared(asked), channel, [])
            for party, channel in enumerate(channels)
        ]
        try:
            return await asyncio.gather(*runs, return_exceptions=True)
        finally:
            for channel in channels:
                channel.close()


@asynccontextmanager
async def house(folder: Path, pages: Sequence[Page]) -> AsyncIterator[House]:
    """Three linked parties that hold these pages."""
    pki = folder / "pki"
    if not pki.exists():
        certs.init(pki)
    stores = [await SqliteStore.open(folder / f"party{party}", party) for party in range(3)]
    try:
        for store, page in zip(stores, pages, strict=True):
            await restored(store, page)
        async with linked(pki) as parties:
            yield House(parties, stores)
    finally:
        for store in stores:
            await store.close()


async def contents(store: Store) -> list[tuple[bytes, list[bytes]]]:
    """Everything that a store tells of, with its shares."""
    return [(told.encode(), [share.reveal() for share in told.shares]) async for told in manifest.told(store)]


@pytest.mark.parametrize("target", [0, 1, 2])
async def lost_store__should_come_back_row_for_row(tmp_path: Path, target: int) -> None:
    async with house(tmp_path, held()) as three:
        before = await contents(three.stores[target])
        assert len(before) == PAGES + 1  # and the one that says that it is the last
        await restored(three.stores[target], Page(rights=[Right("other", "other", "enroller/other")]))
        answers = await three.recover(target)
        assert [answer.references_changed for answer in answers] == [ROWS] * 3, answers
        assert await contents(three.stores[target]) == before
        assert three.discarded == [target]


@pytest.mark.parametrize("lost", [1, 2])
@pytest.mark.parametrize("page", range(PAGES - 1))
async def lost_helper__should_leave_what_the_target_held(tmp_path: Path, page: int, lost: int) -> None:
    """As if the helper had crashed while the target takes in a page: it keeps what it held, and another try restores it."""
    pages = held()
    async with house(tmp_path, pages) as three:
        target = three.stores[0]
        await restored(target, old := Page(rights=[Right("old", "old", "enroller/old")]))
        before, taken, restore = await contents(target), 0, target.restore

        async def restore_until(told: Page) -> None:
            nonlocal taken
            await restore(told)
            taken += 1
            if taken == page + 1:
                await three.parties[lost].stop()

        target.restore = restore_until  # type: ignore[method-assign, assignment]
        answers = await three.recover(0)
        assert isinstance(answers[0], Exception), "told that it is not done"
        assert page < taken <= page + 2, "a page may have been on its way"
        assert await contents(target) == before
        assert [*await target.rights(10, "")] == [*old.rights]
        assert three.discarded == []
    async with house(tmp_path, [old, *pages[1:]]) as three:  # the same files: the helper is back
        assert [answer.references_changed for answer in await three.recover(0)] == [ROWS] * 3


async def helpers_that_differ__should_restore_nothing(tmp_path: Path) -> None:
    pages = held()
    pages[2] = Page(pages[2].references[1:], pages[2].models, pages[2].writes, pages[2].tombstones, pages[2].rights)
    async with house(tmp_path, pages) as three:
        before = await contents(three.stores[0])
        answers = await three.recover(0, seconds=3)
        assert "do not hold the same" in str(answers[0])
        assert await contents(three.stores[0]) == before


async def page__should_stay_below_what_a_message_holds(tmp_path: Path) -> None:
    page = held()[0]
    model = ModelRecord(LONGEST, b" " * MAX_PROGRAM_BYTES, 1, 2**52, page.models[0].weights)
    full = Page(page.references, [model], page.writes, page.tombstones, page.rights)
    store = await SqliteStore.open(tmp_path, 0)
    try:
        await restored(store, full)
        sizes = [len(told.encode()) async for told in manifest.told(store)]
    finally:
        await store.close()
    assert len(sizes) == PAGES + 1
    assert max(sizes) < MAX_REQUEST, "one piece each, far below the 64 MiB of a message between parties"
