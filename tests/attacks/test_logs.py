"""No log line of any service holds a subject's name, a share, a descriptor or a key, however requests end."""

from pathlib import Path

import pytest
from visard.client import Client, Connection
from visard.cluster import SERVICES, Cluster
from visard.errors import NotFound

from tests.conftest import sealing_key

CANARY = "canary.7f3a91@example"


async def logs__should_hold_no_canary(cluster: Cluster, photos: dict[str, Path]) -> None:
    async with Client(Connection.from_home(cluster.home)) as client:
        await client.enrol(CANARY, [photos["obama"]])
        await client.verify(CANARY, photos["obama2"])
        await client.identify(photos["obama2"])
        await client.delete(CANARY)
        with pytest.raises(NotFound, match=CANARY):  # the caller is told
            await client.verify(CANARY, photos["obama2"])
    secrets = [sealing_key(cluster.home / f"party{i}").private_bytes_raw() for i in range(3)]
    secrets.append((cluster.home / "dealer.master").read_bytes())
    for name in SERVICES:
        log = (cluster.home / "logs" / f"{name}.log").read_text()
        assert log, name
        assert CANARY not in log
        for secret in secrets:
            assert secret.hex() not in log
            assert repr(secret)[2:-1] not in log
