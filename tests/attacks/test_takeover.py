"""Nobody takes over what another has enrolled: not with a certificate of the same role, nor with the gateway's help."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import pytest
from visard import certs
from visard.client import Client, Connection
from visard.cluster import Cluster
from visard.envelopes import NO_SHARES, seal
from visard.errors import AlreadyExists, NotFound, PermissionDenied, VisardError
from visard.results import Right
from visard_wire.v1 import common_pb2, gateway_pb2_grpc, party_pb2, party_pb2_grpc

from tests.e2e import raw

Operation = common_pb2.Operation
VICTIM, OTHER = "kiosk-7", "kiosk-8"


def as_caller(cluster: Cluster, name: str) -> Client:
    """A client with the certificate of an enroller of this name, or of a role."""
    folder = cluster.home / "certs"
    if not (folder / f"{name}.pem").exists():
        certs.issue(folder, name, f"visard://enroller/{name}")
    return Client(Connection.from_home(cluster.home, name))


@pytest.fixture
async def victim(cluster: Cluster, photos: dict[str, Path]) -> AsyncIterator[Client]:
    async with as_caller(cluster, VICTIM) as client:
        await client.enrol("ada", [photos["obama"]])
        yield client
        for subject in await client.subjects():
            await client.delete(subject.subject)


@pytest.fixture
async def other(cluster: Cluster) -> AsyncIterator[Client]:
    async with as_caller(cluster, OTHER) as client:
        yield client


@pytest.fixture
async def verifier(cluster: Cluster) -> AsyncIterator[Client]:
    async with as_caller(cluster, "verifier") as client:
        yield client


@pytest.fixture
async def administrator(cluster: Cluster) -> AsyncIterator[Client]:
    async with as_caller(cluster, "admin") as client:
        yield client
        for right in await client.admin.rights():
            await client.admin.revoke(right.grantee, right.subject)


@pytest.fixture
async def parties(cluster: Cluster) -> AsyncIterator[list["party_pb2_grpc.PartyAsyncStub"]]:
    """The three parties, as the gateway reaches them."""
    async with AsyncExitStack() as stack:
        channels = [raw.channel(cluster, cluster.address(f"party{i}"), "gateway") for i in range(3)]
        yield [party_pb2_grpc.PartyStub(await stack.enter_async_context(channel)) for channel in channels]


Attack = Callable[[Client, Path, str], Awaitable[object]]
ATTACKS: dict[str, Attack] = {
    "another face": lambda client, face, _: client.enrol("ada", [face]),
    "another face instead": lambda client, face, _: client.enrol("ada", [face], replace=True),
    "deletion": lambda client, _, __: client.delete("ada"),
    "deletion of one reference": lambda client, _, reference: client.delete("ada", [reference]),
    "another name": lambda client, _, __: client.rename("ada", "eve"),
}


@pytest.mark.parametrize("attack", ATTACKS)
async def another_enroller__should_not_change_what_somebody_has_enrolled(
    victim: Client, other: Client, photos: dict[str, Path], attack: str
) -> None:
    before = await victim.references("ada")
    with pytest.raises(PermissionDenied, match="administrator can grant") as caught:
        await ATTACKS[attack](other, photos["biden"], before[0].reference_id)
    assert VICTIM not in str(caught.value), "whose it is stays untold"
    assert await victim.references("ada") == before
    assert [row.enrolled_by for row in before] == [f"enroller/{VICTIM}"]
    assert [row.enrolled_by for row in await other.references("ada")] == [""]
    assert not (await victim.verify("ada", photos["biden"])).match
    assert (await victim.verify("ada", photos["obama2"])).match


async def name_that_is_taken__should_not_be_reached_by_renaming(
    victim: Client, other: Client, photos: dict[str, Path]
) -> None:
    await other.enrol("eve", [photos["biden"]])
    with pytest.raises(AlreadyExists):
        await other.rename("eve", "ada")
    assert await other.delete("eve") == 1
    assert not (await victim.verify("ada", photos["biden"])).match


async def name_that_is_free__should_go_to_one_of_two_who_ask_at_once(
    victim: Client, other: Client, photos: dict[str, Path]
) -> None:
    for _ in range(3):
        both = (victim.enrol("free", [photos["obama"]]), other.enrol("free", [photos["biden"]]))
        answers = await asyncio.gather(*both, return_exceptions=True)
        refused = [answer for answer in answers if isinstance(answer, BaseException)]
        assert [type(error) for error in refused] == [PermissionDenied], answers
        first = victim if refused[0] is answers[1] else other
        assert len(await first.references("free")) == 1
        await first.delete("free")


async def verifier__should_verify_and_change_nothing(victim: Client, verifier: Client, photos: dict[str, Path]) -> None:
    assert (await verifier.verify("ada", photos["obama2"])).match
    assert (await verifier.compare(photos["obama"], photos["obama2"])).match
    reference = (await victim.references("ada"))[0].reference_id
    attempts = [attack(verifier, photos["biden"], reference) for attack in ATTACKS.values()]
    for attempt in (
        *attempts,
        verifier.enrol("new", [photos["biden"]]),
        verifier.subjects(),
        verifier.references("ada"),
    ):
        with pytest.raises(PermissionDenied, match="role verifier"):
            await attempt
    assert [s.subject for s in await victim.subjects()] == ["ada"]


def request(operation: str, **fields: object) -> common_pb2.Request:
    now = int(time.time() * 1000)
    valid = {"request_id": os.urandom(16), "model": "face", "sent_unix_ms": now, "expires_unix_ms": now + 60_000}
    kind = Operation.Value(f"OPERATION_{operation}")
    return common_pb2.Request(operation=kind, **({"share_digests": [bytes(32)] * 3} | valid | fields))  # type: ignore[arg-type]


async def refusals(
    parties: list["party_pb2_grpc.PartyAsyncStub"],
    asked: common_pb2.Request,
    envelopes: Sequence[common_pb2.SealedEnvelope | None] = (None, None, None),
) -> set[str]:
    """Why the three parties refuse to run a request that is brought to them with the gateway's certificate."""
    attempt = os.urandom(16)
    runs = [
        party.Run(party_pb2.RunRequest(request=asked, attempt=attempt, envelope=envelope), timeout=60)
        for party, envelope in zip(parties, envelopes, strict=True)
    ]
    answers = await asyncio.gather(*runs, return_exceptions=True)
    errors = [answer for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
    assert [error.code() for error in errors] == [grpc.StatusCode.PERMISSION_DENIED] * 3, answers
    return {error.details() or "" for error in errors}


@pytest.mark.parametrize("role", ["verifier", OTHER])
@pytest.mark.parametrize("operation", ["DELETE", "RENAME"])
async def gateway_that_helps__should_not_help(
    cluster: Cluster,
    victim: Client,
    other: Client,
    parties: list["party_pb2_grpc.PartyAsyncStub"],
    role: str,
    operation: str,
) -> None:
    asked = request(operation, subject="ada", new_subject="eve" if operation == "RENAME" else "")
    sealed = seal(asked, NO_SHARES, await other._caller.party_keys(), raw.signer(cluster, role))
    told = await refusals(parties, sealed.request, sealed.envelopes)
    assert all(("may ask for this" if role == "verifier" else "administrator can grant") in text for text in told)
    assert len(await victim.references("ada")) == 1


async def verifiers_share__should_not_be_taken_by_a_party(
    cluster: Cluster, victim: Client, parties: list["party_pb2_grpc.PartyAsyncStub"]
) -> None:
    asked = request("ENROL", subject="ada", images=1)
    raw.signer(cluster, "verifier").sign(asked)
    for number, party in enumerate(parties):
        header = common_pb2.UploadHeader(request=asked, shares=[common_pb2.SealedShareInfo(party=number, size=1)])
        with pytest.raises(grpc.aio.AioRpcError, match="may ask for this") as caught:
            await party.Deposit(raw.stream([common_pb2.Upload(header=header)]), timeout=60)
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert len(await victim.references("ada")) == 1


async def right__should_let_exactly_that_caller_in_until_it_is_revoked(
    cluster: Cluster, victim: Client, other: Client, administrator: Client, photos: dict[str, Path]
) -> None:
    await administrator.admin.grant(f"enroller/{OTHER}", "ada")
    assert await administrator.admin.rights() == [Right("face", "ada", f"enroller/{OTHER}")]
    await victim.enrol("bob", [photos["obama"]])
    await other.enrol("ada", [photos["biden"]])
    assert (await victim.verify("ada", photos["biden"])).match
    for stranger, subject in ((other, "bob"), (as_caller(cluster, "kiosk-9"), "ada")):
        async with stranger if stranger is not other else AsyncExitStack():
            with pytest.raises(PermissionDenied, match="administrator can grant"):
                await stranger.delete(subject)
    with pytest.raises(PermissionDenied):  # one reference is another's now, and the right is not to the old one alone
        await victim.rename("ada", "eve")
    with pytest.raises(AlreadyExists, match="already"):
        await administrator.admin.grant(f"enroller/{OTHER}", "ada")
    await administrator.admin.revoke(f"enroller/{OTHER}", "ada")
    with pytest.raises(NotFound):
        await administrator.admin.revoke(f"enroller/{OTHER}", "ada")
    with pytest.raises(PermissionDenied):
        await other.delete("ada")
    own = [row.reference_id for row in await other.references("ada") if row.enrolled_by == f"enroller/{OTHER}"]
    assert await other.delete("ada", own) == 1  # what it enrolled itself it may take back
    assert not (await victim.verify("ada", photos["biden"])).match


async def right_to_a_model__should_hold_for_every_subject(
    victim: Client, other: Client, administrator: Client, photos: dict[str, Path]
) -> None:
    await administrator.admin.grant(f"enroller/{OTHER}")
    assert await other.rename("ada", "eve") == 1
    assert (await victim.references("eve"))[0].enrolled_by == f"enroller/{VICTIM}", "who enrolled it stays"
    await administrator.admin.revoke(f"enroller/{OTHER}")
    with pytest.raises(PermissionDenied):
        await other.delete("eve")
    assert await victim.delete("eve") == 1


@pytest.mark.parametrize("role", [None, "gateway", "party0", "client", "owner"])
@pytest.mark.parametrize("operation", ["GRANT", "REVOKE"])
async def rights__should_be_given_by_administrators_alone(
    cluster: Cluster,
    parties: list["party_pb2_grpc.PartyAsyncStub"],
    administrator: Client,
    role: str | None,
    operation: str,
) -> None:
    asked = request(operation, subject="ada", grantee=f"enroller/{OTHER}")
    if role is not None:
        raw.signer(cluster, role).sign(asked)
    assert all("request.caller" in text for text in await refusals(parties, asked))
    changed = request(operation, subject="bob", grantee=f"enroller/{OTHER}")
    raw.signer(cluster, "admin").sign(changed)
    changed.grantee = "enroller/gateways-friend"
    assert all("exactly this request" in text for text in await refusals(parties, changed))
    assert await administrator.admin.rights() == []


@pytest.mark.parametrize(
    "grantee", ["", "enroller", "enroller/", "verifier/x", "admin/x", "enroller/a b", "enroller/" + 65 * "x"]
)
async def grantee__should_be_somebody_who_can_enrol(administrator: Client, grantee: str) -> None:
    with pytest.raises(VisardError, match=r"request\.grantee"):
        await administrator.admin.grant(grantee, "ada")


def for_party(upload: list[common_pb2.Upload], number: int) -> list[common_pb2.Upload]:
    """What the gateway passes on to one party."""
    header = common_pb2.UploadHeader()
    header.CopyFrom(upload[0].header)
    del header.shares[:]
    header.shares.append(upload[0].header.shares[number])
    return [common_pb2.Upload(header=header), *(part for part in upload[1:] if part.chunk.party == number)]


async def share_of_one_caller__should_not_be_enrolled_in_the_name_of_another(
    cluster: Cluster, victim: Client, parties: list["party_pb2_grpc.PartyAsyncStub"]
) -> None:
    asked = request("ENROL", subject="ada", images=1)
    async with raw.channel(cluster, cluster.address("gateway"), "client") as channel:
        keys = await raw.party_keys(gateway_pb2_grpc.FaceMatchingStub(channel))
    shares = [bytes(4 * raw.WORDS // 2)] * 3
    upload = raw.RawUpload(keys, raw.signer(cluster, OTHER), asked, shares=shares).messages()
    for number, party in enumerate(parties):
        await party.Deposit(raw.stream(for_party(upload, number)), timeout=60)
    raw.signer(cluster, VICTIM).sign(asked)  # who deposited is who signed then
    assert all("administrator can grant" in text for text in await refusals(parties, asked))
    assert len(await victim.references("ada")) == 1
