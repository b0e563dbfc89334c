"""Every store gives what it holds in pages, and takes it whole or not at all. See conftest.py."""

from pathlib import Path

import pytest
from visard_party.errors import RequestConflict
from visard_party.store import open_store
from visard_party.store.base import Store, all_rights, restored
from visard_party.store.contents import Change, LogEntry, Page, Place, Publish, Right, State, Tombstone

from tests.party.store.content import ONE, THREE, TWO, model, reference

RIGHT = Right("face", "ada", "enroller/kiosk-7")


async def restored_store__should_hold_what_it_was_given(store: Store, uri: str, tmp_path: Path) -> None:
    await store.stage(ONE, Change((reference("old"),)), b"1")
    await store.commit(ONE)
    entries = [LogEntry(TWO, "change", b"2", State.COMMITTED, 1), LogEntry(THREE, "", b"", State.DROPPED, 0, 7)]
    pages = [
        Page(models=[model()]),
        Page([reference("a")]),
        Page([reference("b")]),
        Page(writes=entries, tombstones=[Tombstone("gone", 5)], rights=[RIGHT]),
    ]
    await store.begin_restoration()
    await store.restore(Page([reference("never")], [model("other")]))
    await store.begin_restoration()  # a helper was lost: it is begun anew
    for page in pages:
        await store.restore(page)
        assert [row.reference_id for row in await store.gallery(Place("face"))] == ["old"], "until it is whole"
        assert [e.request_id for e in await store.log()] == [ONE]
    await store.finish_restoration()
    for kept in (store, await open_store(uri, tmp_path, 0)):
        assert [row.reference_id for row in await kept.gallery(Place("face"))] == ["a", "b"]
        assert await kept.models() == ["face"]
        assert await kept.model("face") == model()
        assert await kept.log() == entries
        assert await kept.tombstones("", 9) == [Tombstone("gone", 5)]
        assert await all_rights(kept) == [RIGHT]
        with pytest.raises(RequestConflict):
            await kept.stage(THREE, Change((reference("c"),)), b"3")
    await kept.close()


async def restoration_that_ends_early__should_leave_what_was_held(store: Store, uri: str, tmp_path: Path) -> None:
    await store.stage(ONE, Change((reference("old"),)), b"1")
    await store.stage(TWO, Publish(model()), b"2")
    for request in (ONE, TWO):
        await store.commit(request)
    await store.begin_restoration()
    await store.restore(Page([reference("a")], [model(weights=b"other")]))
    # whoever opens it next, after a kill, sees nothing of what was kept aside
    again = await open_store(uri, tmp_path, 0)
    assert [row.reference_id for row in await again.gallery(Place("face"))] == ["old"]
    assert await again.model("face") == model()
    await restored(again, Page([reference("b")], [model(weights=b"third")]))
    assert [row.reference_id for row in await again.gallery(Place("face"))] == ["b"]
    assert await again.model("face") == model(weights=b"third")
    await again.close()


async def pages__should_come_in_order_and_whole(store: Store) -> None:
    rows = [reference(f"{k:02}") for k in range(7)]
    await restored(store, Page([*rows, reference("x", model="other")], [model()]))
    await store.stage(ONE, Change(erase=("03", "05")), b"1", 50)
    assert await store.log_page(b"", 9) == [], "what is pending is no part of it"
    await store.commit(ONE)
    left = [row for row in rows if row.reference_id not in ("03", "05")]
    assert await store.count("face") == 5
    assert await store.model_page("face", "", 3) == left[:3]
    assert await store.model_page("face", left[2].reference_id, 3) == left[3:]
    assert await store.tombstones("", 1) == [Tombstone("03", 50)]
    assert await store.tombstones("03", 9) == [Tombstone("05", 50)]
    assert await store.log_page(b"", 9) == [LogEntry(ONE, "change", b"1", State.COMMITTED, 2, 50)]
    assert await store.log_page(ONE, 9) == []


async def attempts__should_be_kept_until_their_bucket_is_full(store: Store, uri: str, tmp_path: Path) -> None:
    await store.note_attempts({ONE: 50, TWO: 70}, now=10)
    await store.note_attempts({ONE: 40, THREE: 90}, now=20)  # two writes may overtake each other: the later time stays
    assert await store.attempts(now=20) == {ONE: 50, TWO: 70, THREE: 90}
    await restored(store, Page())  # from peers, who have counted for themselves: nobody gets attempts back by it
    again = await open_store(uri, tmp_path, 0)
    assert await again.attempts(now=60) == {TWO: 70, THREE: 90}
    await again.close()
    await store.note_attempts({ONE: 100}, now=80)
    assert await store.attempts(now=0) == {THREE: 90, ONE: 100}
