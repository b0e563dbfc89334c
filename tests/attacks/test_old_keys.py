"""A gateway that has stolen a party's sealing key of yesterday cannot make a client seal to it, nor a party open for it.

On real services; what time does is shown with the statements that the real parties have signed.
"""

import asyncio
import time
from pathlib import Path

import pytest
from visard.client import Client, Connection
from visard.cluster import Cluster
from visard.errors import UntrustedKey
from visard.partykeys import trusted, verify_party_key
from visard.seen import SeenSerials
from visard.v1 import common_pb2, gateway_pb2

from services.party.keyring import ACCEPTED_LONGER_MS, HOUR_MS
from tests.conftest import sealing_key

DAY = 24 * HOUR_MS


async def statements(client: Client) -> list[common_pb2.PartyKey]:
    answer = await client._matching.GetParties(gateway_pb2.GetPartiesRequest(), timeout=20)
    return list(answer.parties)


async def rotated(cluster: Cluster) -> None:
    async with Client(Connection.from_home(cluster.home, "admin")) as administrator:
        await administrator.refresh()


async def old_statement__should_be_refused_by_who_has_seen_a_newer_one(
    cluster: Cluster, photos: dict[str, Path], tmp_path: Path
) -> None:
    ca, now = (cluster.home / "certs" / "ca.pem").read_bytes(), int(time.time() * 1000)
    async with Client(Connection.from_home(cluster.home)) as client:
        await client.enrol("kept", [photos["obama"]])
        old = await statements(client)
        stolen = [sealing_key(cluster.home / f"party{i}") for i in range(3)]
        assert [key.public_key().public_bytes_raw() for key in stolen] == [key.public_key for key in old]
        await rotated(cluster)
        new = await statements(client)
        assert all(b.serial > a.serial and b.public_key != a.public_key for a, b in zip(old, new, strict=True))
    async with Client(Connection.from_home(cluster.home)) as client:
        assert (await client.verify("kept", photos["obama2"])).match  # and has seen the new ones by that
        await client.delete("kept")
    seen = cluster.home / "sealing-serials.json"
    for party in range(3):
        offered = [old[i] if i == party else new[i] for i in range(3)]
        with pytest.raises(UntrustedKey, match=f"party {party} is older"):
            await asyncio.to_thread(trusted, ca, offered, SeenSerials(seen), now)


async def old_statement__should_end_for_everybody_after_a_day_and_an_hour(cluster: Cluster) -> None:
    """Also for a client that has seen nothing; and its time cannot be changed by anybody but the party."""
    ca, now = (cluster.home / "certs" / "ca.pem").read_bytes(), int(time.time() * 1000)
    async with Client(Connection.from_home(cluster.home)) as client:
        signed = await statements(client)
    for party, key in enumerate(signed):
        verify_party_key(ca, party, key, now)
        assert key.not_after_unix_ms - key.not_before_unix_ms == DAY + ACCEPTED_LONGER_MS
        with pytest.raises(UntrustedKey, match="expired"):
            verify_party_key(ca, party, key, key.not_after_unix_ms)
        key.not_after_unix_ms += DAY
        with pytest.raises(UntrustedKey, match="not signed as it must be"):
            verify_party_key(ca, party, key, now)
