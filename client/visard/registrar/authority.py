"""The registrar's authority: below the root, for callers who verify or enrol, and for clients of TLS alone.

What it may sign is written in its own certificate. Its names are the roles that it vouches for, which our services, clients
and browsers look at (visard_wire.vouching); and its usage says that it vouches for no server, which TLS looks at.
"""

import datetime
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from visard_wire.vouching import SCHEME

from visard import certs
from visard.errors import InvalidRequest, Unavailable
from visard.registrar.config import KINDS, Folder, Settings, toml

MAX_REQUEST_BYTES = 2048  # of a signing request; one on P-256 with no names has 250
_FOR_CLIENTS = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
_SIGNS = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
_SKEW = datetime.timedelta(minutes=5)


def make(path: Path, authority: Path, settings: Settings, hosts: Iterable[str]) -> None:
    """Make a registrar's directory below the authority of ``visard certs init``, whose key is needed here alone.

    Raises InvalidRequest for an authority below which none may stand, CertificatesExist for a directory that is one already.
    """
    folder = Folder(path)
    if folder.settings.exists():
        raise certs.CertificatesExist(f"{path}: there is a registrar here already; nothing was changed")
    root = x509.load_pem_x509_certificate(certs.existing(authority / "ca.pem").read_bytes())
    root_key = certs.authority_key(authority)
    if root.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0:
        raise InvalidRequest(
            f"{authority / 'ca.pem'}: made when no other authority could stand below it; change to a new root first"
        )
    path.mkdir(parents=True, exist_ok=True)
    key, tls_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    tls, tls_path = folder.tls, _server(root, root_key, tls_key.public_key(), list(hosts))
    certs.write_key(path / "ca.key", key)
    certs.write_key(tls[1], tls_key)
    folder.ca.write_bytes(_below(root, root_key, key.public_key()).public_bytes(Encoding.PEM))
    tls[0].write_bytes(tls_path.public_bytes(Encoding.PEM))
    folder.settings.write_text(toml(settings))  # last, so that an interrupted run can be started again


def _below(
    root: x509.Certificate, root_key: ec.EllipticCurvePrivateKey, key: ec.EllipticCurvePublicKey
) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"visard registrar {os.urandom(4).hex()}")])
    builder = certs.begun(name, root.subject, key)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    roles = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"{SCHEME}{kind}/*") for kind in KINDS])
    builder = builder.add_extension(roles, critical=False).add_extension(_SIGNS, critical=True)
    return builder.add_extension(_FOR_CLIENTS, critical=False).sign(root_key, hashes.SHA256())


def _server(
    root: x509.Certificate,
    root_key: ec.EllipticCurvePrivateKey,
    key: ec.EllipticCurvePublicKey,
    hosts: list[str],
) -> x509.Certificate:
    """A certificate that names hosts and no role."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "visard registrar")])
    names = x509.SubjectAlternativeName(list(map(certs.host_name, hosts)))
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    builder = certs.begun(name, root.subject, key).add_extension(names, critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    return builder.add_extension(usage, critical=False).sign(root_key, hashes.SHA256())


@dataclass(frozen=True)
class Signed:
    """A certificate with the authority's behind it, in DER; its serial number, and when it ends."""

    chain: tuple[bytes, ...]
    serial: int
    until: datetime.datetime

    @property
    def until_unix_ms(self) -> int:
        """When it ends, in milliseconds since 1970."""
        return int(self.until.timestamp() * 1000)


class Authority:
    """Signs. Raises InvalidRequest for a directory that is none."""

    def __init__(self, folder: Folder) -> None:
        self.pem = certs.existing(folder.ca).read_bytes()
        self._own = x509.load_pem_x509_certificate(self.pem)
        self._key = certs.authority_key(folder.path)

    @property
    def until(self) -> datetime.datetime:
        """When its own certificate ends, and so everything that it has signed."""
        return self._own.not_valid_after_utc

    def sign(self, key: ec.EllipticCurvePublicKey, role: str, days: int) -> Signed:
        """A certificate for this key and role, as in "enroller/ada".

        Raises InvalidRequest for a role that is none of its, Unavailable where its own certificate has ended.
        """
        if role.partition("/")[0] not in KINDS:
            raise InvalidRequest(f"role: one of {', '.join(f'{kind}/NAME' for kind in KINDS)}")
        now = datetime.datetime.now(datetime.UTC)
        if self.until <= now:
            raise Unavailable(f"the authority's own certificate has ended: {self.until}")
        until = min(now + datetime.timedelta(days=days), self.until)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, role)])
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(SCHEME + role)])
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(self._own.subject).public_key(key)
        builder = (
            builder.serial_number(x509.random_serial_number()).not_valid_before(now - _SKEW).not_valid_after(until)
        )
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(names, critical=False).add_extension(_FOR_CLIENTS, critical=False)
        made = builder.sign(self._key, hashes.SHA256())
        chain = (made.public_bytes(Encoding.DER), self._own.public_bytes(Encoding.DER))
        return Signed(chain, made.serial_number, made.not_valid_after_utc)


def requested(request: bytes) -> ec.EllipticCurvePublicKey:
    """The key in a signing request (PKCS #10, DER) signed by its holder; all else in it is passed over. Raises InvalidRequest."""
    try:
        if len(request) > MAX_REQUEST_BYTES:
            raise ValueError("too large")
        found = x509.load_der_x509_csr(request)
        key = found.public_key()
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
            raise ValueError("another kind of key")
        if not found.is_signature_valid:
            raise InvalidSignature
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm) as error:
        raise InvalidRequest("request: PKCS #10 in DER, for a key on P-256, signed with it") from error
    return key
