"""A gateway that turns against its callers can ask for nothing by itself, nor change what it was asked to pass on."""

import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from visard import certs
from visard.cluster import Cluster
from visard_wire.callers import Signer
from visard_wire.v1 import common_pb2, party_pb2, party_pb2_grpc

from tests.e2e import raw

Operation = common_pb2.Operation
OPERATIONS = ("DELETE", "RENAME", "WITHDRAW", "REFRESH", "RECOVER", "VERIFY")


@pytest.fixture
async def party(cluster: Cluster) -> AsyncIterator["party_pb2_grpc.PartyAsyncStub"]:
    """A party, as the gateway reaches it."""
    async with raw.channel(cluster, cluster.address("party1"), "gateway") as channel:
        yield party_pb2_grpc.PartyStub(channel)


def request(operation: str) -> common_pb2.Request:
    kind, now = Operation.Value(f"OPERATION_{operation}"), int(time.time() * 1000)
    everything = operation in ("REFRESH", "RECOVER")
    return common_pb2.Request(
        request_id=os.urandom(16),
        operation=kind,
        subject="ada" if operation in ("DELETE", "RENAME", "VERIFY") else "",
        new_subject="eve" if operation == "RENAME" else "",
        images=1 if operation == "VERIFY" else 0,
        model="" if everything else "face",
        sent_unix_ms=now,
        share_digests=[bytes(32)] * 3,
        expires_unix_ms=now + 60_000,
    )


async def denied(party: "party_pb2_grpc.PartyAsyncStub", asked: common_pb2.Request) -> str:
    """Why a party refuses to run a request."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await party.Run(party_pb2.RunRequest(request=asked, attempt=bytes(16)), timeout=60)
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED, caught.value.details()
    return caught.value.details() or ""


@pytest.mark.parametrize("operation", OPERATIONS)
async def gateway__should_not_ask_by_itself(
    cluster: Cluster, party: "party_pb2_grpc.PartyAsyncStub", operation: str
) -> None:
    assert "request.caller" in await denied(party, request(operation))
    asked = request(operation)
    raw.signer(cluster, "gateway").sign(asked)
    assert "may ask for this" in await denied(party, asked)


@pytest.mark.parametrize("operation", OPERATIONS)
async def gateway__should_not_change_what_was_asked(
    cluster: Cluster, party: "party_pb2_grpc.PartyAsyncStub", operation: str
) -> None:
    asked = request(operation)
    raw.signer(cluster, "admin" if not asked.model else "owner").sign(asked)
    asked.request_id = os.urandom(16)  # to ask twice
    assert "exactly this request" in await denied(party, asked)


@pytest.mark.parametrize(("operation", "role"), [("WITHDRAW", "client"), ("REFRESH", "owner"), ("DELETE", "admin")])
async def callers_role__should_be_checked_by_the_parties_as_well(
    cluster: Cluster, party: "party_pb2_grpc.PartyAsyncStub", operation: str, role: str
) -> None:
    asked = request(operation)
    raw.signer(cluster, role).sign(asked)
    assert "may ask for this" in await denied(party, asked)


async def stranger__should_not_be_taken_for_a_caller(party: "party_pb2_grpc.PartyAsyncStub", tmp_path: Path) -> None:
    certs.init(tmp_path / "own")
    asked = request("DELETE")
    Signer.read(tmp_path / "own" / "client.pem", tmp_path / "own" / "client.key").sign(asked)
    assert "this deployment's authority" in await denied(party, asked)


async def share_for_an_unsigned_request__should_not_be_taken(party: "party_pb2_grpc.PartyAsyncStub") -> None:
    header = common_pb2.UploadHeader(request=request("VERIFY"))
    with pytest.raises(grpc.aio.AioRpcError, match=r"request\.caller") as caught:
        await party.Deposit(raw.stream([common_pb2.Upload(header=header)]), timeout=60)
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
