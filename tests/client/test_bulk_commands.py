"""Commands about many photos: exit status, what stands where, reports, pictures; and a bar only where there is a terminal."""

import asyncio
import csv
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from PIL import Image
from visard import certs, cli
from visard.bulk import BulkProgress
from visard.cli.bars import pace

from tests.cells import label
from tests.client.keeping import Keeping, keeping
from tests.photos import PEOPLE

ALL = sum(PEOPLE.values())


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Keeping]:
    """Services that keep what is enrolled, and a home that leads to them."""
    certs.init(tmp_path / "certs")
    async with keeping(tmp_path / "certs") as (double, connection):
        (tmp_path / "client.toml").write_text(f'gateway = "{connection.gateway}"\ncerts = "certs"\n')
        yield double


async def visard(home: Path, *arguments: object) -> tuple[int | None, str, str]:
    """Exit status, standard output and standard error of a command."""
    program, pipe = "import sys; from visard.cli import main; main()", asyncio.subprocess.PIPE
    command = sys.executable, "-c", program, *map(str, arguments)
    environment = os.environ | {"VISARD_HOME": str(home)}
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=pipe, stderr=pipe)
    out, told = await process.communicate()
    return process.returncode, out.decode(), told.decode()


async def enrol_from__should_tell_of_all_and_report_what_was_refused(
    served: Keeping, people: Path, tmp_path: Path
) -> None:
    (people / "Bono" / "no.jpg").write_bytes(b"no picture")
    enrol = ("enrol", "--from", people, "--largest", "--force", "--note", "door 7", "--json")
    status, out, told = await visard(tmp_path, *enrol, "--report", tmp_path / "refused.csv")
    assert (status, told) == (1, "")
    found = json.loads(out)
    assert found.pop("seconds") > 0
    assert found == {"total": ALL + 1, "enrolled": ALL, "already": 0, "refused": 1, "left": 0, "dry_run": False}
    with (tmp_path / "refused.csv").open() as lines:
        (row,) = csv.DictReader(lines)
    assert (row["outcome"], row["subject"], row["kind"]) == ("refused", "Bono", "NotAnImage")
    assert row["file"] == str(people / "Bono" / "no.jpg")
    assert {one.metadata for own in served.kept.values() for one in own} == {b"door 7"}
    (people / "Bono" / "no.jpg").unlink()
    status, out, told = await visard(tmp_path, *enrol[:-1])
    assert (status, told) == (0, "")
    assert out.startswith(f"0 of {ALL} photos enrolled, {ALL} were before, 0 refused; ")
    assert served.count() == PEOPLE


def dry_run__should_need_no_services(
    people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VISARD_HOME", str(tmp_path / "none"))
    (people / "Bono" / "no.jpg").write_bytes(b"no picture")
    command = ["visard", "enrol", "--from", str(people), "--dry-run", "--largest", "--force", "--json"]
    monkeypatch.setattr(sys, "argv", command)
    assert cli.run() == 1
    shown = capsys.readouterr()
    assert json.loads(shown.out)["enrolled"] == ALL
    assert shown.err.startswith(f"visard: {people / 'Bono' / 'no.jpg'}: ")
    assert not people.with_name("people.visard-journal").exists()


async def folder_and_group__should_have_a_line_a_photo_and_a_face(
    served: Keeping, people: Path, group: Path, tmp_path: Path
) -> None:
    served.found = [[label(1, "ann")], []]
    (people / "Bono" / "no.jpg").write_bytes(b"no picture")
    status, out, _ = await visard(tmp_path, "identify", people / "Bono", "--largest", "--force")
    assert status == 2
    lines = [line.split("\t") for line in out.splitlines()]
    assert [Path(file).name for file, _ in lines] == ["Bono_0001.jpg", "Bono_0002.jpg", "no.jpg"]
    assert [answer[:9] for _, answer in lines] == ["ann (FMR_", "ann (FMR_", "not asked"]
    drawn = tmp_path / "drawn.jpg"
    status, out, _ = await visard(tmp_path, "identify", group, "--all-faces", "--force", "-o", drawn, "--json")
    assert status == 0
    assert [face["subject"] for face in json.loads(out)["faces"]] == ["ann"] * 3
    with Image.open(drawn) as after, Image.open(group) as before:
        assert after.size == before.size
        x, y, *_ = json.loads(out)["faces"][0]["box"]
        assert after.convert("RGB").getpixel((x + 20, y)) != before.convert("RGB").getpixel((x + 20, y))
    served.found = [[], []]
    status, out, _ = await visard(tmp_path, "identify", people / "Tara_Reid", "--force", "--json")
    assert (status, json.loads(out)["subject"]) == (1, None)


@pytest.mark.parametrize(
    "arguments",
    [
        ["enrol"],
        ["enrol", "ann"],
        ["enrol", "ann", "a.jpg", "--from", "."],
        ["enrol", "ann", "a.jpg", "--dry-run"],
        ["enrol", "--from", ".", "--report", "none/refused.csv"],
        ["enrol", "--from", "none"],
        ["identify", "."],
        ["identify", ".", "--all-faces"],
        ["identify", "a.jpg", "-o", "b.jpg"],
        ["identify", "a.jpg", "--all-faces", "--largest"],
        ["identify", "a.jpg", "--all-faces", "-o", "b.txt"],
    ],
    ids=" ".join,
)
def options_that_do_not_go_together__should_be_a_line(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["visard", *arguments])
    assert cli.run() == 2
    shown = capsys.readouterr()
    assert (shown.out, len(shown.err.splitlines())) == ("", 1)
    assert shown.err.startswith("visard: ")


def pace__should_not_count_what_was_done_before() -> None:
    assert pace(BulkProgress(100, 0, 0, 0, 0), 5.0) == "0 of 100 photos"
    assert pace(BulkProgress(100, 0, 40, 0, 0), 5.0) == "40 of 100 photos"
    found = pace(BulkProgress(100, 18, 40, 1, 1), 10.0)
    assert found == "60 of 100 photos, 2.0 a second, 20 s left, 1 refused, 1 failed"
    assert pace(BulkProgress(8000, 800, 0, 0, 0), 1000.0).endswith("0.8 a second, 2 h 30 min left")
