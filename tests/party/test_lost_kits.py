"""A party that has lost its kits, or got old ones back, brings no number back that was used."""

import asyncio
import shutil
import time
from functools import partial
from pathlib import Path

import pytest
from visard_party.kits.files import first_number_in
from visard_party.kits.ledger import first_number
from visard_party.kits.stock import KitBurnt, KitStock

from tests.party.test_stock import OTHER, PLAN, Dealer
from tests.waiting import PATIENCE

DAY = 86_400


class Clock:
    """Stands for time.time."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "time", lambda: clock.now)
    return clock


def leader(directory: Path, memory: int = 0) -> KitStock:
    return KitStock(directory, 0, Dealer(0), partial(first_number_in, directory), memory_bytes=memory)


async def used(stock: KitStock) -> int:
    """Take a kit, and say its number."""
    running = asyncio.create_task(stock.fill())
    number = await stock.reserve(PLAN, PATIENCE)
    kit = await stock.take(PLAN, number, PATIENCE)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert kit.kit_id == number
    return number


async def leader_without_its_disk__should_begin_beyond_all_it_has_used(tmp_path: Path, clock: Clock) -> None:
    before = [await used(leader(tmp_path / "kits")) for _ in range(2)]
    assert before == [first_number(clock.now), first_number(clock.now) + 1]
    clock.now += 1
    assert await used(leader(tmp_path / "kits")) == before[1] + 1, "a restart goes on where it was"
    shutil.rmtree(tmp_path / "kits")
    assert await used(leader(tmp_path / "kits")) == first_number(clock.now) > before[1] + 1


async def leader_restored_from_a_backup__should_go_on_beyond_it_after_discarding(tmp_path: Path, clock: Clock) -> None:
    stock = leader(tmp_path / "kits")
    first = await used(stock)
    shutil.copytree(tmp_path / "kits", tmp_path / "backup")
    later = [await used(stock) for _ in range(3)]
    shutil.rmtree(tmp_path / "kits")
    shutil.copytree(tmp_path / "backup", tmp_path / "kits")
    clock.now += DAY
    restored = leader(tmp_path / "kits")
    restored.want(PLAN, 1)
    restored.discard()
    assert await used(restored) == first_number(clock.now) > max(first, *later)
    with pytest.raises(KitBurnt):
        await restored.take(PLAN, first + 1, 1)


async def discarding__should_reach_plans_that_nobody_has_asked_for(tmp_path: Path) -> None:
    before = KitStock(tmp_path, 1, Dealer(1))
    before.want(OTHER, 1)
    task = asyncio.create_task(before.fill())
    async with asyncio.timeout(PATIENCE):
        while not before.levels()[0].available:
            await asyncio.sleep(0.01)
    task.cancel()
    after = KitStock(tmp_path, 1, Dealer(1))
    after.discard()
    assert not list(tmp_path.rglob("*.kit"))


@pytest.mark.parametrize("memory", [2 * PLAN.correction_bytes, 1 << 30])
async def leader_that_was_killed__should_fetch_anew_what_was_in_memory_and_use_no_number_twice(
    tmp_path: Path, memory: int
) -> None:
    """A stock that nobody ends is one that was killed: what it has in memory is in no other."""
    numbers: list[int] = []
    for _ in range(4):
        stock = leader(tmp_path / "kits", memory)
        stock.want(PLAN, 4)
        numbers += [await used(stock) for _ in range(3)]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] - numbers[0] < 4 * (3 + 4), "at most the stock is left out at a crash"


async def discarding__should_reach_what_is_in_memory_of_other_plans(tmp_path: Path) -> None:
    stock = KitStock(tmp_path, 1, Dealer(1), memory_bytes=1 << 30)
    stock.memory.put(OTHER.digest, 5, await Dealer(1).fetch(OTHER, 5))
    stock.discard()
    assert stock.memory.used_bytes == 0
