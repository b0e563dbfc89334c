"""A write is committed at all three parties or at none, also when one of them is gone between staging and committing."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from visard import certs
from visard_common.errors import Unavailable
from visard_engine.errors import PeerLost
from visard_party.consistency import writes as module
from visard_party.consistency.writes import Writes
from visard_party.peers.channel import SessionChannel
from visard_party.store.contents import Change, Place, State
from visard_party.store.sqlite import SqliteStore

from tests.party.harness import LinkedParty, linked
from tests.party.store.content import ONE, TWO, reference
from tests.waiting import PATIENCE, until

WRITE = Change((reference("a"), reference("b")))
DIGEST = b"d" * 32


@dataclass
class Writer:
    """A party's links, store and write log."""

    party: LinkedParty
    store: SqliteStore

    def __post_init__(self) -> None:
        self.models: list[object] = []  # what was said to have changed
        self.writes = Writes(self.store, self.party.links, self._renew)

    async def _renew(self, models: object) -> None:
        self.models.append(models)

    def channel(self, seconds: float) -> SessionChannel:
        return SessionChannel(self.party.links, b"s" * 16, seconds)

    async def state(self) -> State:
        return (await self.store.states([ONE]))[ONE]


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("pki")
    certs.init(directory)
    return directory


@pytest.fixture
async def writers(pki: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[Writer]]:
    monkeypatch.setattr(module, "_RETRY_SECONDS", 0.1)
    async with AsyncExitStack() as stack:
        parties = await stack.enter_async_context(linked(pki))
        made = []
        for index, party in enumerate(parties):
            store = await SqliteStore.open(tmp_path / f"party{index}", index)
            stack.push_async_callback(store.close)
            made.append(Writer(party, store))
        tasks = [asyncio.create_task(writer.writes.decide_pending()) for writer in made]
        yield made
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def settled(writers: list[Writer], state: State) -> None:
    async def all_there() -> bool:
        return {await writer.state() for writer in writers} == {state}

    await until(all_there)


async def run(writer: Writer, seconds: float = PATIENCE) -> int:
    """Make the write; ``seconds`` are what it waits for a peer."""
    with writer.writes.running(ONE):
        return await writer.writes.make(writer.channel(seconds), ONE, DIGEST, WRITE, 9)


async def write__should_be_committed_everywhere(writers: list[Writer]) -> None:
    assert await asyncio.gather(*(run(writer) for writer in writers)) == [2, 2, 2]
    assert {await writer.state() for writer in writers} == {State.COMMITTED}


async def peer_lost_before_it_staged__should_undo_the_write(writers: list[Writer]) -> None:
    runs = [asyncio.ensure_future(run(writer)) for writer in writers[:2]]
    await settled(writers[:2], State.PENDING)
    await writers[2].party.stop()
    for future in runs:
        with pytest.raises(PeerLost):
            await future
    assert [await writer.state() for writer in writers[:2]] == [State.PENDING] * 2
    await asyncio.sleep(0.3)  # with a party away nothing is decided
    assert [await writer.state() for writer in writers[:2]] == [State.PENDING] * 2
    await writers[2].party.start()
    await settled(writers[:2], State.DROPPED)
    assert await writers[2].state() is State.UNKNOWN


async def staged(writers: list[Writer], committed: Sequence[Writer] = ()) -> None:
    """Staged everywhere, and committed at some, before any recovery: a busy machine may take its time."""
    with ExitStack() as stack:
        for writer in writers:
            stack.enter_context(writer.writes.running(ONE))
        for writer in writers:
            await writer.store.stage(ONE, WRITE, DIGEST)
        for writer in committed:
            await writer.store.commit(ONE)


async def crash_after_staging_everywhere__should_complete_the_write(writers: list[Writer]) -> None:
    await staged(writers)
    await settled(writers, State.COMMITTED)
    assert [len(await writer.store.gallery(Place("face"))) for writer in writers] == [2, 2, 2]


async def crash_after_one_commit__should_complete_the_write(writers: list[Writer]) -> None:
    await staged(writers, [writers[1]])
    await settled(writers, State.COMMITTED)


async def failed_runs__should_be_decided_at_once(writers: list[Writer], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_RETRY_SECONDS", 600)
    await asyncio.sleep(0.3)  # from here on nobody asks by the clock
    staged = asyncio.Barrier(3)

    async def fail(writer: Writer) -> None:
        with writer.writes.running(ONE):
            await writer.store.stage(ONE, WRITE, DIGEST)
            await staged.wait()
            raise RuntimeError("gone")

    await asyncio.gather(*map(fail, writers), return_exceptions=True)
    await settled(writers, State.COMMITTED)


async def run_in_progress__should_be_waited_for(writers: list[Writer]) -> None:
    for writer in writers[:2]:
        await writer.store.stage(ONE, WRITE, DIGEST)
    with writers[2].writes.running(ONE):  # it may stage yet
        await asyncio.sleep(0.5)
        assert [await writer.state() for writer in writers[:2]] == [State.PENDING] * 2
    await settled(writers[:2], State.DROPPED)


async def dropped_write__should_not_be_made_later(writers: list[Writer]) -> None:
    for writer in writers[:2]:
        await writer.store.stage(ONE, WRITE, DIGEST)
    await settled(writers[:2], State.DROPPED)
    results = await asyncio.gather(*(run(writer, 0.5) for writer in writers), return_exceptions=True)
    assert all(isinstance(result, Exception) for result in results)
    assert [len(await writer.store.gallery(Place("face"))) for writer in writers] == [0, 0, 0]


async def write_left_by_a_crash__should_be_decided_before_the_next_begins(writers: list[Writer]) -> None:
    for writer in writers[:2]:
        await writer.store.stage(ONE, WRITE, DIGEST)
    with writers[2].writes.running(ONE):  # it may stage yet
        with pytest.raises(Unavailable, match="pending"):
            await writers[0].writes.quiet(TWO, 0.3, alone=False)
        await writers[0].writes.quiet(ONE, PATIENCE, alone=True)  # itself is in nobody's way
    await writers[0].writes.quiet(TWO, PATIENCE, alone=True)
    assert await writers[0].state() is State.DROPPED


async def write_of_another_run__should_be_in_the_way_of_an_exclusive_one_only(writers: list[Writer]) -> None:
    await writers[0].store.stage(ONE, WRITE, DIGEST)
    with writers[0].writes.running(ONE):
        await writers[0].writes.quiet(TWO, PATIENCE, alone=False)
        with pytest.raises(Unavailable, match="pending"):
            await writers[0].writes.quiet(TWO, 0.3, alone=True)


async def changes__should_be_told_to_who_watches(writers: list[Writer]) -> None:
    watching = writers[0].writes.watch()
    watching.take()
    await asyncio.gather(*(run(writer) for writer in writers))
    assert (watching.everything, watching.references, watching.writes) == (False, {"a", "b"}, {ONE: 9})
    await writers[0].writes.forget()
    assert watching.everything
    assert writers[0].models == [None]  # the write changed none
