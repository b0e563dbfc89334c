"""The pages for people, in Chromium, at real services: with consent and without, for everybody, on a phone, in two languages."""

import re
import socket
import ssl
import tomllib
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from visard import SyncClient
from visard.cluster import Cluster
from visard.connection import Connection

from tests.conftest import http_address, page_address
from tests.web.paging import NAME, used

SUBJECT = "somebody-at-a-page"
PHONE = 360  # pixels
# of a withdrawal's two questions, where nothing waits or nothing is enrolled; a browser says so in its console
NOTHING = "Failed to load resource: the server responded with a status of 404 ()"
GRPC = ("listen", "health_listen")
PATHS = ("/", "/index.html", "/page.js", "/config.json", "/enrol", "/visard.v1.FaceMatching/GetStatus")


@pytest.fixture(scope="module")
def answers(cluster: Cluster, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("pages")
    try:
        return used(folder, cluster, shared / "data" / "lfw-dev", SUBJECT)
    except BaseException:
        _forget(cluster)
        raise


def _forget(cluster: Cluster) -> None:
    """Tests leave no subject, whatever became of them; another key has enrolled these."""
    at = Connection.from_home
    with SyncClient(at(cluster.home, "admin")) as admin, SyncClient(at(cluster.home)) as client:
        admin.admin.grant("enroller/default")
        if f"{SUBJECT}-again" in {one.subject for one in client.subjects(waiting=True)}:
            client.review(f"{SUBJECT}-again", accept=False)
        if SUBJECT in {one.subject for one in client.subjects()}:
            client.delete(SUBJECT)
        admin.admin.revoke("enroller/default")


def somebody__should_be_enrolled_with_consent_alone(answers: Any) -> None:
    assert answers["without consent"] == [False, 0]
    assert answers["enrolled"]["kind"] == "good"
    assert SUBJECT in answers["enrolled"]["text"]
    assert re.fullmatch(r"1 ?2026-11, \d{4}-\d\d-\d\dT[\d:.]+Z", answers["consent"])


def form__should_be_for_whoever_filled_it_alone(answers: Any) -> None:
    """Nothing can be changed while it works, and nothing stays for the next person; a camera that nobody wants is off."""
    assert answers["frozen"] is True
    assert SUBJECT in answers["same"]["text"]
    assert answers["left behind"] == [False, "", None]
    assert answers["clicked twice"] is None


def key__should_be_the_browsers_own_and_its_invitation_leave_the_address(answers: Any, cluster: Cluster) -> None:
    assert answers["address"] == f"{page_address(cluster)}/#/key"
    assert (answers["invited"], answers["kept"]) == (f"Requests are signed as enroller/{NAME}.",) * 2
    assert answers["key"] == "Requests are signed as enroller/default."  # from files, once the other is forgotten


def people__should_be_told_who_they_are(answers: Any) -> None:
    assert answers["same"]["kind"] == "good"
    assert (answers["verified, other"]["kind"], answers["identified"]["kind"]) == ("bad", "good")
    assert answers["identified"]["text"] == SUBJECT


def somebody_enrolled_already__should_wait_until_an_operator_says_no(answers: Any) -> None:
    assert answers["waits"].startswith(f"{SUBJECT}-again waits for a review")
    assert answers["rejected"]["text"] == f"{SUBJECT}-again: done."


def withdrawal__should_erase(answers: Any) -> None:
    assert answers["withdrawn"]["text"] == f"{SUBJECT} is erased. References: 1."
    assert answers["afterwards"]["error"] == "NotFound"
    assert answers["withdrawn, waiting"]["text"] == f"{SUBJECT}-again is erased. References: 1."
    assert answers["withdrawn, again"]["error"] == "NotFound"


def operator__should_see_three_parties(answers: Any) -> None:
    assert [row[:6] for row in answers["parties"]] == ["0ready", "1ready", "2ready"]
    assert len(answers["headings"]) == 6


def every_page__should_be_for_everybody(answers: Any) -> None:
    """Nothing that axe-core objects to, in either language; on a phone nothing is beside the screen."""
    assert answers["wrong"] == {}
    assert len(answers["wide"]) == 13
    assert {name: wide for name, wide in answers["wide"].items() if wide > PHONE} == {}
    assert answers["german"] == ["de", "Der Schlüssel dieses Browsers"]
    assert answers["focus"] == "H1"


def pages__should_keep_to_their_policy(answers: Any, cluster: Cluster) -> None:
    assert (answers["violations"], answers["wrongs"]) == ([], [NOTHING] * 4)
    assert set(answers["scripts"]) <= {page_address(cluster), http_address(cluster)}


def gateway__should_serve_no_page_on_any_of_its_ports(cluster: Cluster) -> None:
    """Whoever could change a page could change what it does with a face: there is none to change."""
    certs = cluster.home / "certs"
    context = ssl.create_default_context(cafile=str(certs / "ca.pem"))
    context.load_cert_chain(certs / "client.pem", certs / "client.key")
    settings = tomllib.loads((cluster.home / "gateway.toml").read_text())
    ports = {name: settings[name].rpartition(":")[2] for name in settings if name.endswith("listen")}
    assert set(ports) == {"listen", "http_listen", "metrics_listen", "health_listen"}
    for name, port in ports.items():
        secured = context if name in ("listen", "http_listen") else None
        for path in PATHS:
            answer = _asked(int(port), path, secured)
            assert answer or name in GRPC, (name, path)  # which do not speak a browser's HTTP without gRPC
            said = answer.lower()
            assert not any(one in said for one in (b"<html", b"<!doctype", b"<script", b"text/html", b"javascript")), (
                name,
                path,
            )


def _asked(port: int, path: str, context: ssl.SSLContext | None) -> bytes:
    """All that a port says to a browser that wants a page; nothing where it does not speak HTTP/1.1."""
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/html\r\nConnection: close\r\n\r\n"
    with suppress(OSError), ExitStack() as opened:
        connection = opened.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
        if context:
            connection = opened.enter_context(context.wrap_socket(connection, server_hostname="localhost"))
        connection.sendall(request.encode())
        return b"".join(iter(lambda: connection.recv(65536), b""))
    return b""
