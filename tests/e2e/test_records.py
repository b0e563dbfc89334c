"""References can be renamed, replaced, erased one by one, expire, be listed; a write sent twice is made once."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from visard import opening
from visard.capture import capture
from visard.client import Client, Connection
from visard.cluster import Cluster
from visard.envelopes import NO_SHARES, SealedRequest
from visard.errors import AlreadyExists, NotFound
from visard.uploads import pixels, shared
from visard_wire.v1 import common_pb2, gateway_pb2

from tests.e2e.people import pairs
from tests.waiting import until


@pytest.fixture
async def client(cluster: Cluster) -> AsyncIterator[Client]:
    async with Client(Connection.from_home(cluster.home)) as connected:
        yield connected
        for subject in await connected.subjects():
            await connected.delete(subject.subject)


async def renamed_subject__should_be_known_by_the_new_name_only(client: Client, photos: dict[str, Path]) -> None:
    await client.enrol("before", [photos["obama"]])
    await client.enrol("other", [photos["biden"]])
    with pytest.raises(AlreadyExists, match="other"):
        await client.rename("before", "other")
    assert await client.rename("before", "after") == 1
    assert (await client.verify("after", photos["obama2"])).match
    with pytest.raises(NotFound):
        await client.verify("before", photos["obama2"])
    (reference,) = await client.references("after")
    assert reference.version == 2


async def replaced_references__should_be_gone(client: Client, photos: dict[str, Path]) -> None:
    first = await client.enrol("changing", [photos["obama"]])
    second = await client.enrol("changing", [photos["biden"]], replace=True)
    assert [r.reference_id for r in await client.references("changing")] == list(second.references)
    assert not set(first.references) & set(second.references)
    assert (await client.verify("changing", photos["biden"])).match
    assert not (await client.verify("changing", photos["obama2"])).match


async def single_reference__should_be_erased_alone(client: Client, photos: dict[str, Path]) -> None:
    enrolment = await client.enrol("pair", [photos["obama"], photos["biden"]])
    with pytest.raises(NotFound, match="no reference"):
        await client.delete("pair", ["0" * 32])
    assert await client.delete("pair", [enrolment.references[1]]) == 1
    assert (await client.verify("pair", photos["obama2"])).match
    assert not (await client.verify("pair", photos["biden"])).match


async def listing__should_tell_everything_but_shares(client: Client, photos: dict[str, Path]) -> None:
    before = int(time.time() * 1000)
    await client.enrol("noted", [photos["obama"]], metadata=b"door 7", ttl_seconds=1000)
    (reference,) = await client.references("noted")
    assert before - 1000 <= reference.created_unix_ms <= int(time.time() * 1000)
    assert reference.expires_unix_ms == reference.created_unix_ms + 1_000_000
    assert reference.metadata == b"door 7"
    with pytest.raises(NotFound):
        await client.references("nobody")


async def expired_reference__should_be_erased_everywhere(
    client: Client, cluster: Cluster, photos: dict[str, Path]
) -> None:
    await client.enrol("brief", [photos["obama"]], ttl_seconds=400)
    assert (await client.verify("brief", photos["obama2"])).match
    brief = await client.enrol("brief", [photos["biden"]], ttl_seconds=1)
    # not compared from the beginning: its time is over before the request's is
    assert not (await client.verify("brief", photos["biden"])).match

    async def gone() -> bool:
        return len(await client.references("brief")) == 1

    await until(gone)  # from the list, erased or not yet

    def erased(party: int) -> bool:
        database = sqlite3.connect(f"file:{cluster.home / f'party{party}' / 'visard.sqlite'}?mode=ro", uri=True)
        with closing(database):
            return (brief.references[0],) in list(database.execute("SELECT reference_id FROM tombstones"))

    await until(lambda: all(erased(party) for party in range(3)))
    assert (await client.verify("brief", photos["obama2"])).match


async def same_person__should_not_be_enrolled_under_two_names(client: Client, photos: dict[str, Path]) -> None:
    await client.enrol("first", [photos["obama"]], unique=True)
    with pytest.raises(AlreadyExists, match="another name"):
        await client.enrol("second", [photos["obama2"]], unique=True)
    assert [s.subject for s in await client.subjects()] == ["first"]
    await client.enrol("first", [photos["obama2"]], unique=True)  # the same name is another matter
    await client.enrol("third", [photos["biden"]], unique=True)
    await client.enrol("second", [photos["obama2"]])  # nobody asked


async def enrolments_in_flight__should_be_seen_as_well(
    client: Client, cluster: Cluster, shared: Path, photos: dict[str, Path]
) -> None:
    stranger = pairs(shared, same=0, different=1)[0].first
    attempts = [
        client.enrol("one", [photos["obama"]], unique=True),
        client.enrol("two", [photos["obama2"]], unique=True),
        client.enrol("three", [stranger], unique=True),
    ]
    answers = await asyncio.gather(*attempts, return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, BaseException)]
    assert [type(error) for error in refused] == [AlreadyExists], answers
    assert "three" in {s.subject for s in await client.subjects()}
    assert len(await client.subjects()) == 2


async def write_sent_twice__should_be_made_once_and_answered_alike(client: Client, photos: dict[str, Path]) -> None:
    request = client._caller.request(common_pb2.Operation.OPERATION_ENROL, "twice", images=1)
    info, answers = await client.models.info(), []
    sealed = await client._caller.sealed(request, shared([pixels(capture(photos["obama"]), info)], info.field_bits))
    for _ in range(2):
        result = await client._caller.matching.Enrol(sealed.upload(), timeout=60)
        answers.append(opening.reference_ids(opening.open_all(result.results, sealed.context, sealed.reply_keys)))
    assert answers[0] == answers[1]
    assert [r.reference_id for r in await client.references("twice")] == list(answers[0])


async def deletion_sent_twice__should_be_answered_alike(client: Client, photos: dict[str, Path]) -> None:
    await client.enrol("gone", [photos["obama"]])
    sealed = await client._caller.sealed(
        client._caller.request(common_pb2.Operation.OPERATION_DELETE, "gone"), NO_SHARES
    )
    for _ in range(2):
        assert (await client._caller.matching.Delete(asked(sealed), timeout=60)).references_deleted == 1
    again = await client._caller.sealed(deletion(sealed, "gone"), NO_SHARES)
    other = await client._caller.sealed(deletion(sealed, "somebody-else"), NO_SHARES)
    for changed in (again, other):  # the id stands for this deletion with these envelopes
        with pytest.raises(AlreadyExists, match="another write"):
            await client._caller.call(partial(client._caller.matching.Delete, asked(changed), timeout=60))


def asked(sealed: SealedRequest) -> gateway_pb2.DeleteRequest:
    return gateway_pb2.DeleteRequest(request=sealed.request, envelopes=sealed.envelopes)


def deletion(like: SealedRequest, subject: str) -> common_pb2.Request:
    request = common_pb2.Request()
    request.CopyFrom(like.request)
    request.subject = subject
    return request
