"""A party's side of its workers: who is chosen, what they are told, what their failures mean, and who waits for whom."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import grpc
import numpy as np
import pytest
from visard_common.errors import Unavailable
from visard_party import workers as module
from visard_party.consistency.changes import Changes
from visard_party.operations import whom
from visard_party.store.contents import Place
from visard_party.workers import Workers, one
from visard_party.workers.asked import Described, Held, Wanted
from visard_wire.v1 import common_pb2, worker_pb2

from tests.waiting import until

WANTED = Wanted(Place("face"), 31, 5)
NAMED = Described("face", bytes(40), bytes(32), bytes(16))


class Failed(grpc.aio.AioRpcError):
    """A status without details."""

    def __init__(self, code: grpc.StatusCode) -> None:
        super().__init__(code, grpc.aio.Metadata(), grpc.aio.Metadata(), "words of another process", None)


class Stub:
    """Stands for a worker."""

    def __init__(self) -> None:
        self.told: list[worker_pb2.TellRequest] = []
        self.fails: Exception | None = None
        self.state = common_pb2.WorkerState()
        self.distrusted = ""
        self.reading = asyncio.Event()
        self.reading.set()
        self.described = 0

    async def Tell(self, request: worker_pb2.TellRequest, timeout: float) -> worker_pb2.TellResponse:
        if self.fails:
            raise self.fails
        self.told.append(request)
        return worker_pb2.TellResponse(state=self.state, distrusted=self.distrusted)

    async def Hold(self, request: worker_pb2.HoldRequest, timeout: float) -> worker_pb2.HoldResponse:
        if self.fails:
            raise self.fails
        self.told.append(request.told)
        await self.reading.wait()
        return worker_pb2.HoldResponse(references=1, room=24)

    async def Describe(self, pieces: Any, timeout: float) -> worker_pb2.DescribeResponse:
        async for _ in pieces:
            pass
        if self.fails:
            raise self.fails
        self.described += 1
        return worker_pb2.DescribeResponse(descriptors=np.zeros(4, np.uint32).tobytes())

    async def close(self) -> None:
        pass

    def current(self) -> "Stub":
        return self


class Writes:
    """Stands for the party's writes, and says whether commits wait."""

    def __init__(self) -> None:
        self.changes: list[Changes] = []
        self.held = False

    def watch(self) -> Changes:
        self.changes.append(Changes())
        return self.changes[-1]

    @asynccontextmanager
    async def still(self) -> AsyncIterator[None]:
        self.held = True
        try:
            yield
        finally:
            self.held = False


class Home:
    """A party with two workers."""

    def __init__(self, stubs: list[Stub]) -> None:
        self.writes, self.stubs, self.distrusted = Writes(), stubs, list[str]()
        config = SimpleNamespace(index=0, tls=None, workers=("a:1", "b:1"), run_timeout=60.0, peer_timeout=60.0)
        self.workers = Workers(cast(Any, config), cast(Any, self.writes), self.distrust)

    async def distrust(self, problem: str) -> None:
        self.distrusted.append(problem)

    async def describe(self, number: int) -> None:
        channel: Any = SimpleNamespace(add_cost=lambda *_: None)
        await self.workers.describe(channel, number, NAMED, np.zeros((1, 1, 2, 2), np.uint32))


@pytest.fixture
async def home(monkeypatch: pytest.MonkeyPatch) -> Home:
    stubs = [Stub(), Stub()]
    waiting = iter(stubs)
    monkeypatch.setattr(one, "Renewed", lambda *_: next(waiting))
    made = Home(stubs)
    await made.workers.look()
    return made


async def worker__should_be_chosen_in_turn_and_left_alone_for_a_while_when_it_fails(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [home.workers.idlest() for _ in range(4)] == [1, 2, 1, 2]
    home.stubs[0].fails = Failed(grpc.StatusCode.FAILED_PRECONDITION)
    with pytest.raises(Unavailable, match="worker 0 of party 0: words of another process"):
        await home.describe(1)
    await home.workers.look()
    home.stubs[0].fails = None
    await home.workers.look()
    assert {home.workers.idlest() for _ in range(4)} == {2}
    await home.describe(2)
    assert home.stubs[1].described == 1
    later = time.monotonic() + one.REST_SECONDS + 1
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert {home.workers.idlest() for _ in range(4)} == {1, 2}


async def run_that_a_peer_gives_up__should_count_against_the_worker_as_well(home: Home) -> None:
    class Hanging(Stub):
        async def Describe(self, pieces: Any, timeout: float) -> worker_pb2.DescribeResponse:
            await asyncio.Event().wait()
            raise AssertionError

    home.workers._all[0]._stub = cast(Any, Hanging())
    running = asyncio.create_task(home.describe(1))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert {home.workers.idlest() for _ in range(4)} == {2}


async def nobody_who_can__should_leave_it_to_the_party(home: Home) -> None:
    for stub in home.stubs:
        stub.state = common_pb2.WorkerState(reason="party 1 is not connected")
    await home.workers.look()
    assert home.workers.idlest() == 0
    with pytest.raises(Unavailable, match="worker 0 of party 0: party 1 is not connected"):
        await home.workers.hold(bytes(16), WANTED, 2)
    assert not home.writes.held


@pytest.mark.parametrize("code", ["DEADLINE_EXCEEDED", "NOT_FOUND", "INTERNAL", "UNAVAILABLE", "FAILED_PRECONDITION"])
async def failure_of_a_worker__should_be_no_fault_of_who_asks(home: Home, code: str) -> None:
    home.stubs[1].fails = Failed(grpc.StatusCode[code])
    with pytest.raises(Unavailable, match="worker 1 of party 0"):
        await home.workers.hold(bytes(16), WANTED, 2)
    assert (await home.workers.hold(bytes(16), WANTED, 1)).parts[0].references == 1, "it is not asked"


async def what_did_not_reach_a_worker__should_be_told_again(home: Home) -> None:
    home.writes.changes[0].told(["a"])
    home.workers.ended(b"run".ljust(16))
    home.stubs[0].fails = Failed(grpc.StatusCode.UNAVAILABLE)
    await home.workers.look()
    home.writes.changes[0].told(["b"])
    home.stubs[0].fails = None
    await home.workers.look()
    told = home.stubs[0].told[-1]
    assert (told.ordinal, list(told.changed), list(told.ended)) == (0, ["a", "b"], [b"run".ljust(16)])
    await home.workers.look()
    assert home.stubs[0].told[-1] == worker_pb2.TellRequest()
    assert home.stubs[0].told[0].everything, "at first"


async def long_reading__should_not_keep_commits_waiting(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STILL_SECONDS", 0.05)
    home.stubs[1].reading.clear()
    holding = asyncio.create_task(home.workers.hold(bytes(16), WANTED, 2))
    await until(lambda: len(home.stubs[1].told) == 3)  # looked at, then held, and again while nobody waits
    assert not home.writes.held
    home.stubs[1].reading.set()
    assert len(await holding) == 2


async def what_a_worker_holds_against_the_dealer__should_be_its_partys_too(home: Home) -> None:
    home.stubs[1].distrusted = "the dealer failed the audit of kit 7"
    await home.workers.look()
    assert home.distrusted == ["at worker 1 of party 0, the dealer failed the audit of kit 7"]


@pytest.mark.parametrize(
    ("asked_for", "own", "fits"), [(2, 2, True), (2, 3, True), (2, 4, True), (2, 5, False), (3, 2, False)]
)
async def party_0_that_asks_for_too_few_or_too_many__should_be_refused(asked_for: int, own: int, fits: bool) -> None:
    """One that lies could else have a few workers read what is meant for many."""

    class Several:
        def __len__(self) -> int:
            return own

        async def hold(self, *_: object) -> Held:
            return Held(bytes(16))

    resources: Any = SimpleNamespace(party=1, workers=Several())
    request = common_pb2.Request(model="face", gallery="default")
    asked: Any = SimpleNamespace(request=request, workers=asked_for, session=bytes(16))
    model: Any = SimpleNamespace(program=SimpleNamespace(q=31))
    if fits:
        assert len(await whom.searched(resources, asked, model)) == 0
        return
    with pytest.raises(Unavailable, match=f"party 1 has {own} workers, and party 0 asks for {asked_for}"):
        await whom.searched(resources, asked, model)
