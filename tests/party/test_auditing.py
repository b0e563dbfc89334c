"""Audited kits are never used, and runs go on meanwhile; a dealer that has failed is remembered until an operator has spoken."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from visard_common.errors import FailedPrecondition
from visard_engine.kits import DealtKit, KitPlan
from visard_party.faults import Refused
from visard_party.kits import auditing
from visard_party.kits.audit import AuditKey
from visard_party.kits.stock import KitBurnt
from visard_party.kits.trust import Trust

from tests.party.auditors import TINY, OneDealer, Party, full, honestly, run, three
from tests.waiting import PATIENCE, until


def spoilt(plan: KitPlan, number: int) -> DealtKit:
    """A kit with one bit of the corrections of pair (1, 2) changed."""
    kit = honestly(plan, number)
    kit.corrections[1][0] ^= 1
    return kit


def passed(parties: list[Party]) -> list[int]:
    return [party.auditor.counts.passed for party in parties]


async def audited_kits__should_never_be_used_while_runs_go_on(tmp_path: Path) -> None:
    dealer, used = OneDealer(), list[int]()
    async with three(tmp_path, dealer) as parties:
        for _ in range(60):
            kits = await run(parties)
            assert len({(kit.kit_id, kit.tag) for (kit,) in kits}) == 1
            used.append(kits[0][0].kit_id)
        await full(parties)
        await until(lambda: not any(party.stock.aside() for party in parties))
        key = parties[0].stock.choosing.key
        assert key is not None
        looked_at = {n for n in range(1, max(used)) if key.chooses(TINY.digest, n)}
        assert len(used) == len(set(used)) == 60
        assert used == sorted(set(range(1, max(used) + 1)) - looked_at)
        assert looked_at <= dealer.shown
        assert not dealer.shown & set(used)
        assert passed(parties) == [len(dealer.shown)] * 3
        assert not any(party.auditor.counts.failed + party.auditor.counts.unanswered for party in parties)


async def followers_with_nothing_ahead__should_fetch_audited_kits_in_their_turn(tmp_path: Path) -> None:
    """The dealer must not see from the order in which kits are fetched which of them are audited."""
    dealer = OneDealer()
    async with three(tmp_path, dealer) as parties:
        await run(parties)
        follower = parties[1]
        for shelf in follower.stock._shelves.values():
            shelf.target = 0
        for _ in range(40):
            await run(parties)
        numbers = [number for party, number in dealer.fetched if party == 1]
        assert numbers == sorted(numbers)
        await until(lambda: follower.auditor.counts.passed > 0)


async def spoilt_kit__should_stop_those_who_find_it_and_so_every_run(tmp_path: Path) -> None:
    async with three(tmp_path, OneDealer(spoilt)) as parties:
        finders = [parties[1], parties[2]]
        with pytest.raises((FailedPrecondition, Refused), match="the dealer failed the audit of kit"):
            for _ in range(1000):
                await run(parties)
        await until(lambda: all(party.auditor.counts.failed and party.stock.trust.problem for party in finders))
        assert parties[0].auditor.counts.failed == 0
        for party in finders:
            assert "corrections" in party.stock.trust.problem
            await until(lambda party=party: not party.stock.levels()[0].available)  # type: ignore[misc]
            with pytest.raises(FailedPrecondition, match="until its operator runs"):
                await party.stock.take(TINY, 10_000, 1)
        assert not [*(tmp_path / "1").rglob("*.kit"), *(tmp_path / "2").rglob("*.kit")]
    async with three(tmp_path, OneDealer()) as parties:
        assert [bool(party.stock.trust.problem) for party in parties] == [False, True, True]
        for index in (1, 2):
            assert "failed the audit" in Trust(tmp_path / str(index), index).restore()
        kits = await run(parties)
        assert len({kit.tag for (kit,) in kits}) == 1
        assert Trust(tmp_path / "1", 1).restore() == ""


async def first_reason__should_stay(tmp_path: Path) -> None:
    trust = Trust(tmp_path / "kits", 1)
    trust.require()
    trust.lose("one")
    trust.lose("two")
    assert Trust(tmp_path / "kits", 1).problem == "one"
    with pytest.raises(FailedPrecondition, match="party 1: one"):
        trust.require()


async def dealer_that_does_not_answer__should_be_asked_again_and_not_be_called_a_liar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auditing, "_PAUSES", (0.01, 0.05))
    dealer = OneDealer(mute=True)
    async with three(tmp_path, dealer, (2, 2, 2)) as parties:
        for _ in range(20):
            await run(parties)
        await until(lambda: all(party.auditor.counts.unanswered > 1 for party in parties))
        assert passed(parties) == [0, 0, 0]
        assert not any(party.stock.trust.problem for party in parties)
        dealer.mute = False
        await until(lambda: all(passed(parties)) and not any(party.stock.aside() for party in parties))


async def kit_that_the_others_do_not_ask_about__should_be_given_up_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in (("_PAUSES", (0.01, 0.05)), ("PATIENCE", 0.0), ("GIVE_UP", 0.3)):
        monkeypatch.setattr(auditing, name, seconds)
    dealer = OneDealer()
    async with three(tmp_path, dealer, audits=False) as parties:
        await parties[0].stock.adopt(AuditKey.of(b"coin", 2))
        task = asyncio.create_task(parties[0].auditor.audit())
        await full(parties)
        await until(lambda: parties[0].auditor.counts.unanswered > 0 and not parties[0].stock.aside())
        task.cancel()
    assert not dealer.shown


async def restart__should_keep_the_key_and_what_was_set_aside(tmp_path: Path) -> None:
    dealer = OneDealer()
    async with three(tmp_path, dealer, (2, 2, 2), audits=False) as parties:
        await run(parties)
        await full(parties)
        await until(
            lambda: any(party.stock.aside() for party in parties) or all(p.stock.full.is_set() for p in parties)
        )
        for _ in range(10):
            await run(parties)
        await full(parties)
        names = {party.stock.choosing.name for party in parties}
        waiting = [{number for _, number in party.stock.aside()} for party in parties]
        assert waiting[0]
    async with three(tmp_path, dealer, (2, 2, 2)) as parties:
        assert {party.stock.choosing.name for party in parties} == names != {""}
        assert [waits <= {n for _, n in p.stock.aside()} for waits, p in zip(waiting, parties, strict=True)] == [
            True
        ] * 3
        for party in parties:
            with pytest.raises(KitBurnt):
                await party.stock.take(TINY, min(waiting[0]), 1)
        await until(lambda: set.union(*waiting) <= dealer.shown)
        await until(lambda: not any(party.stock.aside() for party in parties))
        # what has been looked at is known as such to the next life as well
    async with three(tmp_path, dealer, (2, 2, 2)) as parties:
        for party in parties:
            with pytest.raises(KitBurnt):
                await party.stock.take(TINY, max(waiting[0]), 1)


async def kit_that_was_told_to_a_run__should_not_be_chosen_by_a_later_key(tmp_path: Path) -> None:
    """It may be in use: its seeds must not be shown."""
    async with three(tmp_path, OneDealer(), audits=False) as parties:
        stock = parties[0].stock
        number = await stock.reserve(TINY, PATIENCE)
        for k in range(20):
            await stock.adopt(AuditKey.of(bytes([k]), 2))
        assert (await stock.take(TINY, number, PATIENCE)).kit_id == number
        assert number not in {aside for _, aside in stock.aside()}


async def damaged_kit__should_say_nothing_of_the_dealer(tmp_path: Path) -> None:
    dealer = OneDealer(mute=True)
    async with three(tmp_path, dealer, (2, 2, 2)) as parties:
        while not list((tmp_path / "1").rglob("*.audit")):
            await run(parties)
        for path in (tmp_path / "1").rglob("*.audit"):
            path.write_bytes(path.read_bytes()[:-1])
        dealer.mute = False
        await until(lambda: not any(party.stock.aside() for party in parties))
        assert [party.auditor.counts.failed for party in parties] == [0, 0, 0]
        assert not parties[1].stock.trust.problem


async def seeds_that_do_not_fit_the_tag__should_fail_the_audit_at_all_parties(tmp_path: Path) -> None:
    """A dealer that shows other seeds than it has dealt from: also one whose secret was changed, until its operator says so."""

    def other(plan: KitPlan, number: int) -> DealtKit:
        kit = honestly(plan, number)
        return replace(kit, tag=bytes(32))

    async with three(tmp_path, OneDealer(other)) as parties:
        with pytest.raises((FailedPrecondition, Refused), match="failed the audit"):
            for _ in range(1000):
                await run(parties)
        await until(lambda: all("tag" in party.stock.trust.problem for party in parties))
