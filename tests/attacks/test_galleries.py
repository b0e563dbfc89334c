"""Who may do nothing in a gallery does nothing there, and does not learn that it is: through the gateway, and with its help."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from math import prod
from pathlib import Path

import grpc
import pytest
from visard.client import Client, Connection
from visard.cluster import Cluster
from visard.envelopes import NO_SHARES, SealedRequest, seal
from visard.errors import AlreadyExists, FailedPrecondition, InvalidRequest, NotFound, PermissionDenied, VisardError
from visard.owner import publish
from visard_common.operations import DECLARED, Gallery, Subject, word
from visard_wire.callers import Signer
from visard_wire.v1 import party_pb2, party_pb2_grpc

from tests.attacks.test_takeover import as_caller, for_party, request
from tests.attacks.turned import image_shares
from tests.e2e import raw
from tests.e2e.test_mean import SHAPE
from tests.e2e.test_migrate import compiled
from tests.waiting import at_rest

STAFF, STRANGER, DOOR = "staff-keeper", "stranger", "door"
OTHER_MODEL = "other"
GALLERY, ABSENT = "staff", "no.such.gallery"
Ask = Callable[[Client, Path], Awaitable[object]]
# what a caller can ask about subjects or a gallery, by the operation, or by the method where there is none
ASKS: dict[str, Ask] = {
    "enrol": lambda client, face: client.enrol("mallory", [face]),
    "verify": lambda client, face: client.verify("ada", face),
    "identify": lambda client, face: client.identify(face),
    "migrate": lambda client, face: client.migrate("ada", face, OTHER_MODEL),
    "delete": lambda client, _: client.delete("ada"),
    "rename": lambda client, _: client.rename("ada", "eve"),
    "review": lambda client, _: client.review("ada", accept=True),
    "ListSubjects": lambda client, _: client.subjects(),
    "ListReferences": lambda client, _: client.references("ada"),
    "ListGalleries": lambda client, _: client.galleries.describe(client.gallery),
}
IN_GALLERY = [number for number, declared in DECLARED.items() if declared.gallery not in (Gallery.NONE, Gallery.ANY)]


@pytest.fixture
async def admin(cluster: Cluster) -> AsyncIterator[Client]:
    async with as_caller(cluster, "admin") as client:
        yield client


@pytest.fixture
async def other_model(cluster: Cluster) -> AsyncIterator[None]:
    """What somebody could be moved to."""
    async with Client(Connection.from_home(cluster.home, "owner"), deadline=120) as owner:
        await publish.publish(owner, OTHER_MODEL, compiled(31, mean=False), allow_loose=True)
        yield
        await owner.models.withdraw(OTHER_MODEL)


@pytest.fixture
async def keeper(cluster: Cluster, admin: Client, other_model: None, photos: dict[str, Path]) -> AsyncIterator[Client]:
    """Who keeps the gallery of staff, where Ada is enrolled and where a door may verify."""
    await admin.galleries.create(
        GALLERY, enrol=[f"enroller/{STAFF}"], verify=[f"enroller/{STAFF}", "enroller/do*"], search=["enroller/staff-*"]
    )
    async with as_caller(cluster, STAFF) as client:
        client.gallery = GALLERY
        await client.enrol("ada", [photos["obama"]])
        yield client
        client.gallery = GALLERY
        for subject in await client.subjects():
            await client.delete(subject.subject)
    await admin.galleries.delete(GALLERY)


@pytest.fixture
async def stranger(cluster: Cluster) -> AsyncIterator[Client]:
    async with as_caller(cluster, STRANGER) as client:
        yield client


def asks__should_be_all_that_there_are() -> None:
    assert set(map(word, IN_GALLERY)) == {ask for ask in ASKS if ask.islower()}


async def told(client: Client, gallery: str, ask: Ask, face: Path) -> tuple[type[VisardError], str]:
    client.gallery = gallery
    with pytest.raises(VisardError) as caught:
        await ask(client, face)
    return type(caught.value), str(caught.value).replace(gallery, "GALLERY")


async def stranger__should_be_told_what_it_would_be_told_of_no_gallery(
    keeper: Client, stranger: Client, photos: dict[str, Path]
) -> None:
    for name, ask in ASKS.items():
        found = await told(stranger, GALLERY, ask, photos["obama2"])
        assert found == await told(stranger, ABSENT, ask, photos["obama2"]), name
        assert found[0] is NotFound, name
    assert GALLERY not in {gallery.name for gallery in await stranger.galleries.list()}
    assert [row.subject for row in await keeper.subjects()] == ["ada"]


async def gateway_that_helps_a_stranger__should_not_help(
    cluster: Cluster, keeper: Client, stranger: Client, photos: dict[str, Path]
) -> None:
    """Requests that the stranger has signed, brought to the parties with the gateway's own certificate."""
    async with AsyncExitStack() as stack:
        channels = [raw.channel(cluster, cluster.address(f"party{i}"), "gateway") for i in range(3)]
        parties = [party_pb2_grpc.PartyStub(await stack.enter_async_context(channel)) for channel in channels]
        shares = await image_shares(stranger, photos["obama2"])
        for number in IN_GALLERY:
            asked = [
                await prepared(stranger, raw.signer(cluster, STRANGER), number, shares, g) for g in (GALLERY, ABSENT)
            ]
            refused, absent = [await refusals(parties, sealed) for sealed in asked]
            assert {code for code, _ in refused} == {grpc.StatusCode.NOT_FOUND}, word(number)
            assert refused == absent, word(number)
    assert [row.subject for row in await keeper.subjects()] == ["ada"]


async def prepared(
    stranger: Client, signer: Signer, number: int, shares: Sequence[bytes], gallery: str
) -> SealedRequest:
    """A request of this operation in a gallery, signed and sealed."""
    declared = DECLARED[number]
    subject = "ada" if declared.subject is Subject.NEEDED else ""
    new_subject = "eve" if "new_subject" in declared.fields else ""
    fields = {"images": declared.images.start, "subject": subject, "new_subject": new_subject, "gallery": gallery}
    if "new_model" in declared.fields:
        fields["new_model"] = OTHER_MODEL
        shares = [share + bytes(4 * prod(SHAPE)) for share in shares]
    asked = request(word(number).upper(), **fields)
    return seal(asked, shares if declared.has_share else NO_SHARES, await stranger._caller.party_keys(), signer)


async def refusals(
    parties: list["party_pb2_grpc.PartyAsyncStub"], sealed: SealedRequest
) -> set[tuple[grpc.StatusCode, str]]:
    """How the parties refuse it, but for the gallery's name."""
    asked, attempt = sealed.request, os.urandom(16)
    uploaded = DECLARED[asked.operation].has_share
    messages = [message async for message in sealed.upload()] if uploaded else []
    for number, party in enumerate(parties if uploaded else ()):
        await party.Deposit(raw.stream(for_party(messages, number)), timeout=60)
    envelopes = [None] * 3 if uploaded else sealed.envelopes
    runs = [
        party.Run(party_pb2.RunRequest(request=asked, attempt=attempt, envelope=envelope), timeout=60)
        for party, envelope in zip(parties, envelopes, strict=True)
    ]
    found = await asyncio.gather(*runs, return_exceptions=True)
    errors = [answer for answer in found if isinstance(answer, grpc.aio.AioRpcError)]
    assert len(errors) == 3, found
    return {(error.code(), (error.details() or "").replace(asked.gallery, "GALLERY")) for error in errors}


async def galleries__should_have_nothing_to_do_with_each_other(
    cluster: Cluster, keeper: Client, admin: Client, photos: dict[str, Path]
) -> None:
    """One subject in two of them, under one name, with other faces."""
    await at_rest(keeper)
    keeper.gallery = "default"
    await keeper.enrol("ada", [photos["biden"]])
    assert not (await keeper.verify("ada", photos["obama2"])).match
    assert (await keeper.identify(photos["obama2"])).subject is None
    assert await keeper.rename("ada", "bob") == 1
    keeper.gallery = GALLERY
    assert (await keeper.verify("ada", photos["obama2"])).match
    assert (await keeper.identify(photos["obama2"])).subject == "ada"
    assert [row.subject for row in await keeper.subjects()] == ["ada"]
    with pytest.raises(NotFound):
        await keeper.verify("bob", photos["biden"])
    keeper.gallery = "default"
    assert await keeper.delete("bob") == 1
    audit = await admin.admin.audit()
    assert audit.clean
    for log in await admin.admin.audit_log():
        assert not log.broken()
        made = [entry for entry in log.entries if entry.operation == "create_gallery"][-1]
        assert (made.gallery, made.caller) == (GALLERY, "admin/default")
        assert f"enrol=enroller/{STAFF}" in made.detail
        assert [e.gallery for e in log.entries if e.operation == "verify" and e.caller == f"enroller/{STAFF}"][
            -1
        ] == GALLERY


async def door__should_verify_and_do_no_more(cluster: Cluster, keeper: Client, photos: dict[str, Path]) -> None:
    async with as_caller(cluster, DOOR) as door:
        door.gallery = GALLERY
        assert (await door.verify("ada", photos["obama2"])).match
        seen = await door.galleries.describe(GALLERY)
        assert (seen.enrol, seen.verify, seen.search, seen.references) == ((), ("enroller/do*",), (), 0)
        for ask in ("enrol", "identify", "migrate", "delete", "rename", "ListSubjects", "ListReferences"):
            assert (await told(door, GALLERY, ASKS[ask], photos["obama2"]))[0] is NotFound
        with pytest.raises(NotFound):
            await door.enrol("mallory", [photos["biden"]], unique=True)


async def rules__should_be_administrators_and_hold_from_the_next_request_on(
    cluster: Cluster, keeper: Client, admin: Client, photos: dict[str, Path]
) -> None:
    for ask in (
        keeper.galleries.create("other", enrol=["*"]),
        keeper.galleries.change(GALLERY, enrol=["*"]),
        keeper.galleries.delete(GALLERY),
    ):
        with pytest.raises(PermissionDenied):
            await ask
    with pytest.raises(AlreadyExists):
        await admin.galleries.create(GALLERY)
    with pytest.raises(AlreadyExists):
        await admin.galleries.create("default")
    with pytest.raises(FailedPrecondition, match="has references"):
        await admin.galleries.delete(GALLERY)
    with pytest.raises(InvalidRequest, match="always is"):
        await admin.galleries.delete("default")
    for ask in (admin.galleries.change(ABSENT), admin.galleries.delete(ABSENT)):
        with pytest.raises(NotFound):
            await ask
    with pytest.raises(NotFound):
        await admin.galleries.describe(ABSENT)
    everything = await admin.galleries.describe(GALLERY)
    assert (everything.enrol, everything.references) == ((f"enroller/{STAFF}",), 1)
    await admin.galleries.change(GALLERY, verify=["*"])
    with pytest.raises(NotFound):
        await keeper.subjects()
    assert (await keeper.verify("ada", photos["obama2"])).match
    await admin.galleries.change(GALLERY, enrol=[f"enroller/{STAFF}"])
    assert [row.subject for row in await keeper.subjects()] == ["ada"]
    with pytest.raises(PermissionDenied, match=r"request\.unique"):
        await keeper.enrol("eve", [photos["biden"]], unique=True)


@pytest.mark.parametrize("callers", ["", "nobody here", "enroller/", "enroller/a b", "enroller/[a]", "a/b/c", 65 * "x"])
async def pattern__should_be_one_of_callers(admin: Client, callers: str) -> None:
    with pytest.raises(InvalidRequest, match=r"request\.rules\.callers"):
        await admin.galleries.create("other", search=[callers])


@pytest.mark.parametrize("name", ["Staff", "a b", "a/b", 65 * "x", "ä"])
async def name__should_be_one(admin: Client, name: str) -> None:
    with pytest.raises(InvalidRequest, match=r"request\.gallery"):
        await admin.galleries.create(name)


async def right_in_a_gallery__should_be_to_its_subjects_alone(
    cluster: Cluster, keeper: Client, admin: Client, photos: dict[str, Path]
) -> None:
    await admin.galleries.change(GALLERY, enrol=["enroller/*"], verify=["enroller/*"])
    async with as_caller(cluster, "other-keeper") as other:
        other.gallery = GALLERY
        with pytest.raises(PermissionDenied, match="administrator can grant"):
            await other.delete("ada")
        admin.gallery = "default"
        await admin.admin.grant("enroller/other-keeper", "ada")
        with pytest.raises(PermissionDenied, match="administrator can grant"):
            await other.delete("ada")
        await admin.admin.revoke("enroller/other-keeper", "ada")
        admin.gallery = GALLERY
        await admin.admin.grant("enroller/other-keeper", "ada")
        assert [right.gallery for right in await admin.admin.rights()] == [GALLERY]
        assert await other.delete("ada") == 1
    await admin.admin.revoke("enroller/other-keeper", "ada")
