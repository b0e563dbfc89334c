"""Each kind of write does in every store what visard_party.store.base says of it, and says what it changed. See conftest.py."""

import os
from dataclasses import replace

from visard_party.store.base import Store
from visard_party.store.contents import Calibrate, Change, Committed, Place, Publish, Rename, Renew, Withdraw, Write
from visard_wire.secret import Secret

from tests.party.store.content import ONE, THREE, TWO, model, reference


async def deletion__should_erase_exactly_what_it_names(store: Store) -> None:
    await store.stage(ONE, Change((reference("a"), reference("b"), reference("c", "bob"))), b"1")
    await store.commit(ONE)
    await store.stage(TWO, Change(erase=("a", "b")), b"2")
    assert len(await store.gallery(Place("face"))) == 3
    assert (await store.commit(TWO)).changes == 2
    assert [row.reference_id for row in await store.gallery(Place("face"))] == ["c"]


async def model__should_be_kept_whole(store: Store) -> None:
    record = model(weights=os.urandom(3 << 20))
    await store.stage(ONE, Publish(record), b"d")
    assert await store.model("face") is None
    await store.commit(ONE)
    assert await store.model("face") == record
    assert await store.models() == ["face"]


async def replacement__should_be_one_step(store: Store) -> None:
    await store.stage(ONE, Change((reference("a"), reference("b"))), b"1")
    await store.commit(ONE)
    await store.stage(TWO, Change((reference("c"),), ("a", "b")), b"2")
    assert [row.reference_id for row in await store.gallery(Place("face"))] == ["a", "b"]
    assert (await store.commit(TWO)).changes == 3
    assert [row.reference_id for row in await store.gallery(Place("face"))] == ["c"]
    assert [t.reference_id for t in await store.tombstones("", 9)] == ["a", "b"]


async def renaming__should_move_references_and_raise_their_versions(store: Store) -> None:
    await store.stage(ONE, Change((reference("a"), reference("b"), reference("c", "bob"))), b"1")
    await store.commit(ONE)
    await store.stage(TWO, Rename(("a", "b"), "eve", 7), b"2")
    assert [(await store.commit(TWO)).changes for _ in range(2)] == [2, 2]
    assert await store.references(Place("face"), "ada") == []
    moved = await store.references(Place("face"), "eve")
    assert [(r.reference_id, r.version, r.updated_unix_ms, r.metadata) for r in moved] == [
        ("a", 2, 7, b"note"),
        ("b", 2, 7, b"note"),
    ]
    assert [r.version for r in await store.references(Place("face"), "bob")] == [1]


async def what_goes_beside__should_go_uncounted(store: Store) -> None:
    """Counters of failures: they go with references, or are replaced, and a write does not name them."""
    counter = replace(reference("c"), gallery="!default")
    await store.stage(ONE, Change((reference("a"), counter)), b"1")
    await store.commit(ONE)
    await store.stage(TWO, Rename(("a",), "eve", 7, beside=("c",)), b"2")
    assert (await store.commit(TWO)).changes == 1
    (moved,) = await store.references(Place("face").counting, "eve")
    assert (moved.reference_id, moved.version) == ("c", 2)
    await store.stage(THREE, Change((replace(counter, reference_id="d", subject="eve"),), beside=("c",)), b"3")
    done = await store.commit(THREE)
    assert (done.changes, done.references) == (1, frozenset(("c", "d")))
    assert [row.reference_id for row in await store.references(Place("face").counting, "eve")] == ["d"]
    assert [row.reference_id for row in await store.gallery(Place("face"))] == ["a"]
    assert [stone.reference_id for stone in await store.tombstones("", 9)] == ["c"]


async def renewal__should_change_shares_and_nothing_else(store: Store) -> None:
    await store.stage(ONE, Change((reference("a"), reference("b"))), b"1")
    await store.commit(ONE)
    await store.stage(TWO, Publish(model()), b"2")
    await store.commit(TWO)
    await store.stage(THREE, Renew((("a", Secret(b"new a")),), (("face", Secret(b"new w")),), 9), b"3")
    assert (await store.gallery(Place("face")))[0] == reference("a")
    assert [(await store.commit(THREE)).changes for _ in range(2)] == [1, 1]
    first, second = await store.gallery(Place("face"))
    assert (first.descriptor, first.version, first.subject) == (Secret(b"new a"), 2, "ada")
    assert second == reference("b")
    renewed = await store.model("face")
    assert renewed is not None
    assert (renewed.weights, renewed.version, renewed.program) == (Secret(b"new w"), 2, model().program)


async def renewal_of_an_erased_reference__should_not_bring_it_back(store: Store) -> None:
    await store.stage(ONE, Change((reference("a"),)), b"1")
    await store.commit(ONE)
    await store.stage(TWO, Renew((("a", Secret(b"new")),), (), 9), b"2")
    await store.stage(THREE, Change(erase=("a",)), b"3")
    for request in (THREE, TWO):
        await store.commit(request)
    assert await store.gallery(Place("face")) == []


async def dropped_renewal__should_leave_the_old_shares(store: Store) -> None:
    await store.stage(ONE, Publish(model()), b"1")
    await store.commit(ONE)
    await store.stage(TWO, Renew((), (("face", Secret(b"new")),), 9), b"2")
    await store.drop(TWO)
    assert await store.model("face") == model()


async def calibration__should_give_a_model_another_program_and_nothing_else(store: Store) -> None:
    await store.stage(ONE, Publish(model()), b"1")
    await store.commit(ONE)
    await store.stage(TWO, Calibrate("face", b'{"q":61}'), b"2")
    assert await store.model("face") == model(), "staged is not made"
    for _ in range(2):
        await store.commit(TWO)
    assert await store.model("face") == replace(model(), program=b'{"q":61}', version=2)
    assert await store.models() == ["face"]
    await store.stage(THREE, Renew((), (("face", Secret(b"new")),), 9), b"3")
    await store.commit(THREE)
    renewed = await store.model("face")
    assert renewed == replace(model(weights=b"new"), program=b'{"q":61}', version=3)


async def dropped_calibration__should_leave_the_program(store: Store) -> None:
    await store.stage(ONE, Publish(model()), b"1")
    await store.commit(ONE)
    await store.stage(TWO, Calibrate("face", b'{"q":61}'), b"2")
    await store.drop(TWO)
    await store.stage(THREE, Calibrate("other", b"{}"), b"3")
    await store.commit(THREE)
    assert await store.model("face") == model()


async def withdrawn_model__should_be_gone(store: Store) -> None:
    await store.stage(ONE, Publish(model()), b"1")
    await store.commit(ONE)
    await store.stage(TWO, Withdraw("face"), b"2")
    assert await store.models() == ["face"]
    await store.commit(TWO)
    assert await store.models() == []
    assert await store.model("face") is None
    await store.stage(THREE, Publish(model(weights=b"again")), b"3")
    await store.commit(THREE)
    assert await store.model("face") == model(weights=b"again")


async def commit__should_say_what_it_changed(store: Store) -> None:
    async def committed(request: bytes, write: Write) -> Committed:
        await store.stage(request, write, b"d")
        return await store.commit(request)

    a, b, c = (frozenset({name}) for name in "abc")
    assert await committed(b"1" * 16, Change((reference("a"), reference("b")))) == Committed(2, a | b)
    assert await committed(b"2" * 16, Change((reference("c"),), ("a",))) == Committed(2, a | c)
    assert await committed(b"3" * 16, Rename(("b",), "eve", 7)) == Committed(1, b)
    assert await committed(b"4" * 16, Publish(model())) == Committed(0, models=frozenset({"face"}))
    renewal = Renew((("b", Secret(b"new")),), (("face", Secret(b"new")),), 9)
    assert await committed(b"5" * 16, renewal) == Committed(1, None, frozenset({"face"}))
    assert await committed(b"7" * 16, Calibrate("face", b"{}")) == Committed(0, models=frozenset({"face"}))
    assert await committed(b"6" * 16, Withdraw("face")) == Committed(0, models=frozenset({"face"}))
    assert await store.commit(b"1" * 16) == Committed(2), "the second time it changes nothing"
