"""A service lets a caller's role count only if a root that is pinned for it has issued the certificate."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pydantic import ValidationError
from visard import certs
from visard.cluster import free_port_base
from visard_common import vouching
from visard_common.errors import PermissionDenied
from visard_common.identity import peer_role
from visard_common.tls import Tls
from visard_common.vouching import (
    HERE,
    REFUSED,
    REMEMBER_SECONDS,
    REMEMBERED,
    Vouching,
    VouchingInterceptor,
    check_peer,
)
from visard_wire.vouching import Trust

from tests.common.begun import begun
from tests.wire.test_vouching import Authority

OWNERS = {"party0": "party/0", "party1": "party/1", "party2": "party/2", "dealer": "dealer", "gateway": "gateway"}


@pytest.fixture
def pki(tmp_path: Path) -> Path:
    """A folder for each operator."""
    for name in OWNERS:
        certs.init(tmp_path / name, only=[name])
    return tmp_path


def tls(pki: Path, name: str = "party0") -> Tls:
    roots = {role: pki / owner / "ca.pem" for owner, role in OWNERS.items()}
    return Tls(roots=roots, cert=pki / name / f"{name}.pem", key=pki / name / f"{name}.key")


def pem(pki: Path, name: str) -> bytes:
    return (pki / name / f"{name}.pem").read_bytes()


def refused(watched: Vouching, role: str, chain: bytes) -> bool:
    try:
        watched.check(role, chain)
    except PermissionDenied:
        return True
    return False


def certificate__should_be_looked_at_once_and_its_refusal_counted_once(
    pki: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, looked, real = [0.0], [], vouching._vouched

    def look(trust: Trust, role: str, pem: bytes) -> bool:
        looked.append(role)
        return real(trust, role, pem)

    monkeypatch.setattr(vouching, "_vouched", look)
    watched, before = Vouching(tls(pki), lambda: now[0]), REFUSED._value.get()
    for _ in range(5):
        assert not refused(watched, "party/1", pem(pki, "party1"))
        assert refused(watched, "party/0", pem(pki, "party1"))
    assert len(looked) == 2
    assert REFUSED._value.get() == before + 1
    now[0] = REMEMBER_SECONDS + 1  # it may have ended
    assert not refused(watched, "party/1", pem(pki, "party1"))
    assert len(looked) == 3
    for number in range(2 * REMEMBERED):
        assert refused(watched, f"party/{number}", b"")
        assert len(watched._seen) <= REMEMBERED


@pytest.mark.parametrize("chain", [b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def no_certificate__should_be_refused(pki: Path, chain: bytes) -> None:
    assert refused(Vouching(tls(pki)), "party/1", chain)


def certificate_of_another_role_of_the_same_root__should_be_refused(pki: Path) -> None:
    """gRPC tells names of all kinds in one list: only the URI counts."""
    assert refused(Vouching(tls(pki)), "party/1", pem(pki, "party0"))
    authority = Authority("gateway and party")
    shared = pki / "shared.pem"
    shared.write_bytes(authority.pem)
    files = tls(pki)
    both = files.model_copy(update={"roots": (files.roots or {}) | {"gateway": shared, "party/1": shared}})
    der = authority.issue("visard://gateway")
    chain = x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)
    assert not refused(Vouching(both), "gateway", chain)
    assert refused(Vouching(both), "party/1", chain)


def new_roots__should_count_at_once_and_broken_files_should_change_nothing(pki: Path) -> None:
    watched, file = Vouching(tls(pki)), pki / "party1" / "ca.pem"
    old, chain = file.read_bytes(), pem(pki, "party1")
    certs.init(pki / "next", only=["party1"])
    following = (pki / "next" / "party1.pem").read_bytes()
    assert not refused(watched, "party/1", chain)
    assert refused(watched, "party/1", following)
    for broken in (b"", b"half a file", (pki / "party0" / "ca.pem").read_bytes()):
        file.write_bytes(broken)
        assert not refused(watched, "party/1", chain)
        assert refused(watched, "party/1", following)
    file.unlink()
    assert not refused(watched, "party/1", chain)
    file.write_bytes(old + (pki / "next" / "ca.pem").read_bytes())
    assert not refused(watched, "party/1", chain)
    assert not refused(watched, "party/1", following)
    file.write_bytes((pki / "next" / "ca.pem").read_bytes())
    assert refused(watched, "party/1", chain)
    assert not refused(watched, "party/1", following)


def one_authority_for_all__should_need_no_second_look(tmp_path: Path) -> None:
    """TLS has made it."""
    certs.init(tmp_path)
    one = Tls(ca=tmp_path / "ca.pem", cert=tmp_path / "dealer.pem", key=tmp_path / "dealer.key")
    assert not refused(Vouching(one), "party/1", b"")


def server_that_says_nothing_of_vouching__should_let_nobody_in() -> None:
    found = {"x509_subject_alternative_name": [b"visard://gateway"], "x509_pem_cert": [b""]}
    assert HERE.get(None) is None
    with pytest.raises(PermissionDenied, match="knows nobody who vouches"):
        peer_role(SimpleNamespace(auth_context=lambda: found))  # type: ignore[arg-type]


@asynccontextmanager
async def asking(server_tls: Tls) -> AsyncIterator[str]:
    """A server that says who calls."""

    async def role(_: bytes, context: Any) -> bytes:
        try:
            return str(peer_role(context)).encode()
        except PermissionDenied as error:
            return f"refused: {error}".encode()

    server = grpc.aio.server(interceptors=[VouchingInterceptor(server_tls)])
    handlers = {"Who": grpc.unary_unary_rpc_method_handler(role)}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("visard.v1.Asking", handlers)])
    address = f"localhost:{free_port_base()}"
    server.add_secure_port(address, server_tls.server_credentials())
    await server.start()
    yield address
    await server.stop(None)


async def who(address: str, own: Tls) -> str:
    async with own.channel(address, "party/0") as channel:
        answer: Any = await channel.unary_unary("/visard.v1.Asking/Who")(b"", timeout=60)  # type: ignore[call-arg]
        return bytes(answer).decode()


async def intermediate_certificate__should_be_followed_to_its_root(pki: Path) -> None:
    """gRPC tells a service the caller's whole chain, where there is one."""
    root = Authority("party 1", depth=1)
    between = Authority("between", root, depth=0)
    (pki / "party1" / "ca.pem").write_bytes(root.pem)
    files = tls(pki, "party0")
    for issuer, more, role in (
        (root, b"", "party/1"),
        (between, between.pem, "party/1"),
        (root, b"", "party/2"),
        (between, between.pem, "party/2"),
    ):
        leaf = x509.load_der_x509_certificate(issuer.issue(f"visard://{role}"))
        (pki / "chain.pem").write_bytes(leaf.public_bytes(Encoding.PEM) + more)
        form = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (pki / "chain.key").write_bytes(issuer.last_key.private_bytes(*form))
        async with asking(files) as address:
            said = await who(address, Tls(roots=files.roots, cert=pki / "chain.pem", key=pki / "chain.key"))
        nobody = "refused: no authority vouches here for the certificate's role"
        assert said == (role if role == "party/1" else nobody)


def check__should_put_the_callers_own_certificate_first(pki: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether gRPC tells a chain with it, without it, or none."""
    own, rest, seen = b"own", b"rest", []
    monkeypatch.setattr(Vouching, "check", lambda _, role, chain: seen.append((role, chain)))
    token = HERE.set(Vouching(tls(pki)))
    try:
        for chain in ([own + rest], [rest], [], [own]):
            found = {"x509_pem_cert": [own], "x509_pem_cert_chain": chain}
            check_peer(SimpleNamespace(auth_context=lambda found=found: found), "dealer")
    finally:
        HERE.reset(token)
    assert seen == [("dealer", own + rest)] * 2 + [("dealer", own)] * 2


ROOTS = {role: f"{owner}/ca.pem" for owner, role in OWNERS.items()}
DEALER = 'listen = "127.0.0.1:1"\nmaster_key = "master"\n'
PARTY = 'listen = "127.0.0.1:1"\nindex = 0\ndata_dir = "d"\npeers = ["a:1", "b:1", "c:1"]\ndealer = "d:1"\n'


@pytest.mark.parametrize(
    ("module", "roots", "ca", "line"),
    [
        ("dealer", ROOTS | {"party/3": "x"}, None, "tls.roots: Value error, party/3: not a role"),
        ("dealer", {**ROOTS, "party": "x"}, None, "tls.roots: Value error, party: not a role"),
        ("dealer", {"party/0": "x", "party/1": "x"}, None, "tls.roots: Value error, party/2: missing"),
        ("dealer", {}, None, "tls.roots: Value error, party/0: missing"),
        ("dealer", ROOTS | {"party/1": "nowhere.pem"}, None, "tls.roots: nowhere.pem: No such file"),
        ("dealer", ROOTS | {"party/1": "party1"}, None, "tls.roots: party1: Is a directory"),
        ("dealer", ROOTS | {"party/1": "empty"}, None, "tls.roots: party/1: no certificates in PEM"),
        ("dealer", ROOTS | {"party/1": "party0/ca.pem"}, None, "tls.roots: party/1: has a root in common with party/0"),
        ("dealer", ROOTS | {"party/1": "party1/ca.key"}, None, "tls.roots: party/1: the file holds a private key"),
        ("dealer", ROOTS, "dealer/ca.pem", "tls: Value error, either ca"),
        ("dealer", None, None, "tls: Value error, either ca"),
        ("party", {k: v for k, v in ROOTS.items() if k != "gateway"}, None, "tls: Value error, gateway: missing"),
        ("party", {k: v for k, v in ROOTS.items() if k != "dealer"}, None, "tls: Value error, dealer: missing"),
    ],
)
def wrong_roots__should_end_the_start_with_a_line_that_names_the_field(
    pki: Path, monkeypatch: pytest.MonkeyPatch, module: str, roots: dict[str, str] | None, ca: str | None, line: str
) -> None:
    (pki / "empty").touch()
    text = DEALER if module == "dealer" else PARTY
    text += f'[tls]\ncert = "{module}.pem"\nkey = "{module}.key"\n' + (f'ca = "{ca}"\n' if ca else "")
    if roots is not None:
        text += "[tls.roots]\n" + "".join(f'"{role}" = "{file}"\n' for role, file in roots.items())
    (pki / "service.toml").write_text(text)
    monkeypatch.chdir(pki)
    done = begun(module, "--config", "service.toml")
    assert done.returncode == 1
    assert done.stderr.startswith(f"configuration: {line}"), done.stderr
    assert done.stderr.count("\n") == 1


def files_of_roots__should_be_watched(pki: Path) -> None:
    files = tls(pki)
    before = files.stamp()
    (pki / "gateway" / "ca.pem").write_bytes((pki / "gateway" / "ca.pem").read_bytes() + b"\n")
    assert files.stamp() != before
    with pytest.raises(ValidationError, match="either ca"):
        Tls(cert=pki / "x", key=pki / "x")
