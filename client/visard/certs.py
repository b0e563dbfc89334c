"""Certificates for a deployment: one authority, one certificate a role; or an authority of each operator's own.

All TLS keys are ECDSA P-256 (what every TLS stack takes). A certificate's role is a URI in its subject alternative names:
``visard://gateway``, ``visard://dealer``, ``visard://party/0``, ``visard://store/N`` for a party's database (which may call
nobody), and for callers ``visard://verifier/NAME``, ``visard://enroller/NAME``, ``visard://owner/NAME``,
``visard://admin/NAME``: services/common/visard_common/roles.py says what each may ask for.
Sealing keys are none of this: each party makes its own, and signs them with the key of its certificate (visard_wire.partykeys).
"""

import datetime
import ipaddress
import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from visard_wire.vouching import Trust, read_table

from visard.errors import InvalidRequest, VisardError

ROLES = {
    "gateway": "visard://gateway",
    "dealer": "visard://dealer",
    "party0": "visard://party/0",
    "party1": "visard://party/1",
    "party2": "visard://party/2",
    "verifier": "visard://verifier/default",
    "client": "visard://enroller/default",
    "owner": "visard://owner/default",
    "admin": "visard://admin/default",
}
ISSUED = ("verifier", "enroller", "owner", "admin", "store")  # kinds of which there may be many
_VALID_DAYS = 825
_AUTHORITY_DAYS = 3650  # it outlives what it signs, so that a renewal renews


class CertificatesExist(VisardError):
    """The directory has certificates already; nothing was changed."""


def init(
    directory: Path, hosts: Iterable[str] = ("localhost", "127.0.0.1"), only: Collection[str] = tuple(ROLES)
) -> None:
    """Make ca.pem, ca.key, a certificate and key for each role, or for some of them. Overwrites nothing.

    Raises InvalidRequest for a name that is not in ROLES.
    """
    if unknown := sorted(set(only) - set(ROLES)):
        raise InvalidRequest(f"{unknown[0]}: not one of {', '.join(ROLES)}")
    directory.mkdir(parents=True, exist_ok=True)
    if (directory / "ca.pem").exists():
        raise CertificatesExist(f"{directory}: there are certificates here already; remove them to make new ones")
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca = _authority(ca_key)
    write_key(directory / "ca.key", ca_key)
    for name, role in ((name, ROLES[name]) for name in ROLES if name in only):
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _certificate(ca, ca_key, key.public_key(), role, list(hosts))
        write_key(directory / f"{name}.key", key)
        (directory / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    # last, so that an interrupted run can be started again
    (directory / "ca.pem").write_bytes(ca.public_bytes(serialization.Encoding.PEM))


def issue(directory: Path, name: str, role: str, hosts: Iterable[str] = ()) -> None:
    """One more certificate, NAME.pem and NAME.key, for a caller or for a party's database. Needs ca.key.

    Raises InvalidRequest for a role that there is only one of, CertificatesExist for a name that is taken.
    """
    if not re.fullmatch(rf"visard://({'|'.join(ISSUED)})/[A-Za-z0-9._-]{{1,64}}", role):
        raise InvalidRequest("a role is " + ", ".join(f"visard://{kind}/NAME" for kind in ISSUED))
    if not re.fullmatch(r"[\w-]{1,64}", name):
        raise InvalidRequest("a name has 1 to 64 letters, digits, _ and -")
    if (directory / f"{name}.pem").exists():
        raise CertificatesExist(f"{directory / name}.pem is there already; see renew")
    _issue(directory, name, role, list(hosts))


def renew(directory: Path, name: str, more: Iterable[str] = ()) -> None:
    """A new certificate and key for a role, for the same hosts and ``more``. Needs ca.key. Services take it without a restart."""
    path = directory / f"{name}.pem"
    old = x509.load_pem_x509_certificate(existing(path).read_bytes())
    names = old.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    hosts = [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]
    (role,) = names.get_values_for_type(x509.UniformResourceIdentifier)
    _issue(directory, name, role, list(dict.fromkeys([*hosts, *more])))


def trust(directory: Path, files: Mapping[str, Path]) -> Mapping[str, Sequence[x509.Certificate]]:
    """Say who vouches for whom, in roots.toml with a PEM file for each role beside it; the roots, by role.

    What is there already stays, where ``files`` name no other; visard_wire.vouching says how roles are named. Raises
    InvalidRequest for what does not fit together, and writes nothing then.
    """
    path = directory / "roots.toml"
    try:
        before = read_table(path) if path.exists() else {}
        pem = {role: file.read_bytes() for role, file in {**before, **files}.items()}
        trusted = Trust.each(pem)
    except OSError as error:
        raise InvalidRequest(f"{error.filename}: {error.strerror}") from error
    except ValueError as error:
        raise InvalidRequest(str(error)) from error
    directory.mkdir(parents=True, exist_ok=True)
    names = {
        role: _file_of(role) if role in files else os.path.relpath(before[role], directory) for role in sorted(pem)
    }
    for role in files:
        _write(directory / names[role], pem[role])
    _write(path, "".join(f'"{role}" = "{name}"\n' for role, name in names.items()).encode())
    return {role: trusted.pinned[role] for role in names}


def _file_of(role: str) -> str:
    """party/0 in party0-root.pem, verifier/* in verifier-root.pem, verifier/door-3 in verifier-door-3-root.pem."""
    kind, _, name = role.partition("/")
    joint = "" if kind == "party" or name in ("", "*") else "-"
    return f"{kind}{joint}{name.removeprefix('*')}-root.pem"


def _issue(directory: Path, name: str, role: str, hosts: list[str]) -> None:
    ca = x509.load_pem_x509_certificate(existing(directory / "ca.pem").read_bytes())
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _certificate(ca, authority_key(directory), key.public_key(), role, hosts)
    write_key(directory / f"{name}.key", key)
    _write(directory / f"{name}.pem", certificate.public_bytes(serialization.Encoding.PEM))


def authority_key(directory: Path) -> ec.EllipticCurvePrivateKey:
    """The key in ca.key; raises InvalidRequest where there is none."""
    key = serialization.load_pem_private_key(existing(directory / "ca.key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def existing(path: Path) -> Path:
    """The path; raises InvalidRequest where there is no such file."""
    if not path.is_file():
        raise InvalidRequest(f"{path} does not exist")
    return path


def _authority(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    # a name of its own: between two roots of one name in a bundle TLS would not find the right one
    common = f"visard root {os.urandom(4).hex()}"
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    builder = begun(name, name, key.public_key(), _AUTHORITY_DAYS)
    # one authority may stand below it: a registrar's (visard.registrar)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
    return builder.add_extension(usage, critical=True).sign(key, hashes.SHA256())


def _certificate(
    ca: x509.Certificate,
    ca_key: ec.EllipticCurvePrivateKey,
    key: ec.EllipticCurvePublicKey,
    role: str,
    hosts: list[str],
) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, role.removeprefix("visard://"))])
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(role), *map(host_name, hosts)]
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    builder = begun(name, ca.subject, key)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    return builder.sign(ca_key, hashes.SHA256())


def begun(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int = _VALID_DAYS
) -> x509.CertificateBuilder:
    """A certificate valid from now on, to which extensions are added before it is signed."""
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(minutes=5))
    return builder.not_valid_after(now + datetime.timedelta(days=days))


def host_name(host: str) -> x509.GeneralName:
    """A host's name or address among alternative names."""
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    """Write a key in PEM, for its owner alone."""
    encoding, encryption = serialization.Encoding.PEM, serialization.NoEncryption()
    _write_private(path, key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, encryption))


def _write_private(path: Path, data: bytes) -> None:
    """Write a file that only its owner may read, from its first byte on."""
    _write(path, data, 0o600)


def _write(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write a file as a whole: whoever reads it sees the old one or the new one."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
