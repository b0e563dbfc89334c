"""Kits are fetched ahead, numbered upwards, and used at most once, whatever crashes; an empty stock says so in time."""

import asyncio
import itertools
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from visard_common.background import background
from visard_common.errors import FailedPrecondition, ResourceExhausted, Unavailable
from visard_engine.kits import DealtKit, KitPlan, deal_kit
from visard_engine.sections import Section
from visard_party.kits.files import KitDirectory
from visard_party.kits.ledger import WINDOW, Ledger
from visard_party.kits.source import Fetched, Seeds
from visard_party.kits.stock import KitBurnt, KitStock

from tests.waiting import PATIENCE, until

PLAN = KitPlan(31, (Section("truncate", 100, 8),))
OTHER = KitPlan(31, (Section("max", 64),))
MASTER = bytes(32)


def part(kit: DealtKit, party: int) -> Fetched:
    """What a party gets of a kit."""
    return Fetched(kit.keys(party), kit.tag, b"".join(kit.part(party)))


class Dealer:
    """A source of real kits that can be away."""

    def __init__(self, party: int = 0) -> None:
        self.party = party
        self.away = False
        self.shown: set[int] = set()
        self.fetched: list[int] = []

    async def fetch(self, plan: KitPlan, number: int) -> Fetched:
        await asyncio.sleep(0)
        if self.away:
            raise Unavailable("the dealer is unavailable")
        if number in self.shown:
            raise FailedPrecondition(f"kit {number} was shown to all parties")
        self.fetched.append(number)
        return part(deal_kit(plan, MASTER, number), self.party)

    async def reveal(self, plan: KitPlan, number: int) -> Seeds | None:
        return None


async def kept(stock: KitStock) -> None:
    """Fill a stock as a party does: begun anew after a failure."""
    async with background() as work:
        work.forever("kits", stock.fill)
        await asyncio.Event().wait()


class Stocked:
    """A stock at work, with so many bytes of memory for kits."""

    def __init__(self, directory: Path, dealer: Dealer, memory: int = 0) -> None:
        self.dealer = dealer
        self.stock = KitStock(directory, dealer.party, dealer, memory_bytes=memory)
        self.task = asyncio.create_task(kept(self.stock))

    async def full(self, plan: KitPlan, count: int) -> None:
        async with asyncio.timeout(PATIENCE):
            while not any(level.plan == plan and level.available >= count for level in self.stock.levels()):
                await asyncio.sleep(0.01)

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


MEMORIES = {"on disk": 0, "two in memory": 2 * PLAN.correction_bytes, "in memory": 1 << 30}


@pytest.fixture(params=list(MEMORIES.values()), ids=list(MEMORIES))
async def stocked(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Stocked]:
    stocked = Stocked(tmp_path, Dealer(), request.param)
    yield stocked
    await stocked.end()


async def stock__should_be_filled_to_its_target_and_refilled(stocked: Stocked) -> None:
    stocked.stock.want(PLAN, 3)
    await stocked.full(PLAN, 3)
    assert stocked.dealer.fetched == [1, 2, 3]
    assert await stocked.stock.reserve(PLAN, PATIENCE) == 1
    await stocked.full(PLAN, 3)
    assert stocked.dealer.fetched == [1, 2, 3, 4]


async def reserved_numbers__should_be_lowest_first_and_distinct(stocked: Stocked) -> None:
    numbers = await asyncio.gather(*(stocked.stock.reserve(PLAN, PATIENCE) for _ in range(5)))
    assert sorted(numbers) == [1, 2, 3, 4, 5]


async def taken_kit__should_be_the_dealers_and_gone_from_disk(stocked: Stocked, tmp_path: Path) -> None:
    number = await stocked.stock.reserve(PLAN, PATIENCE)
    kit = await stocked.stock.take(PLAN, number, PATIENCE)
    assert (kit.kit_id, kit.left) == (1, PLAN.correction_bytes)
    assert not list(tmp_path.rglob("1.kit"))
    assert (tmp_path / PLAN.digest.hex() / "floor").read_text() == "2"
    with pytest.raises(KitBurnt) as caught:
        await stocked.stock.take(PLAN, number, 1)
    assert caught.value.floor == 2


async def follower__should_fetch_what_the_leader_names(stocked: Stocked) -> None:
    stocked.stock.want(PLAN, 2)
    await stocked.full(PLAN, 2)
    assert (await stocked.stock.take(PLAN, 50, PATIENCE)).kit_id == 50
    await stocked.full(PLAN, 2)
    assert stocked.dealer.fetched[-2:] == [51, 52]
    with pytest.raises(KitBurnt):
        await stocked.stock.take(PLAN, 1, 1)


async def cleared_stock__should_be_fetched_again_but_for_what_runs_wait_for(stocked: Stocked) -> None:
    stocked.stock.want(PLAN, 3)
    await stocked.full(PLAN, 3)
    number = await stocked.stock.reserve(PLAN, PATIENCE)
    await stocked.full(PLAN, 3)
    stocked.stock.clear()
    assert (await stocked.stock.take(PLAN, number, PATIENCE)).kit_id == number == 1
    await stocked.full(PLAN, 3)
    assert sorted(stocked.dealer.fetched) == [1, 2, 2, 3, 3, 4, 4]


async def empty_stock__should_be_exhausted_with_retry_info_then_recover(stocked: Stocked) -> None:
    stocked.dealer.away = True
    with pytest.raises(ResourceExhausted) as caught:
        await stocked.stock.reserve(PLAN, 0.1)
    assert caught.value.retry_after
    with pytest.raises(ResourceExhausted):
        await stocked.stock.take(PLAN, 7, 0.1)
    stocked.dealer.away = False
    assert (
        await stocked.stock.take(PLAN, await stocked.stock.reserve(PLAN, PATIENCE), PATIENCE)
    ).left == PLAN.correction_bytes


async def leader__should_jump_to_the_floor_of_a_follower(stocked: Stocked) -> None:
    await stocked.stock.reserve(PLAN, PATIENCE)
    await stocked.stock.raise_floor(PLAN, 20)
    assert await stocked.stock.reserve(PLAN, PATIENCE) == 20
    await stocked.stock.raise_floor(PLAN, 3)  # never down
    assert await stocked.stock.reserve(PLAN, PATIENCE) == 21


async def restart__should_keep_stock_and_floor_and_discard_what_is_damaged(tmp_path: Path) -> None:
    first = Stocked(tmp_path, Dealer())
    first.stock.want(PLAN, 4)
    await first.full(PLAN, 4)
    await first.stock.take(PLAN, await first.stock.reserve(PLAN, PATIENCE), PATIENCE)
    await first.full(PLAN, 4)
    await first.end()
    folder = tmp_path / PLAN.digest.hex()
    (folder / "3.kit").write_bytes(b"short")
    (folder / "9.tmp123").write_bytes(b"left over")
    again = Stocked(tmp_path, Dealer())
    again.stock.want(PLAN, 1)
    await until(lambda: {path.name for path in folder.iterdir()} == {"2.kit", "4.kit", "5.kit", "floor"})
    assert await again.stock.reserve(PLAN, PATIENCE) == 2
    await again.end()


async def plans__should_have_numbers_of_their_own(stocked: Stocked) -> None:
    assert [await stocked.stock.reserve(plan, PATIENCE) for plan in (PLAN, OTHER, PLAN, OTHER)] == [1, 1, 2, 2]


async def kit_of_another_plan__should_be_refused(tmp_path: Path) -> None:
    stocked = Stocked(tmp_path, Dealer())
    await stocked.stock.reserve(PLAN, PATIENCE)
    path = tmp_path / PLAN.digest.hex() / "1.kit"
    data = bytearray(path.read_bytes())
    data[8] ^= 1  # in the plan's digest
    path.write_bytes(data)
    with pytest.raises(FailedPrecondition, match="another"):
        await stocked.stock.take(PLAN, 1, 1)
    await stocked.end()


TAKER = """
import sys
from pathlib import Path
from visard_party.kits import files as kitfiles
from visard_party.kits.files import KitDirectory
from tests.party.test_stock import PLAN
directory = KitDirectory(Path(sys.argv[1]), PLAN, 0)
sync = kitfiles.sync_directory
def dying(path):
    sync(path)
    print("deleted", flush=True)
    import os, signal
    os.kill(os.getpid(), signal.SIGKILL)
kitfiles.sync_directory = dying
directory.take(1, 2)
"""


def kit_whose_taker_was_killed__should_never_come_back(tmp_path: Path) -> None:
    directory = KitDirectory(tmp_path / "kits", PLAN, 0)
    directory.store(1, part(deal_kit(PLAN, MASTER, 1), 0))
    command = [sys.executable, "-c", TAKER, str(tmp_path / "kits")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.returncode) == ("deleted\n", -9)
    assert KitDirectory(tmp_path / "kits", PLAN, 0).scan() == set()


@given(
    st.lists(st.tuples(st.sampled_from(["reserve", "fetch", "demand", "take", "floor", "crash"]), st.integers(1, 12)))
)
def ledger__should_never_use_a_number_twice(steps: list[tuple[str, int]]) -> None:
    ledger, used, floors = Ledger(), [], [1]
    for step, n in steps:
        if step == "fetch" and (number := ledger.next_to_fetch(3)) is not None:
            ledger.arrived(number)
        elif step == "reserve":
            ledger.reserve()
        elif step == "demand":
            ledger.demand(n)
        elif step == "take" and n in ledger.in_stock:
            old = ledger.taken(n)
            used.append(n)
            assert all(number < n - WINDOW for number in old)
        elif step == "floor":
            ledger.raise_floor(n)
        elif (
            step == "crash"
        ):  # the floor is on disk, and so are some of the kits not yet taken; the others were in memory
            ledger = Ledger(ledger.floor, {k for k in ledger.in_stock if k >= ledger.floor and k % n})
        floors.append(ledger.floor)
        assert ledger.floor > max(used, default=0)
    assert len(used) == len(set(used))
    assert all(a <= b for a, b in itertools.pairwise(floors))


async def kit_that_was_shown__should_be_left_out(tmp_path: Path) -> None:
    """It was audited by all three, and this party was killed before it had written down that it was done with it."""
    dealer = Dealer()
    dealer.shown = {1, 3}
    stocked = Stocked(tmp_path, dealer)
    stocked.stock.want(PLAN, 3)
    await stocked.full(PLAN, 3)
    assert dealer.fetched == [2, 4, 5]
    await stocked.end()
