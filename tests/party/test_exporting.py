"""A gallery goes from one deployment to another by new shares: descriptor for descriptor, and by nobody's lie another one."""

import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from visard_common.errors import AlreadyExists, FailedPrecondition, InvalidArgument, PermissionDenied, ResourceExhausted
from visard_common.limits import MAX_EXPIRY_MS, MAX_METADATA_BYTES
from visard_engine.errors import ViewsDiffer
from visard_engine.field import Elements, Field
from visard_party.consistency.sets import name_hash
from visard_party.store.contents import Change, Place, Reference
from visard_wire.crossing import share_for
from visard_wire.limits import CROSSING_AGE_MS, MAX_CROSSING
from visard_wire.v1 import common_pb2, crossing_pb2

from tests.party.deployments import ADMIN, PROGRAM, Deployment, asking, deployment, held, recorded, row, two, uniform

pytestmark = pytest.mark.asyncio(loop_scope="module")


def public(one: Reference) -> tuple[object, ...]:
    """What of a reference goes along."""
    return one.reference_id, one.subject, one.created_unix_ms, one.expires_unix_ms, one.metadata


async def gallery__should_arrive_descriptor_for_descriptor(tmp_path: Path) -> None:
    rows = [row(number) for number in range(200)]
    async with two(tmp_path, [*rows, row(999, gallery="other"), row(998, expires=1)]) as (here, there):
        first = await here.page(there)
        page = crossing_pb2.CrossingPage.FromString(first.page)
        assert (len(page.references), page.last) == (128, False)
        second = await here.page(there, after=page.references[-1].reference_id)
        assert [one.references_changed for one in await there.imports(first)] == [128] * 3
        assert [one.references_changed for one in await there.imports(second)] == [72] * 3
        found = await there.stored()
        assert [public(one) for one, _ in found] == [public(one) for one, _ in rows]
        assert all(np.array_equal(got, sent) for (_, got), (_, sent) in zip(found, rows, strict=True))
        assert {(one.enrolled_by, one.gallery) for one, _ in found} == {(ADMIN, "default")}
        theirs = {one.descriptor.reveal() for store in here.stores for one in await all_rows(store)}
        assert not theirs & {one.descriptor.reveal() for store in there.stores for one in await all_rows(store)}
        # the same again, in another order
        for page_again in (second, first):
            assert [one.references_changed for one in await there.imports(page_again)] == [0] * 3
        assert len(await there.stored()) == 200


def now_ms() -> int:
    return time.time_ns() // 1_000_000


async def all_rows(store: Any) -> list[Reference]:
    found: list[Reference] = await store.model_page("face", "", 1000)
    return found


Pair = tuple[Deployment, Deployment]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def both(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    """For whatever stores nothing."""
    async with two(tmp_path_factory.mktemp("both"), [row(1, "ada"), row(2, "bob")], [row(7, "eve")]) as found:
        yield found


@pytest.fixture
def pair(both: Pair) -> Iterator[Pair]:
    """The same, with what their operators have named as it was."""
    yield both
    here, there = both
    for one in both:
        for config in one.config:
            config.export_to.clear()
            config.import_from.clear()
    here.pins("export_to", "there", there)
    there.pins("import_from", "here", here)


async def refused(outcomes: list[Any], kind: type[Exception], text: str, there: Deployment | None = None) -> None:
    """Some party has said why, none has done it, and nothing is stored."""
    assert any(isinstance(one, kind) and text in str(one) for one in outcomes), outcomes
    assert all(isinstance(one, Exception) for one in outcomes), outcomes
    if there is not None:
        assert [one.subject for one, _ in await there.stored()] == ["eve"]


async def destination_that_one_operator_has_not_named__should_get_nothing(pair: Pair) -> None:
    here, there = pair
    del here.config[1].export_to["there"]
    await refused(await here.exports(there), PermissionDenied, "export_to")
    await refused(await here.exports(there, name="elsewhere"), PermissionDenied, "export_to")


async def keys_of_others_than_were_named__should_get_nothing(pair: Pair) -> None:
    """An administrator's own three parties, under the name of those that the operators mean."""
    here, there = pair
    await refused(await here.exports(here), PermissionDenied, "sealing key")
    terms = crossing_pb2.ExportTerms(recipients=[there.recipients()[0]] * 3, series=bytes(16))
    ask = common_pb2.Request(operation=common_pb2.OPERATION_EXPORT, model="face", deployment="there")
    await refused(await here.run(ask, [terms.SerializeToString()] * 3), PermissionDenied, "another party")


async def source_that_one_operator_has_not_named__should_bring_nothing(pair: Pair) -> None:
    here, there = pair
    page = await here.page(there)
    there.config[2].import_from.clear()
    await refused(await there.imports(page), PermissionDenied, "import_from", there)


async def page_of_others_than_were_named__should_bring_nothing(pair: Pair) -> None:
    _, there = pair
    there.pins("export_to", "there", there)
    page = await there.page(there)
    await refused(await there.imports(page), PermissionDenied, "not signed as it must be", there)


async def page_for_another_deployment__should_bring_nothing(pair: Pair) -> None:
    here, there = pair
    here.pins("export_to", "there", here)
    page = await here.page(here)
    await refused(await there.imports(page), FailedPrecondition, "export again", there)


async def parts_of_two_exports__should_not_fit(pair: Pair) -> None:
    here, there = pair
    first, second = await here.page(there), await here.page(there)
    for part in range(3):
        mixed = crossing_pb2.CrossingRecord()
        mixed.CopyFrom(first)
        mixed.parts[part].CopyFrom(second.parts[part])
        await refused(await there.imports(mixed), PermissionDenied, "not signed as it must be", there)


async def parts_that_have_changed_places__should_not_fit(pair: Pair) -> None:
    here, there = pair
    page = await here.page(there)
    turned = crossing_pb2.CrossingRecord(page=page.page, parts=[page.parts[1], page.parts[0], page.parts[2]])
    await refused(await there.imports(turned), PermissionDenied, "not signed as it must be", there)
    page.parts[2].pieces[0].CopyFrom(page.parts[2].pieces[1])
    await refused(await there.imports(page), PermissionDenied, "not signed as it must be", there)


async def page_that_was_written_on__should_not_be_taken(pair: Pair) -> None:
    here, there = pair
    page = await here.page(there)
    other = crossing_pb2.CrossingPage.FromString(page.page)
    other.references[0].expires_unix_ms = 0
    other.references[0].subject = "someone"
    page.page = other.SerializeToString()
    await refused(await there.imports(page), PermissionDenied, "not signed as it must be", there)


@pytest.mark.parametrize("liar", [0, 1, 2])
async def lying_source_party__should_lose_the_page_and_change_nothing(
    pair: Pair, liar: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It splits another vector than its share, and signs that."""
    here, there = pair
    abroad, honest = here.resources[liar].abroad, here.resources[liar].abroad.part

    def lying(field: Field, page: bytes, keys: Any, own: Elements, rows: Any) -> crossing_pb2.CrossingPart:
        of_another = [Reference(**{**vars(one), "descriptor": rows[0].descriptor}) for one in rows]
        return honest(field, page, keys, own, of_another)

    monkeypatch.setattr(abroad, "part", lying)
    page = await here.page(there)
    await refused(await there.imports(page), FailedPrecondition, "does not fit together", there)


@pytest.mark.parametrize("liar", [0, 1, 2])
async def source_party_that_tells_other_notes__should_end_the_export(pair: Pair, liar: int) -> None:
    here, there = pair

    def lie(party: int, number: int, peer: int, payload: bytes) -> bytes:
        return bytes(32) if party == liar and len(payload) == 32 else payload

    outcomes = await here.exports(there, lie=lie)
    await refused(outcomes[:liar] + outcomes[liar + 1 :], ViewsDiffer, "page")


@pytest.mark.parametrize("liar", [0, 1, 2])
async def lying_destination_party__should_be_noticed(pair: Pair, liar: int) -> None:
    """It says to one of the others that all is well, and to the other that it is not."""
    here, there = pair
    page = await here.page(there)

    def lie(party: int, number: int, peer: int, payload: bytes) -> bytes:
        turned = party == liar and peer == (liar + 1) % 3 and len(payload) == 2 * 32 + 2
        return bytes([payload[0] ^ 1]) + payload[1:] if turned else payload

    outcomes = await there.imports(page, lie=lie)
    assert any(isinstance(one, ViewsDiffer) for one in outcomes), outcomes
    assert [one.subject for one, _ in await there.stored()] == ["eve"]


async def other_weights__should_be_found_out_without_being_opened(tmp_path: Path) -> None:
    async with (
        deployment(tmp_path / "here", held(uniform(PROGRAM.weight_count), [row(1)])) as here,
        deployment(tmp_path / "there", held(uniform(PROGRAM.weight_count), [row(7, "eve")])) as there,
    ):
        here.pins("export_to", "there", there)
        there.pins("import_from", "here", here)
        page = await here.page(there)
        await refused(await there.imports(page), FailedPrecondition, "other weights", there)


async def namesake_or_id_that_is_here_already__should_be_refused(tmp_path: Path) -> None:
    rows = [row(1, gallery="one"), row(2, "eve"), row(3, "bob")]
    async with two(tmp_path, rows, [row(7, "eve"), row(1, gallery="staff")]) as (here, there):
        await refused(await there.imports(await here.page(there)), AlreadyExists, "'eve' is enrolled here", there)
        page = recorded(await here.exports(there, gallery="one"))
        await refused(await there.imports(page), AlreadyExists, "another gallery", there)


async def full_model__should_take_nothing(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = pair
    few = [replace(one, max_references=2) for one in there.resources]
    monkeypatch.setattr(there, "resources", few)
    await refused(await there.imports(await here.page(there)), ResourceExhausted, "as many as are allowed", there)


async def who_was_erased_a_moment_ago_or_expires_on_the_way__should_not_arrive(tmp_path: Path) -> None:
    """Of an erasure one party alone may still know."""
    later = now_ms() + 100_000
    rows = [row(1, "ada"), row(2, "bob"), row(3, "cid", expires=later)]
    async with two(tmp_path, rows, [row(7, "eve")]) as (here, there):
        page = await here.page(there)
        await there.stores[1].stage(b"e" * 16, Change(erase=(f"{1:032x}",)), b"d" * 32)
        await there.stores[1].commit(b"e" * 16)
        assert [one.references_changed for one in await there.imports(page, sent_unix_ms=later)] == [1] * 3
        assert [one.subject for one, _ in await there.stored()] == ["bob", "eve"]


async def old_page__should_be_refused_before_it_is_forgotten_who_was_erased(pair: Pair) -> None:
    here, there = pair
    page = await here.page(there)
    made = crossing_pb2.CrossingPage.FromString(page.page).sent_unix_ms
    older = made + CROSSING_AGE_MS + 1
    await refused(await there.imports(page, sent_unix_ms=older), FailedPrecondition, "24 hours", there)
    before = made - 2 * MAX_EXPIRY_MS
    await refused(await there.imports(page, sent_unix_ms=before), FailedPrecondition, "from the future", there)


async def one_id_of_two_exports__should_have_two_names(tmp_path: Path) -> None:
    """Its shares are others: a party that has the older ones back must be seen to differ."""
    async with two(tmp_path, [row(1, "ada")]) as (here, there):
        page = await here.page(there)
        await there.imports(page)
        ((before, _),) = await there.stored()
        for store in there.stores:  # with the tombstone long gone
            await store.stage(b"e" * 16, Change(erase=(before.reference_id,)), b"d" * 32, 10)
            await store.commit(b"e" * 16)
            await store.prune(20)
        page = await here.page(there)
        await there.imports(page, sent_unix_ms=now_ms() + 100_000)
        ((after, _),) = await there.stored()
        assert after.reference_id == before.reference_id
        assert name_hash(after.name) != name_hash(before.name)
        assert after.version < 1 << 32, "as messages hold it"


async def page_that_two_administrators_have_signed__should_not_be_stored_in_two_names(pair: Pair) -> None:
    """One to one follower and one to the other, and party 0 nods to both; nor does a page leave so."""
    here, there = pair
    page = await here.page(there)
    callers = (ADMIN, ADMIN, "admin/other")
    ask = asking(common_pb2.OPERATION_IMPORT, deployment="here")
    shares = [share_for(party, page).SerializeToString() for party in range(3)]
    outcomes = await there.run(ask, shares, callers=callers, nodding=True)
    await refused(outcomes, FailedPrecondition, "does not fit together", there)
    terms = crossing_pb2.ExportTerms(recipients=there.recipients(), series=bytes(16)).SerializeToString()
    ask = asking(common_pb2.OPERATION_EXPORT, deployment="there")
    outcomes = await here.run(ask, [terms] * 3, callers=callers, nodding=True)
    await refused(outcomes, ViewsDiffer, "page")


def of_two(change: Callable[[Any, Any], object]) -> Callable[[crossing_pb2.CrossingPage], None]:
    """A change to a page's two references, that replaces them."""

    def changed(page: crossing_pb2.CrossingPage) -> None:
        rows = [crossing_pb2.CrossingReference.FromString(one.SerializeToString()) for one in page.references]
        change(*rows)
        del page.references[:]
        page.references.extend(rows)

    return changed


MALFORMED: dict[str, Callable[[crossing_pb2.CrossingPage], object]] = {
    "unsorted": lambda page: page.references.reverse(),
    "repeated": of_two(lambda a, b: setattr(b, "reference_id", a.reference_id)),
    "no id": of_two(lambda a, b: setattr(a, "reference_id", "")),
    "an id that is none": of_two(lambda a, b: setattr(b, "reference_id", "g" * 32)),
    "no subject": of_two(lambda a, b: setattr(b, "subject", "")),
    "a subject that is none": of_two(lambda a, b: setattr(a, "subject", "ada\n")),
    "long metadata": of_two(lambda a, b: setattr(b, "metadata", bytes(MAX_METADATA_BYTES + 1))),
    "never born": of_two(lambda a, b: setattr(a, "created_unix_ms", 1 << 63)),
    "never over": of_two(lambda a, b: setattr(a, "expires_unix_ms", 1 << 53)),
    "too many": lambda page: page.references.extend(
        crossing_pb2.CrossingReference(reference_id=f"{k:032x}", subject="ada") for k in range(3, MAX_CROSSING + 2)
    ),
}


@pytest.mark.parametrize("what", MALFORMED)
async def page_that_could_not_have_been_enrolled__should_be_refused_also_when_all_three_signed_it(
    pair: Pair, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = pair
    for one in here.resources:

        def lying(field: Field, data: bytes, *rest: Any, honest: Any = one.abroad.part) -> crossing_pb2.CrossingPart:
            page = crossing_pb2.CrossingPage.FromString(data)
            MALFORMED[what](page)
            found: crossing_pb2.CrossingPart = honest(field, page.SerializeToString(), *rest)
            return found

        monkeypatch.setattr(one.abroad, "part", lying)
    await refused(await there.imports(await here.page(there)), InvalidArgument, "share.page", there)


async def who_waits_for_a_review_and_what_was_counted__should_stay(tmp_path: Path) -> None:
    place = Place("face")
    beside = [row(2, "bob", gallery=place.waiting.gallery), row(3, "ada", gallery=place.counting.gallery)]
    async with two(tmp_path, [row(1, "ada"), *beside, row(4, "cid")]) as (here, there):
        page = await here.page(there)
        told = crossing_pb2.CrossingPage.FromString(page.page)
        assert [one.subject for one in told.references] == ["ada", "cid"]
        assert told.last
        await there.imports(page)
        assert [len(await all_rows(store)) for store in there.stores] == [2] * 3


async def empty_gallery__should_be_a_page_that_says_so(pair: Pair) -> None:
    here, there = pair
    found = recorded(await here.exports(there, gallery="nobody"))
    assert crossing_pb2.CrossingPage.FromString(found.page).last
    assert [one.references_changed for one in await there.imports(found)] == [0] * 3


@pytest.mark.parametrize("share", [b"", b"\xff", b"\x0a\x00"])
@pytest.mark.parametrize("operation", [common_pb2.OPERATION_EXPORT, common_pb2.OPERATION_IMPORT])
async def nonsense__should_be_refused(pair: Pair, operation: Any, share: bytes) -> None:
    ask = common_pb2.Request(operation=operation, model="face")
    ask.deployment = "there" if operation == common_pb2.OPERATION_EXPORT else "here"
    which = pair[0] if operation == common_pb2.OPERATION_EXPORT else pair[1]
    await refused(await which.run(ask, [share] * 3), InvalidArgument, "share")


async def parties_that_are_told_different_things__should_refuse_before_anybody_deviates(pair: Pair) -> None:
    """A caller's fault is none of the parties': what they have been brought is compared before the run."""
    here, there = pair
    first, second = await here.page(there), recorded(await here.exports(there, gallery="nobody"))
    prepared, at = [], now_ms()
    for party, page in enumerate((first, second)):
        ask = asking(common_pb2.OPERATION_IMPORT, deployment="here", request_id=b"s" * 16, sent_unix_ms=at)
        share = share_for(party, page).SerializeToString()
        prepared.append(await there.prepared(ask, share, party))
    assert prepared[0].rows_digest != prepared[1].rows_digest
    for changed in ({"after": f"{1:032x}"}, {"series": b"s" * 16}):
        terms: dict[str, Any] = {"recipients": there.recipients(), "series": bytes(16)}
        ask = asking(common_pb2.OPERATION_EXPORT, deployment="there", request_id=b"s" * 16, sent_unix_ms=at)
        digests = [
            (await here.prepared(ask, crossing_pb2.ExportTerms(**one).SerializeToString(), party)).rows_digest
            for party, one in enumerate((terms, terms | changed))
        ]
        assert digests[0] != digests[1]
