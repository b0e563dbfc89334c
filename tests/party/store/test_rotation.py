"""mongod reads its certificate again when the mounted files change: the container beside it, on a genuine server.

``mongosh`` is played by node, with as much of the shell as the scripts use; pymongo asks the server.
"""

import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from pymongo.errors import OperationFailure
from visard import certs

from bench.mongod import PASSWORD, Documents, Mongod
from tests.party.store.test_mongo_user import FORBIDDEN, PARTY, UNAUTHORIZED
from tests.waiting import becomes

USER = "rotation"
# connect, adminCommand and db of the shell; node waits for the answer
SHELL = """
const { execFileSync } = require("child_process");
const ask = (uri, name, command) => execFileSync(process.env.PYTHON, [process.env.ASK, uri, name, JSON.stringify(command)]);
globalThis.connect = (uri) => ({ adminCommand: (command) => ask(uri, "admin", command) });
const database = (name) => ({
  createRole: ({ role, ...more }) => ask(process.env.ROOT_URI, name, { createRole: role, ...more }),
  createUser: ({ user, ...more }) => ask(process.env.ROOT_URI, name, { createUser: user, ...more }),
});
globalThis.db = { getSiblingDB: database };
require(process.argv.at(-1));
"""
ASK = """
import json, sys
from pymongo import MongoClient
with MongoClient(sys.argv[1]) as client:
    client[sys.argv[2]].command(json.loads(sys.argv[3]))
"""


@dataclass
class Pod:
    """A server, and what its pod mounts: files in a folder instead of the paths of the manifest."""

    server: Mongod
    folder: Path

    @property
    def pki(self) -> Path:
        return self.server.directory / "certs"

    @property
    def environment(self) -> dict[str, str]:
        more = {"PYTHON": sys.executable, "ASK": str(self.folder / "ask.py"), "ROOT_URI": self.server.root_uri()}
        return os.environ | more | {"PATH": f"{self.folder}:{os.environ['PATH']}"}

    def prepare(self) -> None:
        """The scripts, the password and the shell."""
        node = shutil.which("node")
        assert node is not None, "this test runs JavaScript with node"
        (self.folder / "ask.py").write_text(ASK)
        (self.folder / "shell.js").write_text(SHELL)
        (self.folder / "mongosh").write_text(f'#!/bin/sh\nexec {node} {self.folder}/shell.js "$@"\n')
        (self.folder / "mongosh").chmod(0o755)
        for name, value in (("username", USER), ("password", PASSWORD)):
            (self.folder / name).write_text(value)
        places = {
            "/pki/tls-combined.pem": f"{self.pki}/mongod.pem",
            "/pki/tls.crt": f"{self.pki}/gateway.pem",
            "/pki/ca.crt": f"{self.pki}/ca.pem",
            "/rotation-password/": f"{self.folder}/",
            "/rotation/": f"{self.folder}/",
            "/tmp/looked": f"{self.folder}/looked",
            "27017": str(self.server.port),
            "sleep 10": "sleep 0.2",
        }
        for name in ("rotate.sh", "rotate.js", "rotation.js"):
            text = (PARTY / name).read_text()
            for place, here in places.items():
                text = text.replace(place, here)
            (self.folder / name).write_text(text)

    def shell(self, script: str) -> None:
        command = [self.folder / "mongosh", self.folder / script]
        subprocess.run(command, env=self.environment, timeout=60, check=True)

    def renew(self) -> bytes:
        """Another certificate where the server's lies; its contents."""
        certs.renew(self.pki, "gateway")
        both = (self.pki / "gateway.key").read_bytes() + (self.pki / "gateway.pem").read_bytes()
        (self.pki / "mongod.pem").write_bytes(both)
        return x509.load_pem_x509_certificate((self.pki / "gateway.pem").read_bytes()).public_bytes(Encoding.DER)

    def shown(self) -> bytes | None:
        """What a new connection is shown."""
        context = ssl.create_default_context(cafile=str(self.pki / "ca.pem"))
        address = ("localhost", self.server.port)
        with (
            socket.create_connection(address, 30) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as s,
        ):
            return s.getpeercert(binary_form=True)

    def said(self) -> list[str]:
        """The events in the container's log."""
        return [json.loads(line)["event"] for line in (self.folder / "log").read_text().splitlines()]


@pytest.fixture(scope="module")
def pod(database: Mongod, tmp_path_factory: pytest.TempPathFactory) -> Pod:
    """A server whose certificate changes, with the user that the image makes when the data directory is empty."""
    made = Pod(database, tmp_path_factory.mktemp("pod"))
    made.prepare()
    made.shell("rotation.js")
    return made


@pytest.fixture
def container(pod: Pod) -> Iterator[Pod]:
    """The one that looks."""
    with (pod.folder / "log").open("w") as log:
        process = subprocess.Popen(["bash", pod.folder / "rotate.sh"], env=pod.environment, stdout=log)
        yield pod
        process.terminate()
        assert process.wait(60) == 0, "it ends when it is told to"


def renewed_certificate__should_be_shown_to_new_connections_and_leave_the_old_ones(container: Pod) -> None:
    before = container.shown()
    with Documents(container.server.root_uri(), maxPoolSize=1) as client:
        connection = client.admin.command("hello")["connectionId"]
        after = container.renew()
        assert after != before
        assert becomes(lambda: container.shown() == after)
        assert client.admin.command("hello")["connectionId"] == connection


def what_does_not_fit__should_leave_the_certificate_and_be_tried_again(container: Pod) -> None:
    before = container.shown()
    key = (container.pki / "mongod.pem").read_bytes()
    (container.pki / "mongod.pem").write_bytes(key[:300])
    assert becomes(lambda: "mongod has not read its certificate: trying again" in container.said())
    assert container.shown() == before
    after = container.renew()
    assert becomes(lambda: container.shown() == after)


def authority_that_was_replaced__should_not_keep_it_from_reading(container: Pod) -> None:
    """What the server shows until then is of an authority that nobody trusts any more."""
    for path in (*container.pki.glob("*.pem"), *container.pki.glob("*.key")):
        path.unlink()
    certs.init(container.pki)
    after = container.renew()
    assert becomes(lambda: _same(container, after))


def _same(pod: Pod, certificate: bytes) -> bool:
    try:
        return pod.shown() == certificate
    except ssl.SSLError:
        return False


@pytest.mark.parametrize(("name", "command"), FORBIDDEN, ids=[f"{d}-{next(iter(c))}" for d, c in FORBIDDEN])
def its_user__should_not(pod: Pod, name: str, command: dict[str, object]) -> None:
    with Documents(
        pod.server.root_uri().replace("root:", f"{USER}:").replace("battery-of-staples", PASSWORD)
    ) as client:
        with pytest.raises(OperationFailure) as refused:
            client[name].command(command)
        assert refused.value.code == UNAUTHORIZED
