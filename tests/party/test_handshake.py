"""The three parties come to one audit key by themselves, whoever has lost it, and no run fails for it."""

import asyncio
from pathlib import Path

import pytest
from visard_common.errors import Unavailable

from tests.party.auditors import TINY, OneDealer, Party, run, three


def names(parties: list[Party]) -> set[str]:
    return {party.stock.choosing.name for party in parties}


async def first_run__should_make_a_key_and_take_the_first_kit_that_is_not_audited(tmp_path: Path) -> None:
    async with three(tmp_path, OneDealer()) as parties:
        assert names(parties) == {""}
        (kit,), *_ = await run(parties)
        (name,) = names(parties)
        key = parties[0].stock.choosing.key
        assert key is not None
        assert kit.kit_id == next(n for n in range(1, 1000) if not key.chooses(TINY.digest, n))
        await run(parties)
        assert names(parties) == {name}


@pytest.mark.parametrize("index", range(3))
async def party_that_has_lost_its_key__should_get_a_new_one_with_the_others(tmp_path: Path, index: int) -> None:
    async with three(tmp_path, OneDealer()) as parties:
        await run(parties)
        before = names(parties)
        parties[index].stock.choosing.key = None
        kits = await run(parties)
        assert len({(kit.kit_id, kit.tag) for (kit,) in kits}) == 1
        assert len(names(parties)) == 1
        assert names(parties) != before


async def number_that_is_set_aside_at_one_party_alone__should_be_passed_over(tmp_path: Path) -> None:
    """As after a key was lost: the parties take another kit, and the run does not fail."""
    async with three(tmp_path, OneDealer(), audits=False) as parties:
        (kit,), *_ = await run(parties)
        key = parties[0].stock.choosing.key
        assert key is not None
        (shelf,) = parties[1].stock._shelves.values()
        alone = next(n for n in range(kit.kit_id + 1, 1000) if not key.chooses(TINY.digest, n))
        shelf.ledger.aside.add(alone)
        (kit,), *others = await run(parties)
        assert kit.kit_id > alone
        assert {other.tag for (other,) in others} == {kit.tag}


async def strictest_party__should_decide_and_a_changed_wish_be_heard(tmp_path: Path) -> None:
    dealer = OneDealer()
    async with three(tmp_path, dealer, (0, 16, 8)) as parties:
        await run(parties)
        assert {party.stock.choosing.one_in for party in parties} == {8}
    async with three(tmp_path, dealer, (4, 16, 8)) as parties:
        await run(parties)
        assert {party.stock.choosing.one_in for party in parties} == {4}
    async with three(tmp_path, dealer, (0, 0, 0)) as parties:
        await run(parties)
        assert {party.stock.choosing.one_in for party in parties} == {0}


async def runs_that_begin_at_the_same_time__should_come_to_one_key(tmp_path: Path) -> None:
    async with three(tmp_path, OneDealer()) as parties:
        kits = await asyncio.gather(*(run(parties) for _ in range(8)))
        assert len(names(parties)) == 1
        numbers = [kit.kit_id for ((kit,), *_) in kits]
        assert len(set(numbers)) == 8
        for one in kits:
            assert len({(kit.kit_id, kit.tag) for (kit,) in one}) == 1


async def run_without_kits__should_make_a_key_as_well(tmp_path: Path) -> None:
    async with three(tmp_path, OneDealer()) as parties:
        assert await run(parties, ()) == [[], [], []]
        assert len(names(parties) - {""}) == 1


async def party_that_always_says_another_key__should_make_runs_end_and_not_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with three(tmp_path, OneDealer()) as parties:
        liar = parties[2].stock.choosing
        monkeypatch.setattr(type(liar), "name", property(lambda self: "lie" if self is liar else names_of(self)))
        with pytest.raises(Unavailable, match="do not agree"):
            await run(parties)


def names_of(choosing: object) -> str:
    key = getattr(choosing, "key", None)
    return key.name if key else ""
