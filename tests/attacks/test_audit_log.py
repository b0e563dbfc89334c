"""Who asked for what is in three logs that agree, whatever became of it; a line that was tampered with is found."""

import asyncio
import json
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from visard import auditlog
from visard.client import Client, Connection
from visard.cluster import SERVICES, Cluster
from visard.errors import NotFound, PermissionDenied
from visard_wire.chain import Entry

from tests.attacks.test_takeover import OTHER, VICTIM, as_caller
from tests.e2e.test_cli import visard
from tests.waiting import PATIENCE

CANARY = "canary.91c2@example"
AGAIN = ("UNAVAILABLE", "RESOURCE_EXHAUSTED", "ABORTED")  # what a client sends again, on a machine that is busy


@pytest.fixture
async def administrator(cluster: Cluster) -> AsyncIterator[Client]:
    async with Client(Connection.from_home(cluster.home, "admin")) as client:
        yield client


async def fetched(administrator: Client, begin: int, subject: str, count: int) -> list[auditlog.PartyLog]:
    """The logs of requests about a subject, when each party has so many."""
    async with asyncio.timeout(PATIENCE):
        while True:
            logs = await administrator.admin.audit_log(begin)
            logs = [replace(log, entries=tuple(e for e in log.entries if _counts(e, begin, subject))) for log in logs]
            if all(len(log.entries) >= count for log in logs):
                return logs
            await asyncio.sleep(0.1)


def _counts(entry: Entry, begin: int, subject: str) -> bool:
    return entry.subject == subject and entry.time_unix_ms >= begin and entry.code not in AGAIN


async def logs__should_name_callers_and_agree(
    cluster: Cluster, administrator: Client, photos: dict[str, Path], tmp_path: Path
) -> None:
    begin = int(time.time() * 1000)
    async with as_caller(cluster, VICTIM) as victim, as_caller(cluster, OTHER) as other:
        await victim.enrol(CANARY, [photos["obama"]])
        async with as_caller(cluster, "verifier") as verifier:
            await verifier.verify(CANARY, photos["obama2"])
            await verifier.verify(CANARY, photos["biden"])
        with pytest.raises(PermissionDenied):
            await other.enrol(CANARY, [photos["biden"]])
        with pytest.raises(PermissionDenied):
            await other.rename(CANARY, "eve")
        await victim.delete(CANARY)
        with pytest.raises(NotFound):
            await victim.delete(CANARY)
    logs = await fetched(administrator, begin, CANARY, 7)
    kiosk, kiosk_8 = f"enroller/{VICTIM}", f"enroller/{OTHER}"
    for log in logs:
        assert [(e.caller, e.operation, e.new_subject, e.code) for e in log.entries] == [
            (kiosk, "enrol", "", "OK"),
            ("verifier/default", "verify", "", "OK"),
            ("verifier/default", "verify", "", "OK"),  # a match and none look alike
            (kiosk_8, "enrol", "", "PERMISSION_DENIED"),
            (kiosk_8, "rename", "eve", "PERMISSION_DENIED"),
            (kiosk, "delete", "", "OK"),
            (kiosk, "delete", "", "NOT_FOUND"),
        ]
    found = auditlog.compare(logs, begin, settle_ms=0)
    assert (found.differences, found.incomplete) == ((), 0)
    file = tmp_path / "log.jsonl"
    told = visard(cluster, "admin", "audit-log", "--export", file, "--json")
    asked = json.loads(told.stdout)["asked"]
    assert [kiosk_8, "rename", "PERMISSION_DENIED"] in [row[:3] for row in asked]
    assert visard(cluster, "admin", "audit-log", "--verify", file).returncode == 0
    lines = file.read_text().splitlines()
    assert len(lines) == sum(log["entries"] + 2 for log in json.loads(told.stdout)["parties"])
    changed = next(k for k, line in enumerate(lines) if CANARY in line and "PERMISSION_DENIED" in line)
    file.write_text("\n".join(lines).replace(lines[changed], lines[changed].replace(kiosk_8, kiosk)))
    verified = visard(cluster, "admin", "audit-log", "--verify", file)
    assert verified.returncode == 1
    assert f"line {changed + 1} is not what party 0 wrote" in verified.stdout


async def other_logs__should_name_no_caller(cluster: Cluster, photos: dict[str, Path]) -> None:
    async with as_caller(cluster, VICTIM) as victim, as_caller(cluster, OTHER) as other:
        await victim.enrol(CANARY, [photos["obama"]])
        with pytest.raises(PermissionDenied):
            await other.delete(CANARY)
        await victim.delete(CANARY)
    for name in SERVICES:
        text = (cluster.home / "logs" / f"{name}.log").read_text()
        assert CANARY not in text
        assert VICTIM not in text
        assert OTHER not in text


Tamper = Callable[[sqlite3.Connection, int], object]
TAMPERS: dict[str, Tamper] = {
    "changed": lambda db, k: db.execute("UPDATE audit SET caller = 'enroller/nobody' WHERE sequence = ?", (k,)),
    "removed": lambda db, k: db.execute("DELETE FROM audit WHERE sequence = ?", (k,)),
}


@pytest.mark.parametrize("how", TAMPERS)
async def party_that_rewrites_its_log__should_differ_from_the_others(
    cluster: Cluster, administrator: Client, photos: dict[str, Path], how: str
) -> None:
    begin = int(time.time() * 1000)
    async with as_caller(cluster, VICTIM) as victim:
        await victim.enrol(CANARY, [photos["obama"]])
        await victim.delete(CANARY)
    (entry, _) = (await fetched(administrator, begin, CANARY, 2))[1].entries
    path = cluster.home / "party1" / "visard.sqlite"
    with closing(sqlite3.connect(path, timeout=60)) as db:
        before = db.execute("SELECT * FROM audit WHERE sequence = ?", (entry.sequence,)).fetchone()
        TAMPERS[how](db, entry.sequence)
        db.commit()
        try:
            logs = await administrator.admin.audit_log(begin)
            (difference,) = auditlog.compare(logs, begin, settle_ms=0).differences
            assert difference.request_id == entry.request_id
            assert logs[1].broken() == [entry.sequence + (how == "removed")]
            assert logs[0].broken() == logs[2].broken() == []
        finally:
            db.execute(f"INSERT OR REPLACE INTO audit VALUES ({', '.join('?' * len(before))})", before)
            db.commit()


async def administrator_alone__should_read_it(cluster: Cluster) -> None:
    for role in ("verifier", "client", "owner"):
        async with Client(Connection.from_home(cluster.home, role)) as client:
            with pytest.raises(PermissionDenied, match=f"role {'enroller' if role == 'client' else role}"):
                await client.admin.audit_log()
            with pytest.raises(PermissionDenied):
                await client.admin.rights()
