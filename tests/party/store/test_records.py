"""Every store keeps rights from grant to revocation, and the log of who asked for what in order, through crashes and prunes."""

from dataclasses import replace
from pathlib import Path

import pytest
from visard_party.errors import StoreError
from visard_party.store import open_store
from visard_party.store.base import Store, all_rights, restored
from visard_party.store.contents import Change, Committed, Link, May, Page, Place, Rename, Right, Rule, Write
from visard_wire.chain import Entry

from tests.party.store.content import ONE, THREE, TWO, reference

KIOSK, OTHER = "enroller/kiosk-7", "enroller/kiosk-8"
FACE = Place("face")
TO_ADA, TO_ALL = Right("face", "ada", KIOSK), Right("face", "", KIOSK)


async def written(store: Store, request_id: bytes, write: Write) -> Committed:
    await store.stage(request_id, write, b"d")
    return await store.commit(request_id)


async def right__should_hold_for_its_caller_subject_and_model_from_grant_to_revocation(store: Store) -> None:
    await store.stage(ONE, Rule(give=(TO_ADA,)), b"d")
    assert not await store.granted(FACE, "ada", KIOSK), "not before all parties have it"
    assert [await store.commit(ONE) for _ in range(2)] == [Committed(0, frozenset({TO_ADA.right_id})), Committed(0)]
    asked = [(FACE, "ada", KIOSK), (FACE, "eve", KIOSK), (Place("other"), "ada", KIOSK), (FACE, "ada", OTHER)]
    asked.append((Place("face", "staff"), "ada", KIOSK))
    assert [await store.granted(*words) for words in asked] == [True, False, False, False, False]
    assert await store.rights(10, "") == await store.rights_by_ids([TO_ADA.right_id, TO_ALL.right_id]) == [TO_ADA]
    assert await written(store, TWO, Rule(take=(TO_ADA.right_id,))) == Committed(0, frozenset({TO_ADA.right_id}))
    assert not await store.granted(FACE, "ada", KIOSK)
    assert await store.rights(10, "") == []


async def right_to_a_model__should_hold_for_every_subject_of_it(store: Store) -> None:
    await written(store, ONE, Rule(give=(TO_ALL,)))
    asked = [(FACE, "ada", KIOSK), (FACE, "eve", KIOSK), (Place("other"), "ada", KIOSK), (FACE, "ada", OTHER)]
    asked.append((Place("face", "staff"), "ada", KIOSK))
    assert [await store.granted(*words) for words in asked] == [True, True, False, False, False]


async def grant_that_was_dropped__should_give_nothing(store: Store, uri: str, tmp_path: Path) -> None:
    await store.stage(ONE, Rule(give=(TO_ADA,)), b"d")
    await store.drop(ONE)
    await written(store, TWO, Rule(give=(TO_ALL,)))
    await store.stage(THREE, Rule(take=(TO_ALL.right_id,)), b"d")
    await store.drop(THREE)
    again = await open_store(uri, tmp_path, 0)
    assert await all_rights(again) == [TO_ALL]
    await again.close()


async def rules__should_be_found_by_gallery_and_replaced_as_one(store: Store) -> None:
    there, staff = Right("", "", "", "staff", May.EXIST), Right("", "", "enroller/*", "staff", May.SEARCH)
    other, narrow = replace(there, gallery="other"), replace(staff, grantee="enroller/door-1")
    await written(store, ONE, Rule(give=(there, staff, other)))
    await written(store, TWO, Rule(give=(TO_ADA,)))

    def by_id(*rights: Right) -> list[Right]:
        return sorted(rights, key=lambda right: right.right_id)

    assert await store.rules("staff") == by_id(there, staff)
    assert await store.rules() == by_id(there, staff, other), "rights to subjects are none"
    assert await store.rules("none") == []
    done = await written(store, THREE, Rule(give=(narrow,), take=(staff.right_id,)))
    assert done == Committed(0, frozenset({narrow.right_id, staff.right_id}))
    assert await store.commit(THREE) == Committed(0)
    assert await store.rules("staff") == by_id(there, narrow)


async def reference__should_move_to_another_gallery_under_its_name(store: Store) -> None:
    face, waiting = Place("face"), Place("face").waiting
    await written(store, ONE, Change((replace(reference("a"), gallery=waiting.gallery), reference("b"))))
    assert [row.reference_id for row in await store.gallery(waiting)] == ["a"]
    assert [row.reference_id for row in await store.gallery(face)] == ["b"]
    assert (await store.count_in(waiting.gallery), await store.count_in(face.gallery), await store.count("face")) == (
        1,
        1,
        2,
    )
    await written(store, TWO, Rename(("a",), "eve", 7, face.gallery))
    assert await store.gallery(waiting) == []
    (moved,) = await store.references(face, "eve")
    assert moved == replace(reference("a"), subject="eve", version=2, updated_unix_ms=7)
    await written(store, THREE, Rename(("a",), "ada", 8))
    assert [row.gallery for row in await store.gallery(face)] == [face.gallery] * 2


async def rights__should_be_paged_and_adopted_and_cleared(store: Store) -> None:
    rights = sorted((Right("face", f"s{k}", KIOSK) for k in range(7)), key=lambda right: right.right_id)
    await restored(store, Page(rights=rights))
    first = await store.rights(3, "")
    assert first + await store.rights(10, first[-1].right_id) == rights == await all_rights(store)
    await restored(store, Page())
    assert await all_rights(store) == []


def entries(count: int, after: Link = Link()) -> list[tuple[Entry, bytes]]:  # noqa: B008 -- frozen
    found, link = list[tuple[Entry, bytes]](), after.hash
    for k in range(after.sequence + 1, after.sequence + 1 + count):
        entry = Entry(k, 1000 * k, KIOSK, "enrol", "face", f"s{k}", "new", OTHER, bytes([k]) * 16, "OK")
        found.append((entry, link := entry.link(link)))
    return found


def link_to(entry: tuple[Entry, bytes]) -> Link:
    return Link(entry[0].sequence, entry[0].time_unix_ms, entry[1])


async def audit_log__should_be_kept_in_order_and_paged(store: Store, uri: str, tmp_path: Path) -> None:
    assert await store.audit_head() == Link()
    assert await store.audit_page(0, 10) == (Link(), [])
    kept = entries(7)
    await store.audit_append(kept[:1])
    await store.audit_append(kept[1:])
    await store.audit_append(kept[5:])  # its acknowledgement was lost
    await restored(store, Page())  # peers restore everything else, and cannot restore this
    again = await open_store(uri, tmp_path, 0)
    assert await again.audit_head() == link_to(kept[-1])
    assert await again.audit_page(0, 3) == (Link(), kept[:3])
    assert await again.audit_page(3, 10) == (link_to(kept[2]), kept[3:])
    assert await again.audit_page(7, 10) == (link_to(kept[-1]), [])
    assert [await again.audit_since(t) for t in (0, 1000, 3500, 7000, 7001)] == [0, 0, 3, 6, 7]
    await again.close()


async def other_entry_under_the_same_number__should_be_refused(store: Store) -> None:
    await store.audit_append(entries(3))
    forged = Entry(3, 3000, KIOSK, "delete", "face", "s3", "", "", bytes(16), "OK")
    with pytest.raises(StoreError, match="another entry"):
        await store.audit_append([(forged, forged.link(bytes(32)))])
    assert (await store.audit_page(0, 10))[1] == entries(3)


async def pruned_audit_log__should_go_on_from_the_last_hash(store: Store) -> None:
    kept = entries(6)
    await store.audit_append(kept)
    assert [await store.audit_prune(t) for t in (0, 1000, 3500, 3500)] == [6, 6, 3, 3]
    assert await store.audit_page(0, 10) == (link_to(kept[2]), kept[3:])
    assert await store.audit_prune(10**15) == 0
    assert await store.audit_head() == link_to(kept[-1])
    assert await store.audit_page(0, 10) == (link_to(kept[-1]), [])
    more = entries(1, link_to(kept[-1]))
    await store.audit_append(more)
    assert await store.audit_page(0, 10) == (link_to(kept[-1]), more)
