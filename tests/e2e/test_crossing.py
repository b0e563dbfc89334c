"""A gallery goes from one cluster to another, through a file, also where a party dies in between; nobody else gets it."""

import asyncio
import hashlib
import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from visard.cli.app import app
from visard.client import Client, Connection
from visard.cluster import Cluster, free_port_base
from visard.crossing import MAGIC
from visard.errors import InvalidRequest, PermissionDenied, ServiceError
from visard_common.limits import MAX_METADATA_BYTES
from visard_wire.v1 import common_pb2, crossing_pb2

from tests.conftest import UNLIMITED
from tests.recovery.crash_table import SECONDS, CrashingCluster, chip, publish_small
from tests.waiting import at_rest, until

PEOPLE = {"ada": 1, "bob": 2}
MANY = 70  # references whose notes fill more than a page


def pinned(files: dict[str, Path]) -> str:
    """A table of authorities as it stands in TOML."""
    return "{ " + ", ".join(f'"{role}" = "{file}"' for role, file in files.items()) + " }"


@pytest.fixture(scope="module")
def clusters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cluster, CrashingCluster]]:
    """A source with one authority, and a destination of operators with an authority each; each has named the other."""
    here, there = tmp_path_factory.mktemp("here"), tmp_path_factory.mktemp("there")
    roots = {f"party/{party}": there / "authorities" / f"party{party}" / "ca.pem" for party in range(3)}
    to, back = pinned(roots), pinned({"ca": here / "certs" / "ca.pem"})
    source = Cluster(here, free_port_base(), options={**UNLIMITED, "export_to": f"{{ berlin = {to} }}"})
    with_options = {**UNLIMITED, "import_from": f"{{ paris = {back} }}"}
    running: list[Cluster] = [source]
    try:
        source.prepare()
        source.start()
        destination = CrashingCluster(there, free_port_base(), options=with_options, separate=True)
        running.append(destination)
        destination.prepare()
        destination.start()
        asyncio.run(publish_small(here))
        asyncio.run(publish_small(there))
        asyncio.run(settled(source))
        asyncio.run(made(destination))
        yield source, destination
    finally:
        for one in running:
            one.stop()


async def settled(source: Cluster) -> None:
    """People in a gallery of the source."""
    async with admin(source) as client:
        await client.galleries.create("staff", enrol=["*"], verify=["*"], search=["*"])
    async with Client(Connection.from_home(source.home), gallery="staff", deadline=SECONDS) as client:
        for name, seed in PEOPLE.items():
            await client.enrol(name, [chip(seed)], metadata=b"desk 3", ttl_seconds=36000)
        note = b"n" * MAX_METADATA_BYTES
        for k in range(0, MANY, 14):
            await client.enrol(f"many{k}", [chip(100 + k)] * 14, metadata=note)


async def made(destination: Cluster) -> None:
    async with admin(destination) as client:
        await client.galleries.create("paris", enrol=["*"], verify=["*"], search=["*"])


def admin(cluster: Cluster, **options: Any) -> Client:
    return Client(Connection.from_home(cluster.home, "admin"), deadline=SECONDS, **options)


def told(capsys: pytest.CaptureFixture[str], cluster: Cluster, *arguments: str) -> dict[str, Any]:
    """What a command says."""
    app(["gallery", *arguments, "--home", str(cluster.home), "--json"], standalone_mode=False)
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


async def gallery__should_go_nowhere_that_operators_have_not_named(cluster: Cluster, tmp_path: Path) -> None:
    """Through all services: nobody is named at this cluster. And who is no administrator does not come so far."""
    path = tmp_path / "file"
    page = crossing_pb2.CrossingPage(last=True).SerializeToString()
    part = crossing_pb2.CrossingPart(pieces=[common_pb2.SealedEnvelope()] * 3)
    data = crossing_pb2.CrossingRecord(page=page, parts=[part] * 3).SerializeToString()
    path.write_bytes(MAGIC + len(data).to_bytes(4, "big") + hashlib.sha256(data).digest()[:8] + data)
    async with admin(cluster) as client:
        keys = await client.admin.recipients()
        with pytest.raises(PermissionDenied, match="lets nothing go to deployment 'berlin': export_to"):
            await client.admin.export_gallery("berlin", keys, tmp_path / "out")
        with pytest.raises(PermissionDenied, match="takes nothing from deployment 'paris': import_from"):
            await client.admin.import_gallery("paris", path)
    async with Client(Connection.from_home(cluster.home, "owner"), deadline=SECONDS) as owner:
        with pytest.raises(PermissionDenied, match="role owner"):
            await owner.admin.export_gallery("berlin", keys, tmp_path / "out")
        with pytest.raises(PermissionDenied, match="role owner"):
            await owner.admin.import_gallery("paris", path)
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


@pytest.mark.long
def gallery__should_cross_and_match_and_cross_once(
    clusters: tuple[Cluster, CrashingCluster], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, destination = clusters
    keys, file = str(tmp_path / "keys.json"), str(tmp_path / "staff.gallery")
    told(capsys, destination, "recipients", "-o", keys)
    export = ["export", "staff", "--to", "berlin", "--recipients", keys, "-o", file]
    sent = told(capsys, source, *export)
    assert (sent["references"], sent["pages"] > 1) == (len(PEOPLE) + MANY, True)
    assert stat.S_IMODE(Path(file).stat().st_mode) == 0o600
    with pytest.raises(InvalidRequest, match="exists already"):
        told(capsys, source, *export)
    asyncio.run(resumed(source, Path(keys), Path(file), tmp_path / "again"))
    asyncio.run(killed(destination, Path(file)))
    came = told(capsys, destination, "import", "paris", file, "--from", "paris")
    again = told(capsys, destination, "import", "paris", file, "--from", "paris")
    assert (came["references"], again["stored"]) == (sent["references"], 0)
    asyncio.run(matched(destination))


async def resumed(source: Cluster, keys: Path, whole: Path, file: Path) -> None:
    """Of an export that was cut off within its second page the first is kept, and the rest made anew."""
    part = file.with_name("again.part")
    data = whole.read_bytes()
    part.write_bytes(data[:-1000])
    async with admin(source, gallery="staff") as client:
        done = await client.admin.export_gallery("berlin", keys.read_bytes(), file)
        assert done.references == len(PEOPLE) + MANY
        assert file.read_bytes()[:10_000] == data[:10_000]
        assert not part.exists()
        with pytest.raises(PermissionDenied, match="export_to"):
            await client.admin.export_gallery("rome", keys.read_bytes(), file.with_name("rome"))
        assert not file.with_name("rome.part").exists()


async def killed(destination: CrashingCluster, file: Path) -> None:
    """A party dies when it has staged a page; what the file holds is stored once, whoever asks for it how often."""
    async with admin(destination, gallery="paris", retry=False) as client:
        for party, point in ((1, "inside stage"), (2, "inside commit")):
            await at_rest(client)
            destination.armed(party).write_text(point)
            with pytest.raises(ServiceError):
                await client.admin.import_gallery("paris", file)
            await until(lambda party=party: destination.processes[f"party{party}"].poll() is not None)  # type: ignore[misc]
            destination.kill(f"party{party}")
            destination.start([f"party{party}"])
        await at_rest(client)


async def matched(destination: Cluster) -> None:
    async with Client(Connection.from_home(destination.home), gallery="paris", deadline=SECONDS) as client:
        subjects = {one.subject: one.references for one in await client.subjects()}
        assert sum(subjects.values()) == len(PEOPLE) + MANY
        (kept,) = await client.references("ada")
        assert kept.metadata == b"desk 3"
        assert kept.expires_unix_ms is not None
        for name, seed in PEOPLE.items():
            assert (await client.verify(name, chip(seed))).match
    async with admin(destination) as client:
        assert (await client.admin.audit()).clean
