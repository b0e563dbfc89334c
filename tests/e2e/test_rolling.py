"""Every service restarts, one at a time, under a steady load: every request is answered, and rightly.

What a caller may see is UNAVAILABLE, or RESOURCE_EXHAUSTED with a time to wait, and after sending again the answer.
"""

import asyncio
from pathlib import Path

import pytest
from visard.capture import capture
from visard.client import Client, Connection
from visard.cluster import SERVICES, Cluster
from visard.errors import Unavailable

from bench.load import Faces, Load
from bench.soak import at_rest, roll
from tests.e2e.runs import under_way
from tests.waiting import PATIENCE, becomes, until


async def rolling_restart__should_fail_no_request(cluster: Cluster, photos: dict[str, Path]) -> None:
    faces = Faces(*(capture(photos[name]) for name in ("obama", "obama2", "biden")))
    load = Load(Connection.from_home(cluster.home), faces, interval=0.1)
    running = asyncio.ensure_future(load.run())
    pids = {name: process.pid for name, process in cluster.processes.items()}
    await load.answered(2)
    await roll(cluster, load)
    load.stop()
    tally = await running
    assert tally.failures == []
    assert tally.wrong == 0
    assert tally.answered == tally.requests >= 15
    assert set(tally.retried) <= {"Unavailable", "Unreachable", "Exhausted"}, tally.retried
    assert not {name for name in SERVICES if cluster.processes[name].pid == pids[name]}


async def service_at_rest__should_keep_no_task_or_call_of_finished_runs(
    cluster: Cluster, photos: dict[str, Path]
) -> None:
    async with Client(Connection.from_home(cluster.home)) as client:
        await client.enrol("rest", [photos["obama"]])
        await client.verify("rest", photos["obama2"])

        async def settled() -> dict[str, dict[str, float]]:
            """The figures once the stock is full and the stores are quiet: the same twice in a row."""
            seen = at_rest(cluster)
            while True:
                await asyncio.sleep(1.5)
                now = at_rest(cluster)
                if now == seen:
                    return now
                seen = now

        def back() -> bool:
            """Whether nothing of these runs is left: what a service does by itself now and then ends, what is kept does not."""
            now = at_rest(cluster)
            calls = all(now[name]["calls"] == before[name]["calls"] for name in SERVICES)
            return calls and all(now[name]["tasks"] <= before[name]["tasks"] for name in SERVICES)

        async with asyncio.timeout(2 * PATIENCE):
            before = await settled()
            for _ in range(5):
                await client.verify("rest", photos["obama2"])
            run = await under_way(client, "rest", photos["obama2"])  # and one that the caller abandons
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)
            await settled()
        assert await asyncio.to_thread(becomes, back), (before, at_rest(cluster))
        await client.delete("rest")


async def stopping_party__should_finish_its_runs_and_refuse_new_ones(cluster: Cluster, photos: dict[str, Path]) -> None:
    async with Client(Connection.from_home(cluster.home)) as client:
        await client.enrol("last", [photos["obama"]])
        run = await under_way(client, "last", photos["obama2"])
        cluster.processes["party1"].terminate()
        await until(lambda: not cluster.healthy("party1"))
        async with Client(Connection.from_home(cluster.home), retry=False) as once:
            with pytest.raises(Unavailable, match="party 1"):
                await once.verify("last", photos["obama2"])
        assert (await run).match
        await asyncio.to_thread(cluster.restart, "party1")
        assert (await client.verify("last", photos["obama2"])).match
        await client.delete("last")
