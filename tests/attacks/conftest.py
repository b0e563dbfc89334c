"""Victims and attackers that several attacks share."""

from collections.abc import AsyncIterator

import pytest
from visard.client import Client, Connection
from visard.cluster import Cluster
from visard_wire.v1 import party_pb2_grpc

from tests.attacks.turned import TurnedGateway
from tests.e2e import raw


@pytest.fixture
async def gateway(cluster: Cluster) -> AsyncIterator[TurnedGateway]:
    channels = [raw.channel(cluster, cluster.address(f"party{i}"), "gateway") for i in range(3)]
    yield TurnedGateway([party_pb2_grpc.PartyStub(channel) for channel in channels])
    for channel in channels:
        await channel.close(None)


@pytest.fixture
async def client(cluster: Cluster) -> AsyncIterator[Client]:
    async with Client(Connection.from_home(cluster.home)) as connected:
        yield connected
        for subject in await connected.subjects():
            await connected.delete(subject.subject)
