"""Certificates for a deployment: one authority, one certificate a role, one sealing key a party.

All TLS keys are ECDSA P-256 (what every TLS stack takes). A certificate's role is a URI in its subject alternative names:
``visard://gateway``, ``visard://dealer``, ``visard://party/0``, ``visard://client/NAME``, ``visard://owner/NAME``,
``visard://admin/NAME``.
A party's X25519 sealing key is signed by the authority, so that a client which has ca.pem needs to trust nobody else.
"""

import datetime
import ipaddress
import os
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from visard.errors import UntrustedKey, VisardError
from visard.sealing import party_key_statement

ROLES = {
    "gateway": "visard://gateway",
    "dealer": "visard://dealer",
    "party0": "visard://party/0",
    "party1": "visard://party/1",
    "party2": "visard://party/2",
    "client": "visard://client/default",
    "owner": "visard://owner/default",
    "admin": "visard://admin/default",
}
_VALID_DAYS = 825


class CertificatesExist(VisardError):
    """The directory has certificates already; nothing was changed."""


def init(directory: Path, hosts: Iterable[str] = ("localhost", "127.0.0.1")) -> None:
    """Make ca.pem, ca.key, a certificate and key for each role, and the parties' sealing keys. Overwrites nothing."""
    directory.mkdir(parents=True, exist_ok=True)
    if (directory / "ca.pem").exists():
        raise CertificatesExist(f"{directory}: there are certificates here already; remove them to make new ones")
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca = _authority(ca_key)
    _write_key(directory / "ca.key", ca_key)
    for name, role in ROLES.items():
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _certificate(ca, ca_key, key.public_key(), role, list(hosts))
        _write_key(directory / f"{name}.key", key)
        (directory / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    for party in range(3):
        _sealing_key(directory, party, ca_key)
    # last, so that an interrupted run can be started again
    (directory / "ca.pem").write_bytes(ca.public_bytes(serialization.Encoding.PEM))


def verify_party_key(ca_pem: bytes, party: int, public_key: bytes, signature: bytes) -> None:
    """Check the authority's signature under a party's sealing key; raises UntrustedKey."""
    authority = x509.load_pem_x509_certificate(ca_pem).public_key()
    try:
        if not isinstance(authority, ec.EllipticCurvePublicKey) or len(public_key) != 32:
            raise InvalidSignature
        authority.verify(signature, party_key_statement(party, public_key), ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as error:
        raise UntrustedKey(f"the sealing key offered for party {party} is not signed by our authority") from error


def _authority(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "visard root")])
    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    builder = _builder(name, name, key.public_key())
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    return builder.add_extension(usage, critical=True).sign(key, hashes.SHA256())


def _certificate(
    ca: x509.Certificate,
    ca_key: ec.EllipticCurvePrivateKey,
    key: ec.EllipticCurvePublicKey,
    role: str,
    hosts: list[str],
) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, role.removeprefix("visard://"))])
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(role), *map(_host_name, hosts)]
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    builder = _builder(name, ca.subject, key)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    return builder.sign(ca_key, hashes.SHA256())


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(minutes=5))
    return builder.not_valid_after(now + datetime.timedelta(days=_VALID_DAYS))


def _host_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _sealing_key(directory: Path, party: int, ca_key: ec.EllipticCurvePrivateKey) -> None:
    key = X25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw()
    signature = ca_key.sign(party_key_statement(party, public), ec.ECDSA(hashes.SHA256()))
    _write_private(directory / f"party{party}.hpke", key.private_bytes_raw())
    (directory / f"party{party}.hpke.pub").write_bytes(public)
    (directory / f"party{party}.hpke.sig").write_bytes(signature)


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    encoding, encryption = serialization.Encoding.PEM, serialization.NoEncryption()
    _write_private(path, key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, encryption))


def _write_private(path: Path, data: bytes) -> None:
    """Write a file that only its owner may read, from its first byte on."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
