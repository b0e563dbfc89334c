"""The try overlay's program keeps exactly the Secrets that the pods wait for: whole, of one authority, with time left."""

import base64
import datetime
import http.client
import http.server
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

from tests.deploy import certificates
from tests.deploy.certificates import Shelf
from tests.deploy.manifests import WORKLOADS, of_kind, rendered, secrets_of

CALLERS = {"verifier-tls", "client-tls", "owner-tls", "admin-tls"}
Made = dict[str, dict[str, bytes]]


@pytest.fixture
def program(tmp_path: Path) -> ModuleType:
    return certificates.program(tmp_path)


@pytest.fixture
def kept(program: ModuleType) -> Shelf:
    shelf = Shelf()
    assert program.look(shelf) is True
    return shelf


@pytest.fixture
def made(kept: Shelf) -> Made:
    return kept.data


def secrets__should_be_those_that_pods_wait_for(made: Made) -> None:
    wanted = set().union(*(secrets_of(m) for m in of_kind(rendered("try"), *WORKLOADS)))
    assert wanted == made.keys() - CALLERS - {"authority"}


def rights__should_be_for_these_secrets_alone(made: Made, program: ModuleType) -> None:
    (role,) = of_kind(rendered("try"), "Role")
    rules = {tuple(rule["verbs"]): set(rule.get("resourceNames", ())) for rule in role["rules"]}
    assert rules == {("create",): set(), ("get",): set(made), ("update",): set(program.PAIRS)}
    assert all((rule["apiGroups"], rule["resources"]) == ([""], ["secrets"]) for rule in role["rules"])


def certificates__should_name_role_and_service(made: Made, tmp_path: Path) -> None:
    hosts = {s["metadata"]["name"] for s in of_kind(rendered("try"), "Service")}
    named: set[str] = set()
    for name, data in made.items():
        if "ca.crt" not in data:
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
    assert named == {host for host in hosts if "metrics" not in host}


def databases__should_have_passwords_of_their_own(made: Made) -> None:
    passwords = [made[f"party-mongodb-{party}"]["password"] for party in range(3)]
    assert len(set(passwords)) == 3
    assert all(len(password) >= 32 for password in passwords)
    for party in range(3):
        assert f"@party-mongodb-{party}:27017/visard?".encode() in made[f"party-mongodb-{party}"]["uri"]


def root_of_a_database__should_be_nobody_elses(made: Made) -> None:
    passwords = {made[f"party-mongodb-root-{party}"]["password"] for party in range(3)}
    assert len(passwords) == 3
    assert all(len(password) >= 32 for password in passwords)
    others = [data for name, data in made.items() if "mongodb-root" not in name]
    assert not any(password in value for password in passwords for data in others for value in data.values())


def authoritys_key__should_be_in_its_secret_alone(made: Made, tmp_path: Path) -> None:
    key = made["authority"]["tls.key"]
    assert not any(key in value for name, data in made.items() if name != "authority" for value in data.values())
    assert not list(tmp_path.rglob("*.key")), "nothing stays where it was made"


def what_is_there__should_stay_as_it_is(program: ModuleType, kept: Shelf) -> None:
    before = dict(kept.data)
    assert program.look(kept) is True
    assert kept.data == before
    assert set(kept.versions.values()) == {1}


@pytest.mark.parametrize("number", range(20))
def run_that_was_cut_off__should_be_finished_by_the_next(program: ModuleType, number: int) -> None:
    class Dying(Shelf):
        def create(self, name: str, data: dict[str, bytes]) -> bool:
            if len(self.data) == number:
                raise ConnectionResetError
            return super().create(name, data)

    dying, living = Dying(), Shelf()
    with pytest.raises(ConnectionResetError):
        program.look(dying)
    living.data, living.versions = dict(dying.data), dict(dying.versions)
    assert program.look(living) is True
    assert all(living.data[name] is data for name, data in dying.data.items())
    assert of_one_authority(living.data)


def of_one_authority(data: Made) -> bool:
    """Whether all that is signed is signed by the authority that is kept."""
    ca = x509.load_pem_x509_certificate(data["authority"]["tls.crt"])
    for pair in (pair for pair in data.values() if "ca.crt" in pair):
        x509.load_pem_x509_certificate(pair["tls.crt"]).verify_directly_issued_by(ca)
        assert pair["ca.crt"] == data["authority"]["tls.crt"]
    return True


def deleted_secrets__should_come_back(program: ModuleType, kept: Shelf) -> None:
    before = dict(kept.data)
    del kept.data["party-tls-1"], kept.data["dealer-master"]
    assert program.look(kept) is True
    assert kept.data["party-tls-1"]["ca.crt"] == before["party-tls-1"]["ca.crt"]
    assert {name for name in before if kept.data[name] != before[name]} == {"party-tls-1", "dealer-master"}


def another_authority__should_issue_every_certificate_and_no_password(program: ModuleType, kept: Shelf) -> None:
    before = dict(kept.data)
    del kept.data["authority"]
    assert program.look(kept) is True
    assert of_one_authority(kept.data)
    assert {name for name in before if kept.data[name] != before[name]} == {"authority", *program.PAIRS}


@pytest.mark.parametrize(("share", "renewed"), [(0.34, False), (0.32, True), (-0.1, True)])
def certificate_with_little_time_left__should_be_renewed(
    program: ModuleType, kept: Shelf, monkeypatch: pytest.MonkeyPatch, share: float, renewed: bool
) -> None:
    own = x509.load_pem_x509_certificate(kept.data["gateway-tls"]["tls.crt"])
    span = own.not_valid_after_utc - own.not_valid_before_utc

    class Later(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> "Later":
            at = own.not_valid_after_utc - share * span
            return cls.fromtimestamp(at.timestamp(), tz)

    before = dict(kept.data)
    monkeypatch.setattr(datetime, "datetime", Later)
    assert program.look(kept) is True
    changed = {name for name in before if kept.data[name] != before[name]}
    assert changed == (set(program.PAIRS) if renewed else set())
    fresh = x509.load_pem_x509_certificate(kept.data["gateway-tls"]["tls.crt"])
    assert fresh.not_valid_after_utc - Later.now(datetime.UTC) > program.LEFT * span
    ca = x509.load_pem_x509_certificate(kept.data["authority"]["tls.crt"])
    assert ca.not_valid_after_utc > fresh.not_valid_after_utc, "the authority outlives what it signs"


def named_certificate__should_be_renewed_at_once(program: ModuleType, kept: Shelf) -> None:
    before = dict(kept.data)
    assert program.look(kept, frozenset(["party-mongodb-tls-2"])) is True
    assert {name for name in before if kept.data[name] != before[name]} == {"party-mongodb-tls-2"}
    data = kept.data["party-mongodb-tls-2"]
    assert data["tls-combined.pem"] == data["tls.key"] + data["tls.crt"]


@pytest.mark.parametrize("broken", [{"tls.key": b""}, {"tls.crt": b"x"}, {"ca.crt": b"x"}])
def broken_certificate__should_be_replaced(program: ModuleType, kept: Shelf, broken: dict[str, bytes]) -> None:
    kept.data["owner-tls"] = kept.data["owner-tls"] | broken
    assert program.look(kept) is True
    assert program.good(kept.data["owner-tls"], kept.data["authority"]["tls.crt"])


def secret_that_somebody_else_makes__should_be_theirs(program: ModuleType) -> None:
    class Contended(Shelf):
        def create(self, name: str, data: dict[str, bytes]) -> bool:
            theirs = name in ("dealer-master", "authority") and name not in self.data
            return super().create(name, data) and not theirs

    contended = Contended()
    assert program.look(contended) is False, "the authority is somebody else's: nothing of the draft's is kept"
    assert set(contended.data) == {"authority"}
    assert program.look(contended) is False
    assert program.look(contended) is True
    assert of_one_authority(contended.data)


class Api(http.server.BaseHTTPRequestHandler):
    """As much of a cluster's API as the program calls."""

    protocol_version = "HTTP/1.1"
    asked: ClassVar[list[tuple[str, str, str]]] = []
    secrets: ClassVar[dict[str, dict[str, Any]]] = {}
    refusing = False

    def do_GET(self) -> None:
        found = self.secrets.get(self._name())
        self._answer(200 if found else 404, found or {})

    def do_POST(self) -> None:
        body = self._body()
        name = body["metadata"]["name"]
        if name in self.secrets:
            return self._answer(409, {})
        body["metadata"]["resourceVersion"] = "1"
        self.secrets[name] = body
        return self._answer(201, body)

    def do_PUT(self) -> None:
        body = self._body()
        found = self.secrets[self._name()]["metadata"]
        if body["metadata"]["resourceVersion"] != found["resourceVersion"]:
            return self._answer(409, {})
        body["metadata"]["resourceVersion"] += "1"
        self.secrets[self._name()] = body
        return self._answer(200, body)

    def _name(self) -> str:
        return self.path.rpartition("/")[2]

    def _body(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        return found

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        self.asked.append((self.command, self.path, self.headers["Authorization"]))
        text = json.dumps(body).encode()
        self.send_response(403 if self.refusing else status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture
def api(program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Api]]:
    certs.init(tmp_path / "api")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "api" / "gateway.pem", tmp_path / "api" / "gateway.key")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
    server.daemon_threads = True
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
    Api.asked.clear()
    Api.secrets.clear()
    Api.refusing = False
    yield Api
    server.shutdown()
    thread.join()
    server.server_close()


def secrets__should_be_kept_in_the_pods_own_namespace(program: ModuleType, api: type[Api]) -> None:
    cluster = program.Cluster()
    assert program.look(cluster) is True
    assert program.look(cluster, frozenset(["gateway-tls"])) is True
    assert program.look(cluster) is True
    cluster.close()
    assert {path[: path.index("/secrets")] for _, path, _ in api.asked} == {"/api/v1/namespaces/visard-try"}
    assert {authorization for *_, authorization in api.asked} == {"Bearer secret-token"}
    assert [method for method, *_ in api.asked].count("PUT") == 1
    body = api.secrets["dealer-master"]
    assert (body["kind"], body["metadata"]["name"]) == ("Secret", "dealer-master")
    assert body["metadata"]["labels"]["app.kubernetes.io/part-of"] == "visard"
    assert len(base64.b64decode(body["data"]["master"])) == 32


def api_that_refuses__should_be_said_and_asked_again(program: ModuleType, api: type[Api]) -> None:
    api.refusing = True
    cluster = program.Cluster()
    with pytest.raises(http.client.HTTPException, match="GET /api/v1/namespaces/visard-try/secrets/authority: 403"):
        program.look(cluster)
    cluster.close()
