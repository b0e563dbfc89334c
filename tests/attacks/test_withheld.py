"""What a caller was told is not made after all: a gateway that keeps a signed write cannot have it run when it likes.

It holds the bytes for as long as the request lives. A refusal of the parties is for good; a failure that the gateway has made
up leaves the write undecided, and a client that sends it again names it, so that at most one of the two is made.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from visard import opening
from visard.client import Client, Connection
from visard.cluster import Cluster
from visard.envelopes import NO_SHARES, SealedRequest
from visard_wire.v1 import common_pb2

from tests.attacks.turned import TurnedGateway, image_shares
from tests.e2e import raw

Operation = common_pb2.Operation
VICTIM = "victim"
MANY = 8
BRIEF = 6.0  # seconds: an attempt of which the parties do not meet would wait for a minute


@pytest.fixture
async def administrator(cluster: Cluster) -> AsyncIterator[Client]:
    async with Client(Connection.from_home(cluster.home, "admin")) as connected:
        yield connected
        for right in await connected.admin.rights():
            await connected.admin.revoke(right.grantee, right.subject)


async def enrolment(client: Client, photo: Path, *earlier: bytes) -> SealedRequest:
    """An enrolment of the victim, signed, which stands for earlier ones."""
    asked = client._caller.request(Operation.OPERATION_ENROL, VICTIM, images=1, instead_of=earlier)
    return await client._caller.sealed(asked, await image_shares(client, photo))


async def refused_deletion__should_not_be_made_later(
    client: Client, gateway: TurnedGateway, photos: dict[str, Path]
) -> None:
    sealed = await client._caller.sealed(client._caller.request(Operation.OPERATION_DELETE, VICTIM), NO_SHARES)
    with pytest.raises(grpc.aio.AioRpcError) as told:
        await gateway.run([sealed.request] * 3, sealed)
    assert told.value.code() is grpc.StatusCode.NOT_FOUND
    await client.enrol(VICTIM, [photos["obama"]])
    with pytest.raises(grpc.aio.AioRpcError, match="undone or refused") as caught:
        await gateway.run([sealed.request] * 3, sealed)
    assert caught.value.code() is grpc.StatusCode.ABORTED
    assert (await client.verify(VICTIM, photos["obama2"])).match


async def refused_enrolment__should_not_be_made_when_the_right_is_there(
    cluster: Cluster, client: Client, administrator: Client, gateway: TurnedGateway, photos: dict[str, Path]
) -> None:
    await client.enrol(VICTIM, [photos["obama"]])
    async with Client(Connection.from_home(cluster.home, "owner")) as other:
        sealed = await enrolment(other, photos["biden"])
        with pytest.raises(grpc.aio.AioRpcError, match="was not enrolled by"):
            await gateway.hand_in([sealed.request] * 3, sealed)
        await administrator.admin.grant("owner/default", VICTIM)
        with pytest.raises(grpc.aio.AioRpcError, match="undone or refused"):
            await gateway.hand_in([sealed.request] * 3, sealed)
    assert len(await client.references(VICTIM)) == 1


async def withheld_enrolment__should_not_be_made_beside_the_one_that_stands_for_it(
    client: Client, gateway: TurnedGateway, photos: dict[str, Path]
) -> None:
    """The gateway has kept the first and told the client that it was undone."""
    kept = await enrolment(client, photos["obama"])
    again = await enrolment(client, photos["obama"], kept.request.request_id)
    await gateway.hand_in([again.request] * 3, again)
    with pytest.raises(grpc.aio.AioRpcError, match="undone or refused"):
        await gateway.hand_in([kept.request] * 3, kept)
    assert len(await client.references(VICTIM)) == 1


async def enrolment_that_was_made__should_not_be_made_again_by_the_one_that_stands_for_it(
    client: Client, gateway: TurnedGateway, photos: dict[str, Path]
) -> None:
    """The gateway had the first made and told the client that it was undone."""
    made = await enrolment(client, photos["obama"])
    await gateway.hand_in([made.request] * 3, made)
    other = await enrolment(client, photos["obama"])
    again = await enrolment(client, photos["obama"], other.request.request_id, made.request.request_id)
    with pytest.raises(grpc.aio.AioRpcError, match="stands for was made") as caught:
        await gateway.hand_in([again.request] * 3, again)
    assert caught.value.code() is grpc.StatusCode.ALREADY_EXISTS
    assert len(await client.references(VICTIM)) == 1


async def earlier_requests__should_be_ids_of_writes(
    client: Client, gateway: TurnedGateway, photos: dict[str, Path]
) -> None:
    asked = client._caller.request(Operation.OPERATION_DELETE, VICTIM)
    own = asked.request_id
    for ids in ([b"short"], [own], [bytes(16), bytes(16)], [bytes([k]) * 16 for k in range(9)]):
        asked.instead_of[:] = ids
        sealed = await client._caller.sealed(asked, NO_SHARES)
        with pytest.raises(grpc.aio.AioRpcError, match=r"request\.instead_of"):
            await gateway.run([sealed.request] * 3, sealed)
    read = client._caller.request(Operation.OPERATION_VERIFY, VICTIM, images=1, instead_of=[bytes(16)])
    sealed = await client._caller.sealed(read, await image_shares(client, photos["obama"]))
    with pytest.raises(grpc.aio.AioRpcError, match=r"request\.instead_of: for writes only"):
        await gateway.hand_in([sealed.request] * 3, sealed)


async def write__should_be_answered_again_to_its_caller_alone(
    cluster: Cluster, client: Client, gateway: TurnedGateway, photos: dict[str, Path]
) -> None:
    """Another caller's signature under the same bytes makes another request of them."""
    await client.enrol(VICTIM, [photos["obama"]])
    sealed = await client._caller.sealed(client._caller.request(Operation.OPERATION_DELETE, VICTIM), NO_SHARES)
    await gateway.run([sealed.request] * 3, sealed)
    raw.signer(cluster, "owner").sign(sealed.request)
    with pytest.raises(grpc.aio.AioRpcError, match="stands for another write"):
        await gateway.run([sealed.request] * 3, sealed)


async def write_that_is_run_many_times_at_once__should_be_made_once(
    client: Client, gateway: TurnedGateway, photos: dict[str, Path]
) -> None:
    """Each with an attempt of its own, to all three parties, in no order."""
    await client.enrol(VICTIM, [photos["obama"]])
    asked = client._caller.request(Operation.OPERATION_RENAME, VICTIM, new_subject="renamed")
    sealed = await client._caller.sealed(asked, NO_SHARES)
    outcomes = await asyncio.gather(
        *(gateway.run([sealed.request] * 3, sealed, seconds=BRIEF) for _ in range(MANY)), return_exceptions=True
    )
    assert all(not isinstance(one, BaseException) or isinstance(one, grpc.aio.AioRpcError) for one in outcomes)
    async with asyncio.timeout(60):
        while True:  # parties of different attempts do not meet: those end in time, and then one goes through
            try:
                answers = await gateway.run([sealed.request] * 3, sealed)
                break
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
                await asyncio.sleep(0.5)
    opened = opening.open_all([answer.result for answer in answers], sealed.context, sealed.reply_keys)
    assert opening.changed(opened) == 1
    assert [row.subject for row in await client.subjects()] == ["renamed"]
    assert len(await client.references("renamed")) == 1
