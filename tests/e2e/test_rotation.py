"""Certificates and sealing keys are renewed while requests run: none fails, and a client with old keys is served."""

import asyncio
from pathlib import Path

from visard import certs
from visard.capture import capture
from visard.client import Client, Connection
from visard.cluster import SERVICES, Cluster

from bench.load import Faces, Load
from tests.e2e.test_metrics import figures


async def renewal_of_everything__should_fail_no_request(cluster: Cluster, photos: dict[str, Path]) -> None:
    folder = cluster.home / "certs"
    faces = Faces(*(capture(photos[name]) for name in ("obama", "obama2", "biden")))
    load = Load(Connection.from_home(cluster.home), faces, interval=0.05)
    running = asyncio.ensure_future(load.run())
    await load.answered(2)
    for name in (*SERVICES, "client"):
        certs.renew(folder, name)
    await load.answered(3)
    async with Client(Connection.from_home(cluster.home, "admin")) as administrator:
        await administrator.admin.refresh()  # the sealing keys, too
    await load.answered(3)
    async with Client(Connection.from_home(cluster.home)) as newcomer:  # the new certificates and keys, from the start
        assert (await newcomer.compare(faces.enrolled, faces.same)).match
    load.stop()
    tally = await running
    assert (tally.failures, tally.wrong) == ([], 0)
    assert set(tally.retried) <= {"Unavailable", "Exhausted"}, "a refresh is a write, and others wait for it"
    seen = figures(cluster)
    for party in ("party0", "party1", "party2"):
        assert seen[party]["visard_shares_accepted_total{key=previous}"] > 0
        assert seen[party]["visard_shares_accepted_total{key=current}"] > 0


async def client_with_keys_that_are_gone__should_fetch_them_again(cluster: Cluster, photos: dict[str, Path]) -> None:
    """As after a night: the key that the client knows is neither offered nor accepted any more."""
    async with Client(Connection.from_home(cluster.home)) as client:
        await client.enrol("rotated", [photos["obama"]])
        for party in (2, 0):
            await asyncio.to_thread(cluster.stop_one, f"party{party}")
            for file in (cluster.home / f"party{party}" / "sealing").glob("*.key"):
                file.unlink()
            await asyncio.to_thread(cluster.start, [f"party{party}"])
            assert (await client.verify("rotated", photos["obama2"])).match
        await client.delete("rotated")


async def services__should_start_again_with_renewed_keys(cluster: Cluster, photos: dict[str, Path]) -> None:
    await asyncio.to_thread(cluster.restart, "party1")
    async with Client(Connection.from_home(cluster.home)) as client:
        assert (await client.compare(photos["obama"], photos["obama2"])).match
