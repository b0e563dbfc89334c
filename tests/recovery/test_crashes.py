"""A party killed at any point of a write leaves it done at all three parties or at none; the rest of the table takes longer."""

import asyncio
from collections.abc import Iterator

import pytest
from visard.cluster import free_port_base
from visard.errors import SubjectLocked

from tests.conftest import UNLIMITED
from tests.recovery.crash_table import CrashingCluster, Table, at_doors, chip
from tests.waiting import at_rest, until


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Table]:
    cluster = CrashingCluster(tmp_path_factory.mktemp("crashing"), free_port_base(), options=UNLIMITED)
    cluster.prepare()
    try:
        cluster.start()
        made = Table(cluster)
        asyncio.run(made.prepare())
        yield made
    finally:
        cluster.stop()


ROWS = [
    ("enrol", 0, "after stage"),
    ("enrol", 1, "kit deleted"),
    ("enrol", 2, "inside commit"),
    ("enrol", 1, "after commit"),
    ("delete", 0, "before commit"),
    ("delete", 2, "inside stage"),
    ("grant", 1, "after stage"),
    ("grant", 2, "inside commit"),
    ("grant", 0, "before commit"),
    ("calibrate", 0, "after stage"),
    ("calibrate", 1, "inside commit"),
    ("calibrate", 2, "inside stage"),
    ("calibrate", 2, "before commit"),
    ("migrate", 0, "after stage"),
    ("migrate", 1, "inside commit"),
    ("migrate", 2, "before commit"),
    ("count", 0, "after stage"),
    ("count", 1, "inside commit"),
    ("refresh", 1, "after stage"),
    ("refresh", 0, "inside commit"),
    ("refresh", 2, "before stage"),
]


@pytest.mark.parametrize(("operation", "party", "point"), ROWS)
async def killed_party__should_leave_writes_whole(table: Table, operation: str, party: int, point: str) -> None:
    outcome = await table.attempt(operation, party, point)
    assert outcome.reached
    assert outcome.problems == []


async def count_of_failures__should_survive_whatever_references_survive(table: Table) -> None:
    """A restart, new shares, a lost store, another name; it goes with the last reference."""
    everybody = {"enrol": ["*"], "verify": ["*"]}
    async with table.client() as client, table.client("admin") as admin:
        await admin.galleries.change("doors", lock_after=4, **everybody)

        async def agree() -> bool:
            return await table.audited(admin)

        async def fail(subject: str) -> None:
            assert not (await client.verify(subject, chip(8001), operating_point="strict")).match

        await at_doors(client).enrol("ada", [chip(8000)])
        rows = (await admin.admin.audit()).counts[0]
        await fail("ada")
        await asyncio.to_thread(table.cluster.restart, "party0")
        await at_rest(client)
        await fail("ada")
        await admin.admin.refresh()
        await fail("ada")
        await admin.admin.recover(2)
        await until(agree)
        assert (await admin.admin.audit()).counts[0] == rows + 1
        assert await client.rename("ada", "eve") == 1
        await fail("eve")
        with pytest.raises(SubjectLocked):
            await client.verify("eve", chip(8000))
        assert await client.delete("eve") == 1
        await until(agree)
        assert (await admin.admin.audit()).counts[0] == rows - 1, "the reference, and what was counted"
        await admin.galleries.change("doors", lock_after=1, **everybody)
