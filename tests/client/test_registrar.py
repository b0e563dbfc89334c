"""The registrar: an invitation is for one key, a key for as long as it is renewed, and its authority for callers alone."""

import asyncio
import base64
import json
import shutil
import signal
import sqlite3
import ssl
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from typer.testing import CliRunner
from visard import certs
from visard.cli.app import app
from visard.errors import InvalidRequest, PermissionDenied, Unavailable
from visard.invitations import invite
from visard.registrar import authority
from visard.registrar.book import KEPT_MS, Book
from visard.registrar.config import Folder
from visard.registrar.rates import ALL, ALL_SECONDS, EACH, EACH_SECONDS, REMEMBERED, Rates
from visard.registrar.service import ENROL, RENEW, Registrar
from visard_wire.errors import UntrustedKey
from visard_wire.proofs import WINDOW_MS
from visard_wire.statements import Holder
from visard_wire.vouching import Trust

from tests.client.registering import (
    AT,
    DAY,
    PATIENCE,
    SETTINGS,
    Clock,
    csr,
    enrolment,
    new_key,
    registrar_at,
    renewal,
    root_of,
    secret,
)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return registrar_at(tmp_path)


@pytest.fixture
def root(folder: Folder) -> Trust:
    return root_of(folder)


P256 = bytes.fromhex("06082a8648ce3d030107")  # the curve's identifier, in DER


def certificate__should_be_for_who_was_invited(folder: Folder, root: Trust) -> None:
    registrar, key = Registrar(folder, SETTINGS), new_key()
    for role, name in (("client", "visard://enroller/ada"), ("verifier", "visard://verifier/ada")):
        _, made = registrar.enrol(enrolment(secret(folder, role=role), csr(key)))
        assert root.names(made.chain) == [name]
        leaf = x509.load_der_x509_certificate(made.chain[0])
        assert leaf.public_key() == key.public_key()
        assert 6.9 * DAY < made.until.timestamp() - time.time() < 7.1 * DAY
        usages = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert list(usages) == [x509.ObjectIdentifier("1.3.6.1.5.5.7.3.2")]  # TLS, as a client
    assert [(one.role, one.revoked) for one in Book(folder.book).valid(0)] == [
        ("enroller/ada", False),
        ("verifier/ada", False),
    ]


def link__should_hold_its_secret_in_the_fragment_alone(folder: Folder) -> None:
    made = invite(folder.path, "ada", "client", "door", 10)
    page, _, fragment = made.link.partition("#")
    assert (page, made.role) == (SETTINGS.page, "enroller/ada")
    assert fragment.endswith("&gallery=door")
    held = folder.book.read_bytes()
    _, _, text = fragment.removesuffix("&gallery=door").partition(".")
    assert text.encode() not in held
    assert base64.urlsafe_b64decode(f"{text}=") not in held
    assert folder.book.stat().st_mode & 0o777 == 0o600
    assert made.certificates == 0
    Registrar(folder, SETTINGS).enrol(enrolment(secret(folder), csr(new_key())))
    assert (
        invite(folder.path, "ada", "enroller", None, 10).certificates == 1
    )  # who is invited is told: they are one caller
    assert invite(folder.path, "ada", "verifier", None, 10).certificates == 0
    for name, role in (("ada", "admin"), ("ada", "party"), ("a/b", "client"), ("", "client"), ("a" * 65, "verifier")):
        with pytest.raises(InvalidRequest):
            invite(folder.path, name, role, None, 10)


def commands__should_make_a_registrar_and_invite(tmp_path: Path) -> None:
    certs.init(tmp_path / "certs", only=["client"])

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, done.output
        return done.output

    home, own = ("--home", str(tmp_path)), str(tmp_path / "registrar")
    run("registrar", "init", own, "--authority", str(tmp_path / "certs"), "--page", "https://door.example/enrol")
    assert Folder(tmp_path / "registrar").read().origins == SETTINGS.origins
    shown = run("admin", "invite", "ada", "--gallery", "door", *home)
    assert "https://door.example/enrol#invitation=" in shown
    assert "█" in shown
    assert "rules of gallery door must name enroller/ada" in shown
    found = json.loads(run("admin", "invite", "bob", "--role", "verifier", "--minutes", "3", "--json", *home))
    assert found["role"] == "verifier/bob"
    assert 0 < found["until_unix_ms"] - time.time() * 1000 <= 180_000
    listed = json.loads(run("registrar", "list", own, "--json"))
    assert [one["role"] for one in listed["invited"]] == ["enroller/ada", "verifier/bob"]
    assert "enroller/ada: 0 certificates are not renewed" in run("registrar", "revoke", "client/ada", own)
    for nobody in ("client/ada", "enroller/bob", "bob", "enroller/Bob ", "admin/ada"):
        assert CliRunner().invoke(app, ("registrar", "revoke", nobody, own)).exit_code, nobody
    assert run("registrar", "list", own).startswith("verifier/bob\tinvited\tuntil ")


def invitation__should_be_for_one_key(folder: Folder) -> None:
    registrar, invitation, key = Registrar(folder, SETTINGS), secret(folder), new_key()
    registrar.enrol(enrolment(invitation, csr(key)))
    with pytest.raises(PermissionDenied, match="used already"):
        registrar.enrol(enrolment(invitation, csr(new_key())))
    registrar.enrol(enrolment(invitation, csr(key)))  # its answer may have been lost
    assert Book(folder.book).open(0) == []


def invitation__should_end(folder: Folder) -> None:
    clock = Clock()
    registrar, invitation = Registrar(folder, SETTINGS, clock), secret(folder)
    clock.seconds = 601
    with pytest.raises(PermissionDenied, match="time is over"):
        registrar.enrol(enrolment(invitation, csr(new_key())))
    book, now = Book(folder.book), clock.ms
    book.invite("enroller/eve", now + KEPT_MS + 10, now + 2 * KEPT_MS)  # what is over for long is forgotten
    with pytest.raises(PermissionDenied, match="no such invitation"):
        registrar.enrol(enrolment(invitation, csr(new_key())))


def wrong_secret__should_get_nothing(folder: Folder) -> None:
    registrar, right, other = Registrar(folder, SETTINGS), secret(folder), secret(folder, "eve")
    mixed = right.partition(".")[0] + "." + other.partition(".")[2]
    for wrong in (mixed, "", ".", "é.é", right[:-1], "A" * 11 + "." + "A" * 43, right.replace(".", "")):
        with pytest.raises(PermissionDenied, match="no such invitation"):
            registrar.enrol(enrolment(wrong, csr(new_key())))
    registrar.enrol(enrolment(right, csr(new_key())))


def request__should_prove_a_key_on_p256(folder: Folder) -> None:
    registrar, invitation, key = Registrar(folder, SETTINGS), secret(folder), new_key()
    forged = bytearray(csr(key))
    forged[-1] ^= 1
    spki = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    swapped = csr(key).replace(key.public_key().public_bytes(*spki), new_key().public_key().public_bytes(*spki))
    curve = csr(key).replace(P256, bytes([*P256[:-1], 99]))  # that nobody knows
    assert curve != csr(key)
    odd = (
        curve,
        csr(ec.generate_private_key(ec.SECP384R1())),
        csr(ed25519.Ed25519PrivateKey.generate()),
        b"",
        bytes(4096),
    )
    for wrong in (bytes(forged), swapped, *odd):
        with pytest.raises(InvalidRequest, match="PKCS #10"):
            registrar.enrol(enrolment(invitation, wrong))
    for body in (b"", b"[]", b'{"invitation": 1, "request": ""}', b"{" * 5000):
        with pytest.raises(InvalidRequest, match="JSON object"):
            registrar.enrol(body)
    registrar.enrol(enrolment(invitation, csr(key)))  # nothing of that has used it


def key__should_be_renewed_by_the_one_before(folder: Folder, root: Trust) -> None:
    clock, old, new = Clock(), new_key(), new_key()
    registrar = Registrar(folder, SETTINGS, clock)
    _, made = registrar.enrol(enrolment(secret(folder), csr(old)))
    holder = Holder(made.chain, old)
    role, again = registrar.renew(*renewal(holder, csr(new), clock.ms))
    assert (role, root.names(again.chain)) == ("enroller/ada", ["visard://enroller/ada"])
    assert x509.load_der_x509_certificate(again.chain[0]).public_key() == new.public_key()
    role, _ = registrar.renew(*renewal(Holder(again.chain, new), csr(new_key()), clock.ms))
    assert role == "enroller/ada"
    for url, off, about in (
        ("https://gateway.example" + RENEW, 0, None),
        (AT + ENROL, 0, None),
        (AT + RENEW, WINDOW_MS + 5000, None),
        (AT + RENEW, 0, bytes(32)),  # of another request
        (AT + RENEW, 0, b""),  # as the gateway is shown
    ):
        with pytest.raises(PermissionDenied):
            registrar.renew(*renewal(holder, csr(new), clock.ms + off, url, about))
    with pytest.raises(PermissionDenied):
        registrar.renew(*renewal(Holder(made.chain, new), csr(new), clock.ms))  # signed with another key
    for header in ("", "Basic x", "Visard x"):
        with pytest.raises(PermissionDenied, match="Authorization"):
            registrar.renew(renewal(holder, csr(new), clock.ms)[0], header)


def key__should_be_renewed_where_it_was_signed(folder: Folder) -> None:
    """What the root has issued itself, or another registrar below it, is not made a key of this one's."""
    clock, home = Clock(), folder.path.parent
    authority.make(home / "other", home / "certs", SETTINGS, ["localhost"])
    other, key = Folder(home / "other"), new_key()
    _, made = Registrar(other, SETTINGS).enrol(enrolment(secret(other), csr(key)))
    issued = Holder.read(home / "certs" / "client.pem", home / "certs" / "client.key")
    registrar = Registrar(folder, SETTINGS, clock)
    for holder in (Holder(made.chain, key), issued):
        with pytest.raises(PermissionDenied):
            registrar.renew(*renewal(holder, csr(new_key()), clock.ms))


def key__should_be_renewed_by_the_authority_that_follows(folder: Folder, root: Trust) -> None:
    """As docs/operations.md says: the book is copied, and the certificate of before stands behind the new one."""
    clock, home, key = Clock(), folder.path.parent, new_key()
    _, made = Registrar(folder, SETTINGS).enrol(enrolment(secret(folder), csr(key)))
    authority.make(home / "next", home / "certs", SETTINGS, ["localhost"])
    following = Folder(home / "next")
    shutil.copy(folder.book, following.book)
    following.ca.write_bytes(following.ca.read_bytes() + folder.ca.read_bytes())
    asked = renewal(Holder(made.chain, key), csr(new_key()), clock.ms)
    _, again = Registrar(following, SETTINGS, clock).renew(*asked)
    assert again.chain[1] != made.chain[1]
    assert root.names(again.chain) == ["visard://enroller/ada"]


def revoked_key__should_be_renewed_no_more(folder: Folder) -> None:
    clock, lost = Clock(), new_key()
    registrar, book = Registrar(folder, SETTINGS, clock), Book(folder.book)
    _, made = registrar.enrol(enrolment(secret(folder), csr(lost)))
    waiting = secret(folder)
    assert book.revoke("enroller/ada", clock.ms) == (1, 2)
    with pytest.raises(PermissionDenied, match="not renewed any more"):
        registrar.renew(*renewal(Holder(made.chain, lost), csr(new_key()), clock.ms))
    with pytest.raises(PermissionDenied, match="no such invitation"):
        registrar.enrol(enrolment(waiting, csr(new_key())))
    key = new_key()
    _, again = registrar.enrol(enrolment(secret(folder), csr(key)))  # invited anew
    registrar.renew(*renewal(Holder(again.chain, key), csr(new_key()), clock.ms))
    with pytest.raises(PermissionDenied, match="not renewed any more"):
        registrar.renew(*renewal(Holder(made.chain, lost), csr(new_key()), clock.ms))


def invitation_revoked_while_it_is_used__should_get_nothing(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the use and the signature: "0 certificates" were revoked, so there must be none then."""
    registrar, book = Registrar(folder, SETTINGS), Book(folder.book)
    sign, found = registrar._authority.sign, []

    def slow(*asked: Any) -> authority.Signed:
        found.append(book.revoke("enroller/ada", 0))
        return sign(*asked)

    monkeypatch.setattr(registrar._authority, "sign", slow)
    with pytest.raises(PermissionDenied, match="no such invitation"):
        registrar.enrol(enrolment(secret(folder), csr(new_key())))
    assert (found, book.valid(0)) == ([(0, 1)], [])


def authority__should_vouch_for_callers_alone(folder: Folder, root: Trust) -> None:
    """Whoever has stolen its key is a verifier or an enroller, and no service, owner or administrator."""
    stolen = authority.Authority(folder)
    for role in ("admin/a", "owner/a", "party/0", "gateway"):
        with pytest.raises(InvalidRequest):
            stolen.sign(new_key().public_key(), role, 7)
    own = x509.load_pem_x509_certificate(folder.ca.read_bytes())
    key = certs.authority_key(folder.path)
    for uris in (["visard://admin/a"], ["visard://party/0"], ["visard://enroller/a", "visard://gateway"]):
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri) for uri in uris])
        made = certs.begun(x509.Name([]), own.subject, new_key().public_key()).add_extension(names, critical=True)
        forged = made.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)
        with pytest.raises(UntrustedKey):
            root.names([forged, own.public_bytes(Encoding.DER)])


def authority_whose_time_is_over__should_sign_nothing(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    registrar = Registrar(folder, SETTINGS)
    monkeypatch.setattr(authority.Authority, "until", datetime.now(UTC))
    with pytest.raises(Unavailable, match="has ended"):
        registrar.enrol(enrolment(secret(folder), csr(new_key())))


async def authority__should_vouch_for_no_server(folder: Folder) -> None:
    """gRPC and browsers look at no role of a server's: what it may not is said in a word that TLS knows."""
    own, key = x509.load_pem_x509_certificate(folder.ca.read_bytes()), new_key()
    names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    made = certs.begun(x509.Name([]), own.subject, key.public_key()).add_extension(names, critical=True)
    forged = made.sign(certs.authority_key(folder.path), hashes.SHA256())
    chain = b"".join(one.public_bytes(Encoding.PEM) for one in (forged, own))
    cert, private = folder.path / "forged.pem", folder.path / "forged.key"
    cert.write_bytes(chain)
    certs.write_key(private, key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, private)
    context.set_alpn_protocols(["h2"])
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    ca = folder.path.parent / "certs" / "ca.pem"
    client = ssl.create_default_context(cafile=str(ca))
    with pytest.raises(ssl.SSLCertVerificationError, match="purpose"):
        await asyncio.open_connection("127.0.0.1", port, ssl=client, server_hostname="localhost")
    credentials = grpc.ssl_channel_credentials(ca.read_bytes())
    async with grpc.aio.secure_channel(f"localhost:{port}", credentials) as channel:
        with pytest.raises(grpc.aio.AioRpcError, match="CERTIFICATE_VERIFY_FAILED"):
            await channel.unary_unary("/any/Call", None, None)(b"", timeout=PATIENCE)
    server.close()
    await server.wait_closed()


def directory__should_be_made_once_and_below_an_authority(folder: Folder, tmp_path: Path) -> None:
    with pytest.raises(certs.CertificatesExist):
        authority.make(folder.path, tmp_path / "certs", SETTINGS, ["localhost"])
    with pytest.raises(InvalidRequest):
        authority.make(tmp_path / "second", tmp_path / "nowhere", SETTINGS, ["localhost"])
    with pytest.raises(InvalidRequest, match="no other authority"):
        authority.make(tmp_path / "second", folder.path, SETTINGS, ["localhost"])
    assert folder.read() == SETTINGS
    for changed in ("days = 0\n", "days = 'x'\n", "listen = 'here'\n", "nonsense = 1\n", "= ="):
        folder.settings.write_text(
            "\n".join(line for line in folder.settings.read_text().splitlines() if line[:4] != changed[:4])
        )
        before = folder.settings.read_text()
        folder.settings.write_text(f"{before}\n{changed}")
        with pytest.raises(InvalidRequest):
            folder.read()


def book_that_others_hold__should_be_told_as_that(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("visard.registrar.book._BUSY_SECONDS", 0.0)
    book = Book(folder.book)
    holding = sqlite3.connect(folder.book, isolation_level=None)
    holding.execute("BEGIN EXCLUSIVE")
    with pytest.raises(Unavailable):
        book.revoke("enroller/ada", 0)
    holding.close()


KILLED = """
import os, signal, sys
from pathlib import Path
from visard.registrar import service
from visard.registrar.config import Folder
folder = Folder(Path(sys.argv[1]))
registrar = service.Registrar(folder, folder.read())
registrar._authority.sign = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
registrar.enrol(Path(sys.argv[2]).read_bytes())
"""


def invitation__should_stay_used_where_its_answer_was_lost(folder: Folder, tmp_path: Path) -> None:
    """Killed between the use and the answer: the same key is answered again, and no other."""
    invitation, key = secret(folder), new_key()
    (tmp_path / "body").write_bytes(enrolment(invitation, csr(key)))
    done = subprocess.run([sys.executable, "-c", KILLED, folder.path, tmp_path / "body"], check=False)
    assert done.returncode == -signal.SIGKILL
    registrar = Registrar(folder, SETTINGS)
    with pytest.raises(PermissionDenied, match="used already"):
        registrar.enrol(enrolment(invitation, csr(new_key())))
    assert registrar.enrol(enrolment(invitation, csr(key)))[0] == "enroller/ada"


def rates__should_be_each_ones_and_everybodys() -> None:
    now = [0.0]
    rates = Rates(lambda: now[0])
    assert [rates.take("10.0.0.1") for _ in range(EACH)] == [0.0] * EACH
    assert 0 < rates.take("10.0.0.1") <= EACH_SECONDS
    assert rates.take("10.0.0.2") == 0
    now[0] += EACH_SECONDS
    assert rates.take("10.0.0.1") == 0
    assert rates.take("10.0.0.1") > 0
    for k in range(EACH):
        assert rates.take(f"2001:db8::{k:x}") == 0
    assert rates.take("2001:db8::ffff") > 0  # one network is one
    now[0] += ALL * ALL_SECONDS
    assert [rates.take(f"10.1.0.{k}") for k in range(ALL)] == [0.0] * ALL
    assert rates.take("10.2.0.1") > 0
    for k in range(REMEMBERED + 10):
        rates.take(f"10.3.{k >> 8}.{k & 255}")
    assert len(rates._each) == REMEMBERED
