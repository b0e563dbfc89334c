"""The stock withstands a dealer that fails for one plan or lies, callers that give up, and more plans than it can keep."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from visard_common.errors import InvalidArgument, ResourceExhausted
from visard_engine.kits import KitPlan
from visard_engine.sections import Section
from visard_party.kits import stock as stock_module
from visard_party.kits.ledger import WINDOW
from visard_party.kits.source import Fetched
from visard_party.kits.stock import KitBurnt

from tests.party.test_stock import MEMORIES, OTHER, PLAN, Dealer, Stocked
from tests.waiting import PATIENCE, until


class Moody(Dealer):
    """Refuses one plan with an error of the test's choice, and can be made to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: dict[bytes, Exception] = {}
        self.attempts = 0
        self.open = asyncio.Event()
        self.open.set()

    async def fetch(self, plan: KitPlan, number: int) -> Fetched:
        self.attempts += 1
        await self.open.wait()
        if plan.digest in self.refused:
            raise self.refused[plan.digest]
        return await super().fetch(plan, number)


@pytest.fixture(params=list(MEMORIES.values()), ids=list(MEMORIES))
async def moody(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[tuple[Stocked, Moody]]:
    dealer = Moody()
    stocked = Stocked(tmp_path, dealer, request.param)
    yield stocked, dealer
    await stocked.end()


FAILURES = [InvalidArgument("plan: too large"), OSError(28, "No space left on device"), RuntimeError("a defect")]


@pytest.mark.parametrize("error", FAILURES, ids=lambda e: type(e).__name__)
async def plan_that_fails__should_not_keep_others_waiting(moody: tuple[Stocked, Moody], error: Exception) -> None:
    stocked, dealer = moody
    dealer.refused[PLAN.digest] = error
    stocked.stock.want(PLAN, 2)
    stocked.stock.want(OTHER, 3)
    await stocked.full(OTHER, 3)
    assert await stocked.stock.reserve(OTHER, PATIENCE) == 1
    with pytest.raises(ResourceExhausted):
        await stocked.stock.reserve(PLAN, 0.05)
    dealer.refused.clear()
    assert await stocked.stock.reserve(PLAN, PATIENCE) == 1
    assert not stocked.task.done()


async def failing_dealer__should_not_be_asked_in_a_busy_loop(moody: tuple[Stocked, Moody]) -> None:
    stocked, dealer = moody
    dealer.away = True
    stocked.stock.want(PLAN, 2)
    await until(lambda: dealer.attempts > 0)
    started, attempts = time.monotonic(), dealer.attempts
    await asyncio.sleep(0.2)
    # it pauses for half a second at first; a busy loop would have asked hundreds of times
    assert dealer.attempts - attempts <= 3 + 10 * (time.monotonic() - started)


async def full_stock__should_not_ask_the_dealer(moody: tuple[Stocked, Moody]) -> None:
    stocked, dealer = moody
    stocked.stock.want(PLAN, 2)
    await stocked.full(PLAN, 2)
    attempts = dealer.attempts
    for _ in range(50):
        await asyncio.sleep(0.001)
    assert dealer.attempts == attempts == 2


async def demand_of_a_caller_that_gave_up__should_be_forgotten(moody: tuple[Stocked, Moody]) -> None:
    stocked, dealer = moody
    stocked.stock.want(PLAN, 1)
    await stocked.full(PLAN, 1)
    dealer.open.clear()
    gone = asyncio.create_task(stocked.stock.take(PLAN, 5, PATIENCE))
    late = asyncio.create_task(stocked.stock.take(PLAN, 6, 0.05))
    await asyncio.sleep(0.01)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    with pytest.raises(ResourceExhausted):
        await late
    dealer.open.set()
    far = 5 + 3 * WINDOW
    assert (await stocked.stock.take(PLAN, far, PATIENCE)).kit_id == far
    await stocked.full(PLAN, 1)
    assert dealer.fetched.count(5) <= 1  # not again and again, each time it is discarded
    assert 6 not in dealer.fetched


async def same_number_asked_for_twice_at_once__should_be_given_once(moody: tuple[Stocked, Moody]) -> None:
    stocked, _ = moody
    takes = [stocked.stock.take(PLAN, 3, 5) for _ in range(4)]
    results = await asyncio.gather(*takes, return_exceptions=True)
    kits = [result for result in results if not isinstance(result, BaseException)]
    assert len(kits) == 1
    assert all(isinstance(result, ResourceExhausted | KitBurnt) for result in results if result not in kits)


async def released_number__should_reach_who_waits_for_it(moody: tuple[Stocked, Moody]) -> None:
    stocked, dealer = moody
    first = await stocked.stock.reserve(PLAN, PATIENCE)
    await stocked.full(PLAN, 1)
    dealer.away = True
    await stocked.stock.reserve(PLAN, PATIENCE)
    waiting = asyncio.create_task(stocked.stock.reserve(PLAN, PATIENCE))
    await asyncio.sleep(0.01)
    await stocked.stock.release(PLAN, first)
    assert await waiting == first


async def kits_far_apart__should_all_be_taken_when_runs_overtake_each_other(moody: tuple[Stocked, Moody]) -> None:
    stocked, _ = moody
    stocked.stock.want(PLAN, 32)
    await stocked.full(PLAN, 32)
    numbers = [await stocked.stock.reserve(PLAN, PATIENCE) for _ in range(32)]
    kits = [await stocked.stock.take(PLAN, number, PATIENCE) for number in reversed(numbers)]
    assert [kit.kit_id for kit in kits] == numbers[::-1]


async def plans_beyond_the_limit__should_give_way_oldest_first_and_keep_their_numbers(
    moody: tuple[Stocked, Moody], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stocked, _ = moody
    monkeypatch.setattr(stock_module, "MAX_PLANS", 2)
    await stocked.stock.take(PLAN, await stocked.stock.reserve(PLAN, PATIENCE), PATIENCE)
    await stocked.full(PLAN, 1)
    third = KitPlan(31, (Section("max", 65),))
    for plan in (OTHER, third):
        stocked.stock.want(plan, 1)
        await stocked.full(plan, 1)
    assert {level.plan for level in stocked.stock.levels()} == {OTHER, third}
    assert not list((tmp_path / PLAN.digest.hex()).glob("*.kit"))
    with pytest.raises(KitBurnt):
        await stocked.stock.take(PLAN, 1, 1)
    assert await stocked.stock.reserve(PLAN, PATIENCE) == 2


async def plan_forgotten_in_the_middle_of_a_take__should_not_give_the_kit_again(
    moody: tuple[Stocked, Moody], monkeypatch: pytest.MonkeyPatch
) -> None:
    stocked, dealer = moody
    monkeypatch.setattr(stock_module, "MAX_PLANS", 1)
    number = await stocked.stock.reserve(PLAN, PATIENCE)
    entered, leave = asyncio.Event(), asyncio.Event()

    async def slowly(work: object, *args: object) -> object:
        entered.set()
        await leave.wait()
        return work(*args)  # type: ignore[operator]

    monkeypatch.setattr(asyncio, "to_thread", slowly)
    taking = asyncio.create_task(stocked.stock.take(PLAN, number, PATIENCE))
    await entered.wait()
    stocked.stock.want(OTHER, 1)  # PLAN gives way; neither the deletion nor the floor is on disk yet
    with pytest.raises(KitBurnt):
        await stocked.stock.take(PLAN, number, 1)
    leave.set()
    assert (await taking).kit_id == number
    assert dealer.fetched.count(number) == 1
