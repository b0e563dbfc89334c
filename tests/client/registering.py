"""A registrar for tests: its directory, keys, and what is asked of it."""

import base64
import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from visard import certs
from visard.invitations import invite
from visard.registrar import authority
from visard.registrar.config import Folder, Settings
from visard.registrar.service import RENEW
from visard_wire.proofs import header
from visard_wire.statements import Holder
from visard_wire.vouching import Trust

ORIGIN = "https://door.example"
SETTINGS = Settings("127.0.0.1:0", f"{ORIGIN}/enrol", (ORIGIN,), 7)
AT = "https://localhost:7450"
DAY = 24 * 3600
PATIENCE = 60.0


def registrar_at(tmp_path: Path) -> Folder:
    """A directory, below an authority beside it."""
    certs.init(tmp_path / "certs", only=["client", "gateway"])
    authority.make(tmp_path / "registrar", tmp_path / "certs", SETTINGS, ["localhost"])
    return Folder(tmp_path / "registrar")


def root_of(folder: Folder) -> Trust:
    return Trust.one((folder.path.parent / "certs" / "ca.pem").read_bytes())


class Clock:
    """Real time, and how far it was moved on."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return time.time() + self.seconds

    @property
    def ms(self) -> int:
        return int(self() * 1000)


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def csr(key: Any) -> bytes:
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .sign(key, algorithm)
        .public_bytes(Encoding.DER)
    )


def secret(folder: Folder, name: str = "ada", role: str = "client", minutes: int = 10) -> str:
    return invite(folder.path, name, role, None, minutes).link.partition("#invitation=")[2]


def enrolment(invitation: str, request: bytes) -> bytes:
    return json.dumps({"invitation": invitation, "request": base64.b64encode(request).decode()}).encode()


def renewal(
    old: Holder, request: bytes, now: int, url: str = AT + RENEW, about: bytes | None = None
) -> tuple[bytes, str]:
    body = json.dumps({"request": base64.b64encode(request).decode()}).encode()
    digest = hashlib.sha256(request).digest() if about is None else about
    return body, header(old, url, os.urandom(16), now, digest)
