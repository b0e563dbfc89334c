"""The Job of the try overlay makes exactly the Secrets that the pods wait for, with certificates that fit their services."""

import base64
import http.server
import importlib.util
import json
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest
from cryptography import x509
from visard import certs
from visard.certs import ROLES
from visard_common.tls import Tls

from tests.deploy.manifests import K8S, WORKLOADS, of_kind, rendered, secrets_of


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("certificates", K8S / "overlays" / "try" / "certificates.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "WORK", tmp_path / "pki")
    return module


@pytest.fixture
def made(program: ModuleType, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, bytes]]:
    found: dict[str, dict[str, bytes]] = {}
    monkeypatch.setattr(program, "create", lambda name, data: found.update({name: data}))
    program.main()
    return found


def secrets__should_be_those_that_pods_wait_for(made: dict[str, dict[str, bytes]]) -> None:
    wanted = set().union(*(secrets_of(m) for m in of_kind(rendered("try"), *WORKLOADS)))
    assert wanted == made.keys() - {"verifier-tls", "client-tls", "owner-tls", "admin-tls"}


def certificates__should_name_role_and_service(made: dict[str, dict[str, bytes]], tmp_path: Path) -> None:
    hosts = {s["metadata"]["name"] for s in of_kind(rendered("try"), "Service")}
    named: set[str] = set()
    for name, data in made.items():
        if "tls.crt" not in data:
            continue
        for key in ("tls.crt", "tls.key", "ca.crt"):
            (tmp_path / key).write_bytes(data[key])
        Tls(ca=tmp_path / "ca.crt", cert=tmp_path / "tls.crt", key=tmp_path / "tls.key").check()
        found = x509.load_pem_x509_certificate(data["tls.crt"])
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        (role,) = names.get_values_for_type(x509.UniformResourceIdentifier)
        base = name.replace("-tls", "").replace("party-mongodb-", "store").replace("-", "")
        assert role == ROLES.get(base, f"visard://store/{name[-1]}")
        named |= set(names.get_values_for_type(x509.DNSName)) & hosts
    assert named == hosts


def databases__should_have_passwords_of_their_own(made: dict[str, dict[str, bytes]]) -> None:
    passwords = [made[f"party-mongodb-{party}"]["password"] for party in range(3)]
    assert len(set(passwords)) == 3
    assert all(len(password) >= 32 for password in passwords)
    for party in range(3):
        assert f"@party-mongodb-{party}:27017/visard?".encode() in made[f"party-mongodb-{party}"]["uri"]


def root_of_a_database__should_be_nobody_elses(made: dict[str, dict[str, bytes]]) -> None:
    passwords = {made[f"party-mongodb-root-{party}"]["password"] for party in range(3)}
    assert len(passwords) == 3
    assert all(len(password) >= 32 for password in passwords)
    others = [data for name, data in made.items() if "mongodb-root" not in name]
    assert not any(password in value for password in passwords for data in others for value in data.values())


def authoritys_key__should_be_kept_nowhere(made: dict[str, dict[str, bytes]], program: ModuleType) -> None:
    key = (program.WORK / "ca.key").read_bytes()
    assert not any(key in value for data in made.values() for value in data.values())


class Api(http.server.BaseHTTPRequestHandler):
    """As much of a cluster's API as the Job calls."""

    posted: ClassVar[list[tuple[str, str, dict[str, Any]]]] = []
    status = 201

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.posted.append((self.path, self.headers["Authorization"], body))
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture
def api(program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Api]]:
    certs.init(tmp_path / "api")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "api" / "gateway.pem", tmp_path / "api" / "gateway.key")
    server = http.server.HTTPServer(("127.0.0.1", 0), Api)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    (tmp_path / "account").mkdir()
    for name, text in (("token", "secret-token"), ("namespace", "visard-try")):
        (tmp_path / "account" / name).write_text(text)
    (tmp_path / "account" / "ca.crt").write_bytes((tmp_path / "api" / "ca.pem").read_bytes())
    monkeypatch.setattr(program, "ACCOUNT", tmp_path / "account")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(server.server_port))
    Api.posted.clear()
    yield Api
    server.shutdown()
    thread.join()
    server.server_close()


def secret__should_be_posted_to_the_jobs_own_namespace(program: ModuleType, api: type[Api]) -> None:
    api.status = 201
    program.create("dealer-master", {"master": bytes(range(32))})
    ((path, authorization, body),) = api.posted
    assert path == "/api/v1/namespaces/visard-try/secrets"
    assert authorization == "Bearer secret-token"
    assert (body["kind"], body["metadata"]["name"]) == ("Secret", "dealer-master")
    assert base64.b64decode(body["data"]["master"]) == bytes(range(32))


def secret_that_is_there__should_end_the_job(program: ModuleType, api: type[Api]) -> None:
    api.status = 409
    with pytest.raises(SystemExit, match="dealer-master: 409 Conflict: to begin again delete the namespace"):
        program.create("dealer-master", {"master": bytes(32)})
