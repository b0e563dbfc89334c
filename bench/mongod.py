"""A genuine mongod for tests: a replica set of one with TLS and SCRAM, or a plain standalone.

Where there are passwords, each database has the user that a deployment makes (deploy/k8s/base/party/user.json), and all tests
and benches of the store run as this user.
"""

import importlib.util
import json
import os
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError
from visard import certs

Documents = MongoClient[dict[str, Any]]
USER, PASSWORD = "party", "correct-horse"
_ROOT_PASSWORD = "battery-of-staples"
_MAY = json.loads((Path(__file__).parents[1] / "deploy/k8s/base/party/user.json").read_text())
_USER_EXISTS = 51003
_START_SECONDS = 120.0


def program() -> Path:
    """The server in the package fiftyone-db."""
    spec = importlib.util.find_spec("fiftyone")
    assert spec is not None
    folders = list(spec.submodule_search_locations or ())
    return next(path for folder in folders if (path := Path(folder) / "db" / "bin" / "mongod").exists())


def _roles(database: str) -> list[dict[str, str]]:
    """Those of a deployment, but for the database's name."""
    assert {role["db"] for role in _MAY["roles"]} == {_MAY["database"]}, "in its own database and in no other"
    return [role | {"db": database} for role in _MAY["roles"]]


@dataclass
class Mongod:
    """One server over one directory; it can be stopped, killed and started again."""

    directory: Path
    replica_set: bool
    port: int = 0
    process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    def __post_init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", self.port))
            self.port = probe.getsockname()[1]
        (self.directory / "db").mkdir(parents=True, exist_ok=True)
        if self.replica_set:
            certs.init(self.directory / "certs")
            pki = self.directory / "certs"
            (pki / "mongod.pem").write_bytes((pki / "gateway.key").read_bytes() + (pki / "gateway.pem").read_bytes())
            descriptor = os.open(self.directory / "keyfile", os.O_WRONLY | os.O_CREAT, 0o400)
            with os.fdopen(descriptor, "w") as file:
                file.write("visardtests" * 4)

    def uri(self, database: str, password: str = PASSWORD) -> str:
        """What a party's configuration says."""
        if not self.replica_set:
            return f"mongodb://127.0.0.1:{self.port}/{database}"
        self._make_users(database)
        return self._uri(USER, password, database)

    def root_uri(self) -> str:
        """What the operator of the database uses, and no party has."""
        return self._uri("root", _ROOT_PASSWORD, "admin")

    def _uri(self, user: str, password: str, database: str) -> str:
        options = f"replicaSet=rs0&tls=true&tlsCAFile={self.directory / 'certs'}/ca.pem"
        return f"mongodb://{user}:{password}@localhost:{self.port}/{database}?{options}"

    def _make_users(self, database: str) -> None:
        """The party's user of a database, or of those that all three make of a name with {party} in it."""
        with Documents(self.root_uri()) as client:
            for name in sorted({database.replace("{party}", str(party)) for party in range(3)}):
                try:
                    client[name].command("createUser", USER, pwd=PASSWORD, roles=_roles(name))
                except OperationFailure as error:
                    if error.code != _USER_EXISTS:
                        raise

    def start(self) -> None:
        """Start and wait until it takes writes."""
        command = [program(), "--dbpath", self.directory / "db", "--port", str(self.port), "--bind_ip", "localhost"]
        command += ["--wiredTigerCacheSizeGB", "0.25", "--logpath", self.directory / "mongod.log", "--logappend"]
        if self.replica_set:
            pki = self.directory / "certs"
            command += ["--replSet", "rs0", "--keyFile", self.directory / "keyfile", "--tlsMode", "requireTLS"]
            command += ["--tlsCertificateKeyFile", pki / "mongod.pem", "--tlsCAFile", pki / "ca.pem"]
            command += ["--tlsAllowConnectionsWithoutCertificates"]
        self.process = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL)
        end = time.monotonic() + _START_SECONDS
        while not self._ready():
            assert self.process.poll() is None, (self.directory / "mongod.log").read_text()[-2000:]
            assert time.monotonic() < end, "mongod did not become primary"
            time.sleep(0.1)

    def _ready(self) -> bool:
        options: dict[str, Any] = {"serverSelectionTimeoutMS": 2000, "directConnection": True}
        if self.replica_set:
            options |= {"tls": True, "tlsCAFile": str(self.directory / "certs" / "ca.pem")}
        with Documents("localhost", self.port, **options) as client:
            try:
                hello = client.admin.command("hello")
                if self.replica_set and "setName" not in hello:
                    members = [{"_id": 0, "host": f"localhost:{self.port}"}]
                    client.admin.command("replSetInitiate", {"_id": "rs0", "members": members})
                    return False
                if hello.get("isWritablePrimary") and self.replica_set and not (self.directory / "user").exists():
                    client.admin.command("createUser", "root", pwd=_ROOT_PASSWORD, roles=["root"])
                    (self.directory / "user").touch()
                return bool(hello.get("isWritablePrimary"))
            except PyMongoError:
                return False

    def stop(self, *, kill: bool = False) -> None:
        """End the server, politely or not."""
        if self.process is not None:
            self.process.kill() if kill else self.process.terminate()
            self.process.wait(30)
            self.process = None
