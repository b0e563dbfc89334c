"""Real services and real photos: a folder is enrolled once, though the program is killed half way; a group is recognised."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from visard import SyncClient
from visard.cluster import Cluster
from visard.connection import Connection

from tests import photos
from tests.e2e.test_cli import visard

PREFIX = "bulk-"
HEARD = 2  # answers
HELD = {f"{PREFIX}{subject}": count for subject, count in photos.PEOPLE.items()}


@pytest.fixture
def people(cluster: Cluster, shared: Path, tmp_path: Path) -> Iterator[Path]:
    """A folder of people, of whom nobody is enrolled afterwards."""
    yield photos.folder_of_people(shared, tmp_path / "people", PREFIX)
    with SyncClient(Connection.from_home(cluster.home)) as client:
        for found in client.subjects():
            if found.subject in HELD:
                client.delete(found.subject)


# the third answer has come, and so its references are stored; before the journal says so the program ends
DYING = f"""
import os, signal
from visard.bulk.journal import Journal
from visard.cli import main

made, heard = Journal.made, []

def dying(journal, sent):
    if len(heard) == {HEARD}:
        os.kill(os.getpid(), signal.SIGKILL)
    heard.append(sent)
    made(journal, sent)

Journal.made = dying
main()
"""


def lines(folder: Path, kind: str) -> list[dict[str, str]]:
    """Those of one kind in the folder's journal."""
    journal = folder.with_name(f"{folder.name}.visard-journal")
    whole = journal.read_text().splitlines(keepends=True) if journal.exists() else []
    return [found for line in whole if line.endswith("\n") and kind in (found := json.loads(line))]


def killed_enrolment__should_go_on_with_nothing_twice_and_nothing_lost(
    cluster: Cluster, people: Path, tmp_path: Path
) -> None:
    """Each photo in a request of its own: two are known to be made, one is made and nobody knows, others are under way."""
    listed = tmp_path / "people.csv"
    files = sorted(people.glob("*/*.jpg"))
    rows = [f"{file.parent.name},{file.relative_to(tmp_path)},photo {k}\n" for k, file in enumerate(files)]
    listed.write_text("subject,file,note\n" + "".join(rows))
    command = ["enrol", "--from", str(listed), "--force", "--largest", "--json"]
    environment = os.environ | {"VISARD_HOME": str(cluster.home)}
    killed = subprocess.run([sys.executable, "-c", DYING, *command], env=environment, timeout=300, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(lines(listed, "made")) == HEARD < len(files) - 1
    assert len(lines(listed, "sent")) > HEARD
    again = visard(cluster, *command)
    assert again.returncode == 0, again.stderr
    counts = json.loads(again.stdout)
    assert (counts["enrolled"] + counts["already"], counts["refused"]) == (len(files), 0)
    with SyncClient(Connection.from_home(cluster.home)) as client:
        assert {one.subject: one.references for one in client.subjects() if one.subject in HELD} == HELD
        stored = [row for subject in HELD for row in client.references(subject)]
    assert sorted(row.metadata.decode() for row in stored) == sorted(f"photo {k}" for k in range(len(files)))
    told = {name for line in lines(listed, "made") for name in line["references"]}
    assert told == {row.reference_id for row in stored}
    third = json.loads(visard(cluster, *command).stdout)
    assert (third["enrolled"], third["already"]) == (0, len(files))


def group__should_be_recognised_face_by_face(cluster: Cluster, people: Path, shared: Path, tmp_path: Path) -> None:
    known = [subject for subject in HELD if subject != f"{PREFIX}Tara_Reid"]
    for file in (people / f"{PREFIX}Tara_Reid").iterdir():
        file.unlink()
    assert visard(cluster, "enrol", "--from", people, "--force", "--largest").returncode == 0
    picture, drawn = photos.group(shared, tmp_path / "group.jpg"), tmp_path / "named.png"
    answer = visard(cluster, "identify", picture, "--all-faces", "--force", "-o", drawn, "--json")
    assert answer.returncode == 0, answer.stderr
    found = [face["subject"] for face in json.loads(answer.stdout)["faces"]]
    assert found == [known[0], None, known[1]]
    assert drawn.exists()
