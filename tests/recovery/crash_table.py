"""Kill each party at each point of each write, restart it, and see that nothing is lost and nothing half there.

``python -m tests.recovery.crash_table`` goes through all of them and prints the table; the tests take a sample. With
``--store mongodb`` the parties keep what they hold in a mongod of their own; ``--show FILE`` prints a table of earlier runs.
"""

import argparse
import asyncio
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn
from visard.capture import Chip
from visard.client import Client, Connection
from visard.cluster import SERVICES, Cluster, free_port_base
from visard.errors import FailedPrecondition, NotFound, ServiceError, SubjectLocked, VisardError
from visard.owner import publish
from visard.owner.compilers import compiler
from visard.owner.networks import calibration
from visard.results import StoredReference
from visard_wire.limits import DEFAULT_GALLERY

from bench.mongod import Mongod
from tests.conftest import UNLIMITED
from tests.recovery.crashing import POINTS, armed
from tests.waiting import at_rest

OPERATIONS = ("enrol", "delete", "refresh", "grant", "calibrate", "migrate", "count")
MODELS = ("face", "face-2")
DOORS = "doors"  # a gallery where one failed verification locks, with the second model
SHAPE = (3, 150, 150)
SECONDS = 90.0


class CrashingCluster(Cluster):
    """Parties that can be armed."""

    def module(self, name: str) -> str:
        return "tests.recovery.crashing" if name.startswith("party") else super().module(name)

    def armed(self, party: int) -> Path:
        return armed(self.home / f"party{party}")


@dataclass
class Outcome:
    """What became of one write."""

    operation: str
    party: int
    point: str
    reached: bool
    answered: bool
    applied: bool
    problems: list[str] = field(default_factory=list)


def small_network() -> nn.Module:
    """A network that runs in a few rounds; the writes are what is looked at."""
    torch.manual_seed(3)
    layers = [nn.Conv2d(3, 4, 9, stride=10), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 15 * 15, 16)]
    network = nn.Sequential(*layers).eval().requires_grad_(False)
    network.get_parameter("0.weight").data.div_(64)
    network.get_parameter("3.weight").data.div_(16)
    return network


def chip(number: int) -> Chip:
    pixels = np.random.default_rng(number).integers(0, 256, (150, 150, 3)).astype(np.uint8)
    return Chip(pixels, pixels)


async def publish_small(home: Path, *names: str) -> None:
    """Publish the small network at a fresh cluster, as that which faces are matched with, and enrol somebody as "anchor".

    Under these other ``names`` as well.
    """
    compiled = compiler()(
        small_network(),
        SHAPE,
        q=31,
        calibration=calibration.patterns(SHAPE)[:6],
        operating_points={"default": 1.99, "strict": 0.01},
    )
    async with Client(Connection.from_home(home, "owner"), deadline=SECONDS) as owner:
        for name in ("face", *names):
            await publish.publish(owner, name, compiled, allow_loose=True)
    async with Client(Connection.from_home(home), deadline=SECONDS) as client:
        await client.enrol("anchor", [chip(0)])


def at_doors(client: Client) -> Client:
    """A client that asks there."""
    client.model, client.gallery = MODELS[1], DOORS
    return client


class Table:
    """A running cluster and the rows that were tried on it."""

    def __init__(self, cluster: CrashingCluster) -> None:
        self.cluster = cluster
        self.number = 0

    async def prepare(self) -> None:
        await publish_small(self.cluster.home, *MODELS[1:])
        async with self.client("admin") as administrator:
            await administrator.galleries.create(DOORS, enrol=["*"], verify=["*"], lock_after=1)

    def client(self, role: str = "client", *, retry: bool = True) -> Client:
        return Client(Connection.from_home(self.cluster.home, role), deadline=SECONDS, retry=retry)

    async def attempt(self, operation: str, party: int, point: str) -> Outcome:
        """One row. The client does not try again: what an answer says must hold, and what failed must be whole or absent."""
        self.number += 1
        subject = f"subject-{self.number}"
        async with self.client() as client, self.client("admin") as administrator:
            if operation in ("delete", "migrate"):
                await client.enrol(subject, [chip(self.number)])
            if operation == "count":
                await at_doors(client).enrol(subject, [chip(self.number)])
                client.model, client.gallery = MODELS[0], DEFAULT_GALLERY
            versions = await self.versions(client, administrator)
            await at_rest(client)  # the one attempt is to come by the point
            self.cluster.armed(party).write_text(point)
            answered = await self.ask(operation, subject)
            reached = not self.cluster.armed(party).exists()
            self.cluster.armed(party).unlink(missing_ok=True)
            if reached:
                await asyncio.to_thread(self.restart, party)
            outcome = Outcome(operation, party, point, reached, answered, applied=False)
            await self.judge(outcome, client, administrator, subject, versions)
            return outcome

    async def ask(self, operation: str, subject: str) -> bool:
        """Whether the write was answered, by the one attempt that it gets."""
        async with (
            self.client(retry=False) as client,
            self.client("admin", retry=False) as administrator,
            self.client("owner", retry=False) as owner,
        ):
            try:
                if operation == "enrol":
                    await client.enrol(subject, [chip(self.number)])
                elif operation == "delete":
                    await client.delete(subject)
                elif operation == "migrate":
                    assert (await client.migrate(subject, chip(self.number), MODELS[1])).migrated
                elif operation == "count":
                    stranger = chip(-self.number % 10_000)
                    assert not (await at_doors(client).verify(subject, stranger, operating_point="strict")).match
                elif operation == "grant":
                    await administrator.admin.grant(f"enroller/{subject}")
                elif operation == "calibrate":
                    await owner.models.set_points("face", {"default": 1.9 - self.number / 1000}, allow_loose=True)
                else:
                    await administrator.admin.refresh()
            except VisardError:
                return False
        return True

    def restart(self, party: int) -> None:
        name = f"party{party}"
        self.cluster.processes[name].wait(SECONDS)
        self.cluster.kill(name)
        self.cluster.start([name])
        end = time.monotonic() + SECONDS
        for service in SERVICES:
            while not self.cluster.healthy(service):
                assert time.monotonic() < end, f"{service} is not healthy"
                time.sleep(0.05)

    async def versions(self, client: Client, administrator: Client) -> dict[str, int]:
        """Each reference's version, each right's, and the model's program, when the parties have come to agree about it."""
        end = time.monotonic() + SECONDS
        while True:
            try:
                found = [row for name in MODELS for row in await self.references(client, name)]
                rights = {right.grantee: 1 for right in await administrator.admin.rights()}
                programs = {m.name: int.from_bytes(m.program_digest, "big") for m in await client.models.list()}
                return rights | programs | {row.reference_id: row.version for row in found}
            except (ServiceError, FailedPrecondition, NotFound):
                if time.monotonic() > end:
                    raise
                await asyncio.sleep(0.2)

    async def references(self, client: Client, model: str) -> list[StoredReference]:
        """Everybody's with a model."""
        client.model = model
        try:
            return [row for s in await client.subjects() for row in await client.references(s.subject)]
        finally:
            client.model = MODELS[0]

    async def judge(
        self, outcome: Outcome, client: Client, administrator: Client, subject: str, before: dict[str, int]
    ) -> None:
        await asyncio.sleep(0.3)
        end = time.monotonic() + SECONDS
        while not (found := await self.audited(administrator)):  # recovery asks again every two seconds
            if time.monotonic() > end:
                outcome.problems.append("the audit is not clean")
                break
            await asyncio.sleep(0.3)
        after = await self.versions(client, administrator)
        changed = {k for k in before.keys() | after.keys() if before.get(k) != after.get(k)}
        counted = outcome.operation == "count" and await self.locked(client, subject)
        outcome.applied = bool(changed) or counted
        # all but the programs; of somebody who is moved the old reference and the new one
        expected = {"refresh": len(before) - len(MODELS), "migrate": 2, "count": 0}.get(outcome.operation, 1)
        if found and len(changed) not in (0, expected):
            outcome.problems.append(f"{len(changed)} of {expected} references changed")
        if outcome.answered and not outcome.applied:
            outcome.problems.append("an acknowledged write is lost")
        if not (await client.verify("anchor", chip(0))).match:
            outcome.problems.append("an old reference does not match any more")
        if f"enroller/{subject}" in after:
            await administrator.admin.revoke(f"enroller/{subject}")
        for client.model in MODELS if outcome.operation in ("enrol", "delete", "migrate") else ():
            if subject in {s.subject for s in await client.subjects()}:
                if not (await client.verify(subject, chip(self.number))).match:
                    outcome.problems.append("the reference is there and does not match")
                await client.delete(subject)

    async def locked(self, client: Client, subject: str) -> bool:
        """Whether the subject's one failed verification is counted; it is erased then, with what is counted."""
        try:
            assert (await at_doors(client).verify(subject, chip(self.number))).match
        except SubjectLocked:
            return True
        finally:
            await client.delete(subject)
            client.model, client.gallery = MODELS[0], DEFAULT_GALLERY
        return False

    @staticmethod
    async def audited(administrator: Client) -> bool:
        try:
            status = await administrator.status()
            return (await administrator.admin.audit()).clean and status.ready
        except VisardError:
            return False


async def run(cluster: CrashingCluster, operations: list[str], file: Path) -> None:
    """Every party at every point of these operations, a line of JSON each; what the file holds already is left out."""
    table, known = Table(cluster), {(row.operation, row.party, row.point) for row in read([file])}
    await table.prepare()
    for operation, point, party in itertools.product(operations, POINTS, range(3)):
        if (operation, party, point) not in known:
            outcome = await table.attempt(operation, party, point)
            with file.open("a") as lines:
                print(json.dumps(outcome.__dict__), file=lines)


def read(files: list[Path]) -> list[Outcome]:
    """The attempts in these files."""
    lines = [line for file in files if file.exists() for line in file.read_text().splitlines()]
    return [Outcome(**json.loads(line)) for line in lines]


@contextmanager
def cluster_on(store: str) -> Iterator[CrashingCluster]:
    """Five services, and a server for what the parties keep."""
    with tempfile.TemporaryDirectory() as folder:
        server = Mongod(Path(folder) / "mongod", replica_set=True) if store == "mongodb" else None
        if server is not None:
            server.start()
            store = server.uri("party{party}")
        cluster = CrashingCluster(Path(folder) / "home", free_port_base(), store=store, options=UNLIMITED)
        cluster.prepare()
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()
            if server is not None:
                server.stop()


def show(rows: list[Outcome]) -> int:
    """The table in Markdown: what became of the write when party 0, 1, 2 was killed; how many rows have problems."""
    print("| killed at | " + " | ".join(OPERATIONS) + " |\n|---|" + "---|" * len(OPERATIONS))
    for point in POINTS:
        cells = [" ".join(_word(row) for row in rows if (row.point, row.operation) == (point, o)) for o in OPERATIONS]
        print(f"| {point} | " + " | ".join(cells) + " |")
    kills = [row for row in rows if row.reached]
    bad = [row for row in rows if row.problems]
    points = {row.point for row in kills}
    print(f"\n{len(kills)} kills at {len(points)} points, in {len(rows)} attempts: {len(bad)} with problems")
    for row in bad:
        print(row)
    return len(bad)


def _word(row: Outcome) -> str:
    if row.problems:
        return "BROKEN"
    if not row.reached:
        return "-"  # the operation does not come to this point there
    return "done" if row.applied else "undone"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", choices=("sqlite", "mongodb"), default="sqlite")
    parser.add_argument("--operations", default=",".join(OPERATIONS), help="comma-separated")
    parser.add_argument("--json", type=Path, default=Path("bench/out/crashes.jsonl"), help="file; it is continued")
    parser.add_argument("--show", type=Path, nargs="+", help="only print what is in these files")
    options = parser.parse_args()
    if not options.show:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        with cluster_on(options.store) as cluster:
            asyncio.run(run(cluster, options.operations.split(","), options.json))
    sys.exit(1 if show(read(options.show or [options.json])) else 0)


if __name__ == "__main__":
    main()
