"""What a party keeps of failures follows what a plain counter would, is written before the answer, and is nobody's to skip."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from visard_common.errors import FailedPrecondition, InvalidArgument, NotFound, Unavailable
from visard_engine.field import field_of
from visard_engine.protocols import lockout
from visard_party.config import PartyConfig
from visard_party.intake import requests
from visard_party.intake.asked import Asked
from visard_party.operations import galleries
from visard_party.operations.changes import Delete, Expire, RenameSubject, Unlock, WithdrawModel
from visard_party.operations.counters import left_behind
from visard_party.runs.meter import Meter
from visard_party.runs.queue import Queue
from visard_party.store.base import Store
from visard_party.store.contents import Change, May, Name, Place, Reference, Rename, Right
from visard_wire.errors import SUBJECT_LOCKED
from visard_wire.v1 import common_pb2

from tests.party.counting import ADA, NOW, PLACE, STRANGER, Bench, Kept, request
from tests.waiting import PATIENCE


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    made = Bench()
    patched = made.model.program
    monkeypatch.setattr(type(patched), "threshold", lambda *_: 1 << 20)
    return made


LONGEST = 6


async def sequences__should_end_where_the_plain_counter_does(bench: Bench) -> None:
    """Each sequence of matches and failures, as a tree: what was asked before is not asked again."""
    looked_at = 0

    async def go_on(here: Bench, failed: int, left: int) -> None:
        nonlocal looked_at
        assert here.failures() == failed
        looked_at += 1
        if failed == here.allowed:
            with pytest.raises(FailedPrecondition, match=SUBJECT_LOCKED):
                await here.verify(ADA)
            assert here.failures() == failed
            return
        for face, match in ((ADA, True), (STRANGER, False)) if left else ():
            branch = here.copy()
            branch.asked = here.asked
            assert await branch.verify(face) == match
            await go_on(branch, 0 if match else failed + 1, left - 1)

    await go_on(bench, 0, LONGEST)
    assert looked_at > 2 ** (LONGEST - 1)


async def locked_subject__should_cost_no_network_and_then_no_kit(bench: Bench) -> None:
    bench.allowed = 2
    for _ in range(bench.allowed):
        assert not await bench.verify(STRANGER)
    described = bench.described
    with pytest.raises(FailedPrecondition, match=SUBJECT_LOCKED):
        await bench.verify(ADA)
    assert bench.described == described
    assert all(len(known) == 1 for known in bench.locked)
    asked = Asked(request(999, images=1), bytes(16), None, 1.0, lock_after=bench.allowed)
    with pytest.raises(FailedPrecondition, match=SUBJECT_LOCKED):  # before the parties agree on kits
        await bench.prepared(bench.resources(0, ADA), asked, np.zeros(1, np.uint32))
    await bench.prepared(bench.resources(1, ADA), asked, np.zeros(1, np.uint32))  # party 0 may have forgotten it
    bench.allowed += 1
    assert not await bench.verify(STRANGER), "under another limit it is another question"


async def answer__should_not_be_given_where_nothing_could_be_written(bench: Bench) -> None:
    bench.refused_writes = True
    for face in (ADA, STRANGER):
        with pytest.raises(FailedPrecondition, match="full"):
            await bench.verify(face)


async def parties_with_other_counters__should_not_run(bench: Bench) -> None:
    """Whoever leads: what a party has counted is among what all three compare."""
    image, asked = np.zeros(1, np.uint32), Asked(request(5), bytes(16), None, 1.0, lock_after=bench.allowed)
    before = await bench.prepared(bench.resources(0, ADA), asked, image)
    assert not await bench.verify(STRANGER)
    after = await bench.prepared(bench.resources(1, ADA), asked, image)
    other = await bench.prepared(bench.resources(1, ADA), replace(asked, lock_after=2), image)
    assert len({before.rows_digest, after.rows_digest, other.rows_digest}) == 3
    assert after.terms != before.terms


async def too_high_a_limit_for_a_model__should_be_refused_in_words(bench: Bench) -> None:
    bench.allowed = 4  # its descriptors have as many numbers
    with pytest.raises(FailedPrecondition, match="too many for model 'face'"):
        await bench.verify(ADA)


async def unlocking__should_forget_what_is_counted_and_nothing_else(bench: Bench) -> None:
    asked = Asked(request(7, common_pb2.OPERATION_UNLOCK), bytes(16), None, 1.0)
    with pytest.raises(NotFound, match="no failures of"):
        await Unlock().prepare(bench.resources(0, ADA), asked)
    for _ in range(bench.allowed):
        assert not await bench.verify(STRANGER)
    for party in range(3):
        prepared = await Unlock().prepare(bench.resources(party, ADA), asked)
        assert isinstance(prepared.write, Change)
        assert (len(prepared.write.erase), prepared.write.beside, len(prepared.beside)) == (1, (), 1)
        bench.stores[party].made(prepared.write)
    assert bench.failures() == 0
    assert await bench.verify(ADA)


async def everybody__should_be_unlocked_at_once_where_nobody_is_named(bench: Bench) -> None:
    """For whoever has locked them all."""
    store = bench.stores[0]
    (own,) = store.rows
    counters = [replace(own, reference_id=f"{k:032x}", subject=f"s{k}", gallery="!doors") for k in range(1, 6)]
    others = [replace(own, reference_id="e" * 32, gallery="!desk"), replace(own, reference_id="f" * 32, model="other")]
    store.rows += [*counters, *others]
    asked = Asked(request(7, common_pb2.OPERATION_UNLOCK, subject=""), bytes(16), None, 1.0)
    prepared = await Unlock().prepare(bench.resources(0, ADA), asked)
    assert prepared.write == Change(erase=tuple(row.reference_id for row in counters))
    assert Unlock().exclusive(asked.request)
    assert not Unlock().exclusive(request(operation=common_pb2.OPERATION_UNLOCK))


async def counter__should_go_with_the_last_reference_and_with_a_new_name(bench: Bench) -> None:
    assert not await bench.verify(STRANGER)
    store = bench.stores[0]
    other = replace(store.rows[0], reference_id="f" * 32, expires_unix_ms=NOW - 1)
    store.rows.append(other)
    resources = bench.resources(0, ADA)
    (counter,) = await store.references(PLACE.counting, "ada")
    asked = Asked(request(8, common_pb2.OPERATION_DELETE), bytes(16), None, 1.0)
    one = (await Delete().prepare(resources, asked)).write
    assert one == Change(erase=("0" * 32,)), "one is left, whose time is over"
    expire = Asked(request(9, common_pb2.OPERATION_EXPIRE, subject="", gallery=""), bytes(16), None, 1.0)
    assert (await Expire().prepare(resources, expire)).write == Change(erase=("f" * 32,))
    store.rows.remove(other)
    both = (await Delete().prepare(resources, asked)).write
    assert both == Change(erase=("0" * 32,), beside=(counter.reference_id,))
    moved = replace(asked, request=request(10, common_pb2.OPERATION_RENAME, new_subject="eve"))
    renamed = (await RenameSubject().prepare(resources, moved)).write
    assert isinstance(renamed, Rename)
    assert renamed.beside == (counter.reference_id,)
    store.made(renamed)
    assert len(await store.references(PLACE.counting, "eve")) == 1


async def name__should_not_get_two_counters(bench: Bench) -> None:
    """Of which the next verification could take the one with fewer failures."""
    assert not await bench.verify(STRANGER)
    store, resources = bench.stores[0], bench.resources(0, ADA)
    (counter,) = await store.references(PLACE.counting, "ada")
    store.rows.append(replace(counter, reference_id="a" * 32, subject="eve"))
    renaming = Asked(request(10, common_pb2.OPERATION_RENAME, new_subject="eve"), bytes(16), None, 1.0)
    with pytest.raises(FailedPrecondition, match=r"'eve'.*visard admin unlock"):
        await RenameSubject().prepare(resources, renaming)
    store.rows.append(replace(counter, reference_id="b" * 32))
    asked = Asked(request(11, images=1), bytes(16), None, 1.0, lock_after=bench.allowed)
    with pytest.raises(FailedPrecondition, match=SUBJECT_LOCKED):
        await bench.prepared(resources, asked, np.zeros(1, np.uint32))


async def leftover__should_be_named_with_what_erases_it(bench: Bench) -> None:
    """Of who is gone: an erasure and a verification have met, where no two should."""
    store = bench.stores[0]
    store.rows, store.given = [replace(store.rows[0], gallery="!doors")], [galleries.lock_rule("doors", 3)]
    resources = bench.resources(0, ADA)
    for operation, asked in (
        (WithdrawModel(), request(1, common_pb2.OPERATION_WITHDRAW, subject="", gallery="")),
        (galleries.DeleteGallery(), request(2, common_pb2.OPERATION_DELETE_GALLERY, subject="", model="")),
    ):
        with pytest.raises(FailedPrecondition, match=r"'doors'.*visard admin unlock"):
            await operation.prepare(resources, Asked(asked, bytes(16), None, 1.0))


async def nobody__should_be_looked_for_where_nothing_is_counted() -> None:
    class Untouched(Kept):
        async def references(self, place: Place, subject: str) -> list[Reference]:
            raise AssertionError("a reading for each subject")

    names = [Name(f"{k:032x}", f"subject-{k}", "face", 1) for k in range(5)]
    assert await left_behind(cast(Store, Untouched()), names) == []


async def verifications_of_one_subject__should_be_one_after_the_other_at_each_party() -> None:
    """Also at a follower, whose party 0 lets two begin at once; others are not waited for."""
    queue = Queue(cast(PartyConfig, SimpleNamespace(index=1, max_queue=9, max_runs=9)))
    under_way: list[str] = []

    async def count(subject: str, allowed: int) -> None:
        asked = Asked(request(1, subject=subject), bytes(16), None, 1.0, lock_after=allowed)
        async with queue.counting(asked):
            under_way.append(subject)
            await asyncio.sleep(0)
            assert under_way.count(subject) == 1 or not allowed
            under_way.remove(subject)

    await asyncio.gather(*(count(subject, 5) for subject in ("ada", "ada", "bob", "ada")))
    await asyncio.gather(*(count("eve", 0) for _ in range(3)))


async def verifications_of_one_subject__should_not_take_the_slots_of_others() -> None:
    queue = Queue(cast(PartyConfig, SimpleNamespace(index=0, max_queue=9, max_runs=2)))
    over = asyncio.Event()

    async def run(subject: str, begun: asyncio.Event) -> None:
        asked = Asked(request(1, subject=subject), bytes(16), None, 1.0, lock_after=5)
        async with queue.place(asked, Meter()):
            begun.set()
            await over.wait()

    begun = [asyncio.Event() for _ in range(4)]
    runs = [asyncio.ensure_future(run("ada", one)) for one in begun[:3]]
    await begun[0].wait()
    runs.append(asyncio.ensure_future(run("bob", begun[3])))
    async with asyncio.timeout(PATIENCE):
        await begun[3].wait()
    assert queue.waiting == 2
    over.set()
    await asyncio.gather(*runs)


async def limit_that_is_changed_meanwhile__should_be_asked_about_again() -> None:
    store = Kept(rules=[galleries.lock_rule(PLACE.gallery, 5)])
    asked = await galleries.counted(cast(Store, store), Asked(request(1), bytes(16), None, 1.0))
    assert asked.lock_after == 5
    await galleries.require_same_count(cast(Store, store), asked)
    for rules in ([galleries.lock_rule(PLACE.gallery, 3)], []):
        store.given = rules
        with pytest.raises(Unavailable, match="rules have just been changed"):
            await galleries.require_same_count(cast(Store, store), asked)


async def gallery__should_say_after_how_many_failures_it_locks() -> None:
    lock = galleries.lock_rule("doors", 5)
    store = cast(
        Store, Kept(rules=[Right("", "", "", "doors", May.EXIST), lock, Right("", "", "*", "doors", "verify")])
    )
    asked = Asked(request(), bytes(16), None, 1.0)
    assert (await galleries.counted(store, asked)).lock_after == 5
    elsewhere = replace(asked, request=request(gallery="desk"))
    assert (await galleries.counted(store, elsewhere)).lock_after == 0
    for operation in (common_pb2.OPERATION_IDENTIFY, common_pb2.OPERATION_COMPARE, common_pb2.OPERATION_MIGRATE):
        other = replace(asked, request=request(operation=operation))
        assert await galleries.counted(store, other) is other
    moving = replace(asked, request=request(operation=common_pb2.OPERATION_VERIFY))
    await galleries.require_entry(store, moving)
    assert not list(galleries.letting([lock], "5")), "a number is no caller"


@pytest.mark.parametrize("number", ["1", "5", "100"])
def limit__should_be_a_number(number: str) -> None:
    requests.check(ruled(("lock", number)), NOW)


@pytest.mark.parametrize(
    "rules", [(("lock", "0"),), (("lock", "101"),), (("lock", "05"),), (("lock", "*"),), (("lock", "5"), ("lock", "6"))]
)
def other_limits__should_be_refused(rules: Sequence[tuple[str, str]]) -> None:
    with pytest.raises(InvalidArgument, match="lock"):
        requests.check(ruled(*rules), NOW)


def ruled(*rules: tuple[str, str]) -> common_pb2.Request:
    stated = [common_pb2.GalleryRule(may=may, callers=callers) for may, callers in rules]
    asked = request(1, common_pb2.OPERATION_CREATE_GALLERY, subject="", model="", rules=stated)
    asked.share_digests.extend([bytes(32)] * 3)
    return asked


def counter_before_the_first__should_be_the_same_at_all_parties() -> None:
    assert lockout.nothing(field_of(31), 3).tolist() == [1, 0, 0]
