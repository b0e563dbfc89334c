"""Old sealing keys are of no use to a gateway: clients refuse them, and what was recorded stays sealed once they are erased.

A gateway that has turned runs in this process, with the real gateway's certificate, between real clients and real parties. It
records what passes, and has stolen a party's private key from its disk.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from visard.capture import Chip, capture
from visard.client import Client, Connection
from visard.cluster import Cluster, free_port_base
from visard.errors import SealError, UntrustedKey
from visard_common.rpc import FaultInterceptor
from visard_common.tls import SERVER_OPTIONS, Tls
from visard_common.vouching import VouchingInterceptor
from visard_gateway.config import GatewayConfig
from visard_gateway.parties import Parties
from visard_gateway.registry import ModelRegistryServicer
from visard_gateway.relay import Relay
from visard_gateway.servicer import FaceMatchingServicer
from visard_party.intake.keyring import HOUR_MS
from visard_wire.sealing import Context, key_id, open_share
from visard_wire.v1 import common_pb2, gateway_pb2, gateway_pb2_grpc

from tests.sealed import age, named, now_ms, on_disk, statement

VICTIM = 1
WORDS = 2 * 3 * 150 * 150


class Thief(FaceMatchingServicer):
    """A gateway that keeps the parties' statements and the uploads, and offers what it likes in place of a party's key."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.statements: list[common_pb2.PartyKey] = []
        self.offers: common_pb2.PartyKey | None = None
        self.uploads: list[common_pb2.Upload] = []

    async def GetParties(self, request: Any, context: Any) -> gateway_pb2.GetPartiesResponse:
        answer = await super().GetParties(request, context)
        self.statements.append(answer.parties[VICTIM])
        if self.offers is not None:
            answer.parties[VICTIM].CopyFrom(self.offers)
        return answer

    async def Compare(self, request_iterator: Any, context: Any) -> gateway_pb2.Result:
        async def recorded() -> AsyncIterator[common_pb2.Upload]:
            async for message in request_iterator:
                self.uploads.append(message)
                yield message

        return await super().Compare(recorded(), context)

    def opened(self, key: X25519PrivateKey) -> int:
        """Bytes of the victim's share of the last upload, opened with a key; raises SealError."""
        context = Context.from_request(self.uploads[0].header.request)
        sealed = b"".join(u.chunk.data for u in self.uploads if u.HasField("chunk") and u.chunk.party == VICTIM)
        return len(open_share(key, context, VICTIM, sealed)[1])


@pytest.fixture
async def thief(cluster: Cluster) -> AsyncIterator[tuple[Thief, Connection]]:
    """The gateway that has turned, and the connection of a client to it that remembers nothing."""
    certs, address = cluster.home / "certs", f"127.0.0.1:{free_port_base()}"
    tls = Tls(ca=certs / "ca.pem", cert=certs / "gateway.pem", key=certs / "gateway.key")
    addresses = (cluster.address("party0"), cluster.address("party1"), cluster.address("party2"))
    config = GatewayConfig(listen=address, tls=tls, parties=addresses)
    parties = Parties(addresses, tls)
    servicer = Thief(config, parties, Relay(config, parties))
    registry = ModelRegistryServicer(config, parties, Relay(config, parties))
    server = grpc.aio.server(interceptors=[FaultInterceptor(), VouchingInterceptor(tls)], options=SERVER_OPTIONS)
    gateway_pb2_grpc.add_FaceMatchingServicer_to_server(servicer, server)
    gateway_pb2_grpc.add_ModelRegistryServicer_to_server(registry, server)
    server.add_secure_port(address, tls.server_credentials())
    await server.start()
    yield servicer, replace(Connection.from_home(cluster.home), gateway=address, seen=None)
    await server.stop(1)
    await parties.close()


@pytest.fixture
def chip(photos: dict[str, Path]) -> Chip:
    return capture(photos["obama"])


async def refreshed(cluster: Cluster) -> None:
    async with Client(Connection.from_home(cluster.home, "admin")) as administrator:
        await administrator.admin.refresh()


async def refresh__should_rotate_the_key_of_every_party(cluster: Cluster) -> None:
    before = [max(key.term for key in on_disk(cluster, party)) for party in range(3)]
    await refreshed(cluster)
    after = [max(key.term for key in on_disk(cluster, party)) for party in range(3)]
    assert all(new.serial > old.serial for old, new in zip(before, after, strict=True))


async def stolen_key__should_be_of_no_use_where_a_newer_one_was_seen(
    cluster: Cluster, thief: tuple[Thief, Connection], chip: Chip, tmp_path: Path
) -> None:
    gateway, connection = thief
    async with Client(connection) as client:
        await client.compare(chip, chip)
        old = gateway.statements[-1]
        stolen = named(cluster, VICTIM, key_id(old.public_key))
        await refreshed(cluster)
        client._caller._keys = None
        await client.compare(chip, chip)
        assert gateway.statements[-1].serial > old.serial
        gateway.offers, gateway.uploads = old, []
        client._caller._keys = None
        with pytest.raises(UntrustedKey, match=f"party {VICTIM} is older than one that was seen before"):
            await client.compare(chip, chip)
    assert not gateway.uploads
    # another program of the same caller has seen nothing but for what the file remembers
    home = replace(connection, seen=tmp_path / "serials")
    gateway.offers = None
    async with Client(home) as client:
        await client.compare(chip, chip)
    gateway.offers, gateway.uploads = old, []
    async with Client(home) as client:
        with pytest.raises(UntrustedKey, match="older"):
            await client.compare(chip, chip)
    assert not gateway.uploads
    # the limit, as the threat model states it: who has seen nothing believes a key until its statement ends
    async with Client(connection) as fresh:
        await fresh.compare(chip, chip)
    assert gateway.opened(stolen) == WORDS * 4


async def stolen_key__should_be_of_no_use_to_anybody_once_its_statement_is_over(
    cluster: Cluster, thief: tuple[Thief, Connection], chip: Chip
) -> None:
    gateway, connection = thief
    stolen, now = X25519PrivateKey.generate(), now_ms()
    public = stolen.public_key().public_bytes_raw()
    begins, ends = now - 25 * HOUR_MS - 1, now - 1
    for changed in ({}, {"not_after_unix_ms": now + HOUR_MS}, {"serial": now + 1}):
        # as the party signed it, with its own key, 25 hours ago; and as the gateway would like it to read
        gateway.offers = statement(
            cluster.home / "certs", VICTIM, public, not_before_unix_ms=begins, not_after_unix_ms=ends
        )
        for field, value in changed.items():
            setattr(gateway.offers, field, value)
        async with Client(connection) as fresh:
            reason = "exactly this statement" if "not_after_unix_ms" in changed else "has expired"
            with pytest.raises(UntrustedKey, match=rf"party {VICTIM}.*{reason}"):
                await fresh.compare(chip, chip)
    assert not gateway.uploads


async def statement_of_the_gateways_own__should_be_refused(
    cluster: Cluster, thief: tuple[Thief, Connection], chip: Chip
) -> None:
    gateway, connection = thief
    public = X25519PrivateKey.generate().public_key().public_bytes_raw()
    for signer in ("gateway", "party0"):
        gateway.offers = statement(cluster.home / "certs", VICTIM, public, signer=signer)
        async with Client(connection) as fresh:
            with pytest.raises(UntrustedKey, match="signed by another holder"):
                await fresh.compare(chip, chip)
    assert not gateway.uploads


async def recorded_upload__should_stay_sealed_once_the_key_is_erased(
    cluster: Cluster, thief: tuple[Thief, Connection], chip: Chip
) -> None:
    gateway, connection = thief
    async with Client(connection) as client:
        await client.compare(chip, chip)
        private = named(cluster, VICTIM, gateway.uploads[0].header.shares[VICTIM].key_id)
        assert gateway.opened(private) == WORDS * 4, "until then the party's disk opens it"
        await asyncio.to_thread(cluster.stop_one, f"party{VICTIM}")
        age(cluster, VICTIM, 26)
        await asyncio.to_thread(cluster.start, [f"party{VICTIM}"])
        left = on_disk(cluster, VICTIM)
        assert left, "a key of now"
        for key in left:
            with pytest.raises(SealError):
                gateway.opened(key.private)
        secret, data = private.private_bytes_raw(), cluster.home / f"party{VICTIM}"
        holders = [path for path in data.rglob("*") if path.is_file() and secret in path.read_bytes()]
        assert holders == []
        # the client, whose key is gone, fetches another and is served
        assert (await client.compare(chip, chip)).match
