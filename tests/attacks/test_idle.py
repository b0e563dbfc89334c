"""Whoever has a certificate, and sends nothing or something that unfolds, neither shuts others out nor fills the memory."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import grpc
import psutil
import pytest
from grpc import StatusCode
from visard.cluster import Cluster
from visard_common.limits import UNREAD_BYTES
from visard_wire.v1 import gateway_pb2, gateway_pb2_grpc, party_pb2, party_pb2_grpc

from tests.e2e import raw
from tests.waiting import PATIENCE, until

CALLS = 1_100
CONNECTIONS = 14
UNFOLDED = 20 << 20
GROWN = 2 * 40 * UNREAD_BYTES  # what 40 calls may have lying unread, and as much again; unfolded it would be 800 MiB
ALONE = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1))
TARGETS = {
    "gateway": "visard.v1.FaceMatching/GetStatus",
    "party1": "visard.v1.Party/GetStatus",
    "dealer": "visard.v1.Dealer/Fetch",
}


@asynccontextmanager
async def connections(cluster: Cluster, service: str, role: str, count: int) -> AsyncIterator[list[grpc.aio.Channel]]:
    """Connections of their own with one certificate."""
    folder = cluster.home / "certs"
    pem = [(folder / name).read_bytes() for name in ("ca.pem", f"{role}.key", f"{role}.pem")]
    credentials = grpc.ssl_channel_credentials(*pem)
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(
                grpc.aio.secure_channel(cluster.address(service), credentials, options=ALONE)
            )
            for _ in range(count)
        ]


def begun(channel: grpc.aio.Channel, method: str) -> Any:
    """A call of which nothing but its beginning is sent."""
    return channel.stream_stream(f"/{method}")(timeout=120)  # type: ignore[call-arg]  # its stub knows no defaults


async def honest(cluster: Cluster, service: str) -> None:
    """Whoever should be answered is answered; raises AioRpcError."""
    if service == "gateway":  # by another caller: one certificate is one caller
        async with raw.channel(cluster, cluster.address(service), "owner") as channel:
            ready = gateway_pb2_grpc.FaceMatchingStub(channel).GetStatus(gateway_pb2.GetStatusRequest(), timeout=60)
            assert (await ready).ready
    elif service == "party1":
        async with raw.channel(cluster, cluster.address(service), "gateway") as channel:
            asked = party_pb2_grpc.PartyStub(channel).GetKey(party_pb2.GetKeyRequest(), timeout=60)
            assert (await asked).party == 1


@pytest.mark.parametrize("service", TARGETS)
async def idle_calls__should_not_shut_others_out(cluster: Cluster, service: str) -> None:
    """The server has 1,024 places; each of these calls used to hold one for as long as its caller liked."""
    async with connections(cluster, service, "client", CONNECTIONS) as channels:
        held = [begun(channels[k % CONNECTIONS], TARGETS[service]) for k in range(CALLS)]
        ends = [asyncio.ensure_future(call.code()) for call in held]
        await asyncio.wait(
            ends, return_when=asyncio.FIRST_COMPLETED, timeout=PATIENCE
        )  # the first is turned away: they are there
        await honest(cluster, service)
        codes = await asyncio.wait_for(asyncio.gather(*ends), PATIENCE)  # and none stays
        assert set(codes) <= {
            StatusCode.PERMISSION_DENIED,  # at a party and the dealer
            StatusCode.RESOURCE_EXHAUSTED,
            StatusCode.DEADLINE_EXCEEDED,
            StatusCode.CANCELLED,  # a status and the end of its stream arrive together; which is read first is chance
        }
        assert (StatusCode.PERMISSION_DENIED in codes) == (service != "gateway")
        await until(lambda: cluster.healthy(service))


def rss(cluster: Cluster, service: str) -> int:
    return int(psutil.Process(cluster.processes[service].pid).memory_info().rss)


def unfolding(field: int) -> bytes:
    """A request whose field holds 20 MiB of zeros."""
    size, varint = UNFOLDED, bytearray()
    while size > 0x7F:
        varint.append(size & 0x7F | 0x80)
        size >>= 7
    varint.append(size)
    return bytes([field << 3 | 2]) + bytes(varint) + bytes(UNFOLDED)


@pytest.fixture(scope="module")
def bomb() -> bytes:
    return unfolding(1)


@pytest.mark.parametrize(
    ("service", "role", "method"),
    [
        ("gateway", "client", "visard.v1.FaceMatching/ListSubjects"),
        ("gateway", "client", "visard.v1.FaceMatching/Verify"),
        ("party1", "gateway", "visard.v1.Party/ListSubjects"),  # whom a party lets in
        ("party1", "party2", "visard.v1.Peer/Exchange"),
        ("party1", "client", "grpc.health.v1.Health/Check"),
        ("dealer", "party1", "visard.v1.Dealer/Fetch"),
    ],
)
async def unfolding_messages__should_not_fill_the_memory(
    cluster: Cluster, bomb: bytes, service: str, role: str, method: str
) -> None:
    """40 of them, 20 MiB each, which is less than 1 MiB in all on the wire; and then the same without compression."""
    assert len(gzip.compress(bomb, 6)) < 30_000
    before = rss(cluster, service)
    async with connections(cluster, service, role, 4) as channels:
        for compression in (grpc.Compression.Gzip, None):
            calls = [channels[k % 4].stream_stream(f"/{method}") for k in range(40)]  # type: ignore[call-arg]
            codes = await asyncio.gather(*(sent(call, bomb, compression) for call in calls))
            grown = rss(cluster, service) - before
            print(f"{service} {method} {compression}: {grown >> 20} MiB more, {set(codes)}")
            assert StatusCode.OK not in codes
            assert grown < GROWN, f"{grown >> 20} MiB"
    await until(lambda: cluster.healthy(service))


async def sent(call: Any, message: bytes, compression: grpc.Compression | None) -> StatusCode:
    """How a call with this message ends."""

    async def one() -> AsyncIterator[bytes]:
        yield message

    return await call(one(), timeout=PATIENCE, compression=compression).code()  # type: ignore[no-any-return]
