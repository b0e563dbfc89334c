"""In Chromium: a key is invited, belongs to the browser, and is all that a page needs to ask real services."""

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from visard import SyncClient
from visard.cluster import Cluster
from visard.connection import Connection
from visard.invitations import invite
from visard.registrar import authority
from visard.registrar.book import Book
from visard.registrar.config import Folder, Settings

from tests.conftest import http_address, page_address
from tests.web.browsing import run, told
from tests.web.test_browser import PEOPLE

SUBJECT = "somebody-with-a-key"
NAME = "page-7"


@contextmanager
def serving(folder: Folder) -> Iterator[str]:
    """A registrar as a process; its address."""
    command = [sys.executable, "-m", "visard", "registrar", "serve", str(folder.path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            yield f"https://localhost:{json.loads(process.stderr.readline())['port']}"
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def visit(cluster: Cluster, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any, str, Folder]:
    """The answers, all that was sent, the invitation's secret, and the registrar."""
    folder, site = tmp_path_factory.mktemp("keys"), page_address(cluster)
    registrar = Folder(folder / "registrar")
    authority.make(registrar.path, cluster.home / "certs", Settings("127.0.0.1:0", f"{site}/", (site,)), ["localhost"])
    link = invite(registrar.path, NAME, "client", None, 10).link
    photos = [
        base64.b64encode((shared / "data" / "lfw-dev" / one).read_bytes()).decode() for one in list(PEOPLE.values())[:2]
    ]
    with serving(registrar) as address:
        asked = {"registrar": address, "link": link, "subject": SUBJECT, "photos": photos}
        told(folder, cluster.home / "certs", site, http_address(cluster), **asked)
        try:
            answers = run("keying.ts", folder)
        finally:
            with SyncClient(Connection.from_home(cluster.home, "admin")) as admin:
                found = admin.subjects()
            assert all(one.subject != SUBJECT for one in found)
    return answers, json.loads((folder / "sent.json").read_text()), link.partition("#invitation=")[2], registrar


def browser__should_ask_with_its_own_key(visit: tuple[Any, Any, str, Folder]) -> None:
    answers, *_ = visit
    assert answers["invited"]["role"] == f"enroller/{NAME}"
    assert (answers["enrolled"], answers["same"], answers["deleted"]) == (1, True, 1)


def key__should_be_there_after_a_reload_and_be_renewed(visit: tuple[Any, Any, str, Folder]) -> None:
    answers, _, _, registrar = visit
    assert answers["again"]["role"] == f"enroller/{NAME}"
    assert (answers["renewed"], answers["afterwards"], answers["forgotten"]) == (True, True, True)
    assert [one.role for one in Book(registrar.book).valid(0)] == [f"enroller/{NAME}"] * 2
    assert answers["serial"] == 7  # of a visit before


def key__should_be_read_by_nobody(visit: tuple[Any, Any, str, Folder]) -> None:
    read = visit[0]["read"]
    assert read["extractable"] is False
    assert read["read"] == ["InvalidAccessError"] * 3
    assert (read["stored"], read["seen"]) == (0, 3)


def invitation__should_be_for_one_browser_and_be_seen_by_the_registrar_alone(
    visit: tuple[Any, Any, str, Folder],
) -> None:
    answers, sent, secret, _ = visit
    assert answers["second"].startswith("PermissionDenied: the invitation was used already")
    assert "#" not in answers["invited"]["address"]
    with_secret = [one for one in sent if secret.encode() in base64.b64decode(one["body"])]
    assert {one["url"].rpartition(":")[2].partition("/")[2] for one in with_secret} == {"v1/enrol"}
    assert len(with_secret) == 2
    assert not any(secret in one["url"].partition("#")[0] or secret in one["authorization"] for one in sent)


def requests__should_each_have_a_proof_of_their_own(visit: tuple[Any, Any, str, Folder], cluster: Cluster) -> None:
    proofs = [one["authorization"] for one in visit[1] if one["url"].startswith(f"{http_address(cluster)}/visard.v1.")]
    assert len(proofs) >= 5
    assert all(one.startswith("Visard ") for one in proofs)
    assert len(set(proofs)) == len(proofs)
