"""What a party keeps of failures follows what a plain counter would, is written before the answer, and is nobody's to skip."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from visard_common.errors import FailedPrecondition, InvalidArgument, NotFound
from visard_engine.bits import ReplicatedBits
from visard_engine.field import Elements, field_of
from visard_engine.kits import Kit
from visard_engine.nn.execute import Model
from visard_engine.protocols import lockout
from visard_engine.session import Run
from visard_engine.shamir import reconstruct, share
from visard_party.config import PartyConfig
from visard_party.intake import requests
from visard_party.intake.asked import Asked
from visard_party.models import Published
from visard_party.operations import galleries, locking
from visard_party.operations.changes import Delete, Expire, RenameSubject, Unlock, WithdrawModel
from visard_party.operations.counters import Counting, left_behind
from visard_party.operations.prepared import Prepared
from visard_party.operations.resources import Resources
from visard_party.runs.queue import Queue
from visard_party.store.base import Store
from visard_party.store.contents import Change, May, Name, Place, Reference, Rename, Right
from visard_wire.errors import SUBJECT_LOCKED
from visard_wire.secret import Secret
from visard_wire.v1 import common_pb2

from tests.engine.asking import on_sphere, program, together
from tests.engine.harness import play

PLACE = Place("face", "doors")
RNG = np.random.default_rng(19)
ADA, STRANGER = RNG.normal(size=4), RNG.normal(size=4)
STRANGER -= ADA * (ADA @ STRANGER) / (ADA @ ADA)  # far from her
NOW = 1_000_000


class Kept:
    """A party's store, as much of it as is asked for here: rows in a list."""

    def __init__(self, rows: Sequence[Reference] = (), rules: Sequence[Right] = ()) -> None:
        self.rows, self.given = list(rows), list(rules)

    async def references(self, place: Place, subject: str) -> list[Reference]:
        found = [row for row in self.rows if (row.place, row.subject) == (place, subject)]
        return sorted(found, key=lambda row: row.reference_id)

    async def gallery(self, place: Place) -> list[Reference]:
        return sorted((row for row in self.rows if row.place == place), key=lambda row: row.reference_id)

    async def count(self, model: str) -> int:
        return sum(row.model == model for row in self.rows)

    async def model_page(self, model: str, after: str, limit: int) -> list[Reference]:
        return [row for row in self.rows if row.model == model][:limit]

    async def count_in(self, gallery: str) -> int:
        return sum(row.gallery == gallery for row in self.rows)

    async def expired(self, model: str, before_unix_ms: int, limit: int) -> list[Name]:
        return [row.name for row in self.rows if row.model == model and not row.live(before_unix_ms)]

    async def rules(self, gallery: str = "") -> list[Right]:
        return [rule for rule in self.given if rule.gallery == gallery]

    def made(self, write: Change | Rename) -> None:
        if isinstance(write, Change):
            gone = {*write.erase, *write.beside}
            self.rows = [row for row in self.rows if row.reference_id not in gone] + [*write.add]
            return
        moved = {*write.reference_ids, *write.beside}
        self.rows = [replace(r, subject=write.subject) if r.reference_id in moved else r for r in self.rows]


def request(number: int = 0, operation: int = common_pb2.OPERATION_VERIFY, **fields: Any) -> common_pb2.Request:
    times = {"sent_unix_ms": NOW, "expires_unix_ms": NOW + 60_000}
    named = {"subject": "ada", "model": PLACE.model, "gallery": PLACE.gallery, **times, **fields}
    return common_pb2.Request(request_id=number.to_bytes(16, "big"), operation=operation, **named)  # type: ignore[arg-type]


@dataclass
class Bench:
    """Three parties in one process, each with a store; the network is not evaluated: its descriptors are given."""

    q: int = 31
    allowed: int = 3
    stores: list[Kept] = field(default_factory=lambda: [Kept() for _ in range(3)])
    locked: list[dict[tuple[str, int], None]] = field(default_factory=lambda: [{} for _ in range(3)])
    asked: int = 0
    described: int = 0
    refused_writes: bool = False

    def __post_init__(self) -> None:
        words = field_of(self.q)
        network = program(self.q, "match")
        weights = np.zeros(network.weight_count, words.dtype)
        self.model = Published("face", 1, 1, Model(network, weights))
        for store, own in zip(self.stores, share(words, words.encode(on_sphere(self.q, ADA))), strict=True):
            if not store.rows:
                times = (1, 1, 0)
                store.rows = [
                    Reference("0" * 32, "ada", "face", 1, *times, b"", Secret(own.tobytes()), gallery=PLACE.gallery)
                ]

    def resources(self, party: int, probe: Elements) -> Resources:
        async def get(_: str) -> Published:
            return self.model

        async def describe(*_: Any) -> list[Elements]:
            self.described += 1
            return [probe]

        async def write(prepared: Prepared, _: Any, made: Change) -> int:
            if self.refused_writes:
                raise FailedPrecondition("the store is full")
            self.stores[party].made(made)
            return 1

        async def live(asked: common_pb2.Request, subject: str) -> list[Reference]:
            rows = await self.stores[party].references(Place.of(asked), subject)
            return [row for row in rows if row.live(asked.sent_unix_ms)]

        return cast(
            Resources,
            SimpleNamespace(
                party=party,
                store=self.stores[party],
                models=SimpleNamespace(get=get),
                batches=SimpleNamespace(describe=lambda _c, kits, *_: describe()),
                locked=self.locked[party],
                write=write,
                live=live,
            ),
        )

    async def verify(self, face: Any) -> bool:
        """One verification at all three parties; raises what they do."""
        self.asked += 1
        words, image = field_of(self.q), np.zeros((1, 2, 6, 6), field_of(self.q).dtype)
        probes = share(words, words.encode(on_sphere(self.q, face)))
        asked = Asked(request(self.asked, images=1), bytes(16), None, 1.0, lock_after=self.allowed)
        own = [self.resources(i, probes[i]) for i in range(3)]
        prepared = [await self.prepared(one, asked, image) for one in own]
        assert len({one.rows_digest for one in prepared}) == 1

        async def part(run: Run, kits: list[Kit]) -> ReplicatedBits | Exception:
            i = run.channel.party
            channel = Channel(run)
            try:
                return await locking.verified(
                    own[i], prepared[i], cast(Any, channel), [kits[0], *kits]
                )  # one of the network
            except FailedPrecondition as error:
                for kit in kits:
                    cast(Any, kit)._used = len(cast(Any, kit)._corrections[0])
                return error

        outcome = await play(prepared[0].plans[-1], part)
        if isinstance(outcome.results[0], Exception):
            raise outcome.results[0]
        (bit,) = together({i: bits.shared for i, bits in enumerate(outcome.results)}, 1)
        return bit

    @staticmethod
    async def prepared(resources: Resources, asked: Asked, image: Elements) -> Counting:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(locking, "images_to_match", lambda *_: image)
            found = await locking.prepared(resources, asked)
        assert isinstance(found, Counting)
        return found

    def failures(self) -> int:
        """What all three shares together say, which no party knows."""
        rows = [next((r for r in store.rows if r.gallery == PLACE.counting.gallery), None) for store in self.stores]
        shares = [np.frombuffer(row.descriptor.reveal(), field_of(self.q).dtype) for row in rows if row is not None]
        if not shares:
            return 0
        vector = field_of(self.q).decode(reconstruct(field_of(self.q), shares))
        assert sorted(vector)[-2:] == [0, 1]
        return int(vector.argmax())

    def copy(self) -> "Bench":
        stores = [Kept(store.rows) for store in self.stores]
        return replace(self, stores=stores, locked=[dict(one) for one in self.locked])


class Channel:
    """A session's channel, as much of it as a verification uses."""

    def __init__(self, run: Run) -> None:
        self._run, self.session, self.party = run, bytes(16), run.channel.party

    def begin_run(self, *seen: bytes) -> Run:
        for part in seen:
            self._run.views.saw(part)
        return self._run


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
        await bench.prepared(bench.resources(1, ADA), asked, np.zeros(1, np.uint32))
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


async def leftover__should_be_named_with_what_erases_it(bench: Bench) -> None:
    """Of who is gone: an erasure and a verification have met, where no two should."""
    store = bench.stores[0]
    store.rows, store.given = [replace(store.rows[0], gallery="!doors")], [galleries.lock_rule("doors", 3)]
    resources = bench.resources(0, ADA)
    for operation, asked in (
        (WithdrawModel(), request(1, common_pb2.OPERATION_WITHDRAW, subject="", gallery="")),
        (galleries.DeleteGallery(), request(2, common_pb2.OPERATION_DELETE_GALLERY, subject="", model="")),
    ):
        with pytest.raises(FailedPrecondition, match="'doors'.*visard admin unlock --all"):
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
