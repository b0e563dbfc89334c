"""The gateway holds all three shares of a face and can read none: everything that passes through it is captured and searched.

A gateway runs in this process between a real client and the real parties, and records every message in and out.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
import pytest
import torch
from visard import sharing, uploads
from visard.capture import Chip, capture
from visard.client import Client, Connection
from visard.cluster import Cluster, free_port_base
from visard.errors import InconsistentAnswer, SealError
from visard.owner import bring, publish
from visard_common.identity import Role
from visard_common.rpc import FaultInterceptor
from visard_common.tls import SERVER_OPTIONS, Tls
from visard_common.vouching import VouchingInterceptor
from visard_gateway.config import GatewayConfig
from visard_gateway.parties import Parties
from visard_gateway.registry import ModelRegistryServicer
from visard_gateway.relay import Relay
from visard_gateway.servicer import FaceMatchingServicer
from visard_wire.sealing import Context, open_share
from visard_wire.v1 import common_pb2, gateway_pb2, gateway_pb2_grpc, party_pb2

from tests.conftest import sealing_key


@dataclass
class Recorder:
    """Every byte the gateway ever held, and how it may spoil what it passes on."""

    uploads: list[common_pb2.Upload] = field(default_factory=list)
    responses: list[party_pb2.RunResponse] = field(default_factory=list)
    spoil: Any = None

    @property
    def everything(self) -> bytes:
        return b"".join(m.SerializeToString() for m in [*self.uploads, *self.responses])

    def sealed(self, party: int) -> bytes:
        return b"".join(u.chunk.data for u in self.uploads if u.HasField("chunk") and u.chunk.party == party)


class RecordingRelay(Relay):
    """A relay that keeps what it sees."""

    recorder: Recorder

    async def handle(self, uploads: Any, operation: Any, seconds: float, caller: Role) -> list[party_pb2.RunResponse]:
        async def recorded() -> AsyncIterator[common_pb2.Upload]:
            async for message in uploads:
                self.recorder.uploads.append(message)
                yield message

        responses = await super().handle(recorded(), operation, seconds, caller)
        self.recorder.responses.extend(responses)
        return self.recorder.spoil(responses) if self.recorder.spoil else responses


@dataclass
class Spied:
    """The spying gateway: its record, and how to reach it."""

    recorder: Recorder
    connection: Connection


@pytest.fixture
async def spied(cluster: Cluster) -> AsyncIterator[Spied]:
    certs, address = cluster.home / "certs", f"127.0.0.1:{free_port_base()}"
    tls = Tls(ca=certs / "ca.pem", cert=certs / "gateway.pem", key=certs / "gateway.key")
    addresses = (cluster.address("party0"), cluster.address("party1"), cluster.address("party2"))
    config = GatewayConfig(listen=address, tls=tls, parties=addresses)
    parties = Parties(addresses, tls)
    relay = RecordingRelay(config, parties)
    relay.recorder = Recorder()
    server = grpc.aio.server(interceptors=[FaultInterceptor(), VouchingInterceptor(tls)], options=SERVER_OPTIONS)
    gateway_pb2_grpc.add_FaceMatchingServicer_to_server(FaceMatchingServicer(config, parties, relay), server)
    gateway_pb2_grpc.add_ModelRegistryServicer_to_server(ModelRegistryServicer(config, parties, relay), server)
    server.add_secure_port(address, tls.server_credentials())
    await server.start()
    honest = Connection.from_home(cluster.home)
    yield Spied(relay.recorder, Connection(address, honest.ca, honest.cert, honest.key))
    await server.stop(1)
    await parties.close()


@pytest.fixture
def chip(photos: dict[str, Any]) -> Chip:
    return capture(photos["obama"])


async def gateway__should_hold_no_readable_share(
    spied: Spied, chip: Chip, photos: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[np.ndarray] = []
    original = sharing.share

    def keeping(values: np.ndarray, q: int) -> Any:
        shares = original(values, q)
        made.extend(shares)
        return shares

    monkeypatch.setattr(uploads, "share", keeping)
    async with Client(spied.connection) as client:
        assert (await client.compare(chip, photos["obama2"])).match
    held = spied.recorder.everything
    assert len(held) > 3 * 2 * chip.pixels.size * 4  # it did see all of it
    for secret in [*made, chip.pixels, chip.pixels.transpose(2, 0, 1)]:
        raw = np.ascontiguousarray(secret).tobytes()
        for start in range(0, len(raw) - 16, 4096):
            assert raw[start : start + 16] not in held
    for party in range(3):
        octets = np.frombuffer(spied.recorder.sealed(party), np.uint8)
        counts = np.bincount(octets, minlength=256)
        expected = octets.size / 256
        # chi-square with 255 degrees of freedom, upper 1e-6 quantile: sealed bytes look uniform
        assert float(((counts - expected) ** 2 / expected).sum()) < 376


async def sealed_share__should_open_with_its_partys_key_alone(cluster: Cluster, spied: Spied, chip: Chip) -> None:
    async with Client(spied.connection) as client:
        await client.compare(chip, chip)
    context = Context.from_request(spied.recorder.uploads[0].header.request)
    keys = [sealing_key(cluster.home / f"party{i}") for i in range(3)]
    sealed = spied.recorder.sealed(0)
    _, share = open_share(keys[0], context, 0, sealed)
    assert len(share) == 2 * chip.pixels.size * 4
    for party in (1, 2):
        with pytest.raises(SealError):
            open_share(keys[party], context, party, sealed)


def forged_results(responses: list[party_pb2.RunResponse]) -> list[party_pb2.RunResponse]:
    for response in responses:
        response.result.ciphertext = response.result.ciphertext[:-1] + b"x"
    return responses


def swapped_results(responses: list[party_pb2.RunResponse]) -> list[party_pb2.RunResponse]:
    first, second = responses[0].result.ciphertext, responses[1].result.ciphertext
    responses[0].result.ciphertext, responses[1].result.ciphertext = second, first
    return responses


def missing_result(responses: list[party_pb2.RunResponse]) -> list[party_pb2.RunResponse]:
    return responses[:2]


@pytest.mark.parametrize("spoil", [forged_results, swapped_results, missing_result])
async def invented_result__should_not_be_believed(spied: Spied, chip: Chip, spoil: Any) -> None:
    spied.recorder.spoil = spoil
    async with Client(spied.connection) as client:
        with pytest.raises((SealError, InconsistentAnswer)):
            await client.compare(chip, chip)


async def result_of_another_request__should_not_be_believed(spied: Spied, chip: Chip) -> None:
    async with Client(spied.connection) as client:
        await client.compare(chip, chip)
        old = [party_pb2.RunResponse.FromString(r.SerializeToString()) for r in spied.recorder.responses]
        spied.recorder.spoil = lambda _: old
        with pytest.raises(SealError):
            await client.compare(chip, chip)


async def answers__should_be_noise_to_the_gateway(spied: Spied, chip: Chip, photos: dict[str, Any]) -> None:
    async with Client(spied.connection) as client:
        await client.compare(chip, photos["obama2"])
        await client.compare(chip, photos["biden"])
    matched, other = spied.recorder.responses[:3], spied.recorder.responses[3:]
    assert [len(r.result.ciphertext) for r in matched] == [len(r.result.ciphertext) for r in other]
    assert (
        gateway_pb2.Result(results=[r.result for r in matched]).ByteSize()
        == gateway_pb2.Result(results=[r.result for r in other]).ByteSize()
    )


async def opened_output__should_be_noise_to_the_gateway(cluster: Cluster, spied: Spied, photos: dict[str, Any]) -> None:
    """Of a picture that is half black and half white the gateway sees neither half, nor any two equal answers."""
    network = bring.load("visard.owner.networks.demonstrations:sharpen")
    assert network.shape is not None
    picture = np.zeros((100, 100, 3), np.uint8)
    picture[50:] = 255
    async with Client(Connection.from_home(cluster.home, "owner"), model="spied") as owner:
        await publish.publish(owner, "spied", bring.compile_network(network, opens=True))
        try:
            async with Client(spied.connection, model="spied") as client:
                answers = [(await client.run(picture)).values for _ in range(2)]
        finally:
            await owner.models.withdraw("spied")
    expected = network.module(torch.from_numpy(uploads.as_planes(picture, network.shape)[None]).float())[0].numpy()
    assert all(np.abs(answer - expected).max() < 0.02 for answer in answers)
    sealed = [response.result.ciphertext for response in spied.recorder.responses]
    assert len(sealed) == len(set(sealed)) == 6
    for ciphertext in sealed:
        octets = np.frombuffer(ciphertext, np.uint8)
        assert octets.size > expected.size * 4
        counts, even = np.bincount(octets, minlength=256), octets.size / 256
        assert float(((counts - even) ** 2 / even).sum()) < 376
