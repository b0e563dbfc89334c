"""A party killed at any point of a write leaves it done at all three parties or at none; the rest of the table takes longer."""

import asyncio
from collections.abc import Iterator

import pytest
from visard.cluster import free_port_base

from tests.conftest import UNLIMITED
from tests.recovery.crash_table import CrashingCluster, Table


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
    ("refresh", 1, "after stage"),
    ("refresh", 0, "inside commit"),
    ("refresh", 2, "before stage"),
]


@pytest.mark.parametrize(("operation", "party", "point"), ROWS)
async def killed_party__should_leave_writes_whole(table: Table, operation: str, party: int, point: str) -> None:
    outcome = await table.attempt(operation, party, point)
    assert outcome.reached
    assert outcome.problems == []
