"""A signature stands for one request, by one holder of a certificate of our authority, and for nothing else."""

import datetime
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from visard import certs
from visard.errors import InvalidRequest, UntrustedKey
from visard_wire.callers import Signer, signed_by
from visard_wire.v1 import common_pb2
from visard_wire.vouching import MAX_CHAIN, Trust

Days = datetime.timedelta


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("callers")
    certs.init(path / "ours")
    certs.init(path / "theirs")
    return path


def authorities(folder: Path) -> Trust:
    return Trust.one((folder / "ours" / "ca.pem").read_bytes())


def signer(folder: Path, deployment: str = "ours", role: str = "client") -> Signer:
    return Signer.read(folder / deployment / f"{role}.pem", folder / deployment / f"{role}.key")


def request() -> common_pb2.Request:
    return common_pb2.Request(request_id=bytes(16), operation=common_pb2.OPERATION_VERIFY, subject="ada", model="face")


def signed(folder: Path, **which: str) -> common_pb2.Request:
    asked = request()
    signer(folder, **which).sign(asked)
    return asked


def signed_request__should_name_its_caller(folder: Path) -> None:
    assert signed_by(authorities(folder), signed(folder)) == ["visard://enroller/default"]
    assert signed_by(authorities(folder), signed(folder, role="admin")) == ["visard://admin/default"]


def request_signed_again__should_name_the_last_who_signed(folder: Path) -> None:
    asked = signed(folder, role="owner")
    signer(folder).sign(asked)
    assert signed_by(authorities(folder), asked) == ["visard://enroller/default"]


def strip(asked: common_pb2.Request) -> None:
    asked.ClearField("caller")


def rename(asked: common_pb2.Request) -> None:
    asked.subject = "eve"


def lengthen(asked: common_pb2.Request) -> None:
    asked.caller.chain.extend([asked.caller.chain[0]] * MAX_CHAIN)


def inflate(asked: common_pb2.Request) -> None:
    asked.caller.chain[0] += bytes(16 << 10)


def garble(asked: common_pb2.Request) -> None:
    asked.caller.chain[0] = b"no certificate"


def garble_signature(asked: common_pb2.Request) -> None:
    asked.caller.signature = b"no signature"


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (strip, "a chain of 1 to"),
        (rename, "exactly this request"),
        (lengthen, "a chain of 1 to"),
        (inflate, "at most 16384 bytes"),
        (garble, "this deployment's authority"),
        (garble_signature, "exactly this request"),
    ],
)
def spoilt_request__should_be_nobodys(folder: Path, spoil: Callable[[common_pb2.Request], None], reason: str) -> None:
    asked = signed(folder)
    spoil(asked)
    with pytest.raises(UntrustedKey, match=reason):
        signed_by(authorities(folder), asked)


def callers_of_another_authority__should_be_strangers(folder: Path) -> None:
    with pytest.raises(UntrustedKey, match="this deployment's authority"):
        signed_by(authorities(folder), signed(folder, deployment="theirs"))


def stolen_certificate__should_be_of_no_use_without_its_key(folder: Path) -> None:
    asked, thiefs = signed(folder), signed(folder, role="gateway")
    thiefs.caller.chain[:] = asked.caller.chain
    with pytest.raises(UntrustedKey, match="exactly this request"):
        signed_by(authorities(folder), thiefs)


def issued(folder: Path, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, ends: Days) -> Signer:
    """Somebody with a certificate of ours made by hand."""
    (ca,) = x509.load_pem_x509_certificates((folder / "ours" / "ca.pem").read_bytes())
    ca_key = serialization.load_pem_private_key((folder / "ours" / "ca.key").read_bytes(), None)
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().issuer_name(ca.subject).serial_number(7).public_key(key.public_key())
    builder = builder.subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")]))
    builder = builder.not_valid_before(now - Days(9)).not_valid_after(now + ends)
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier("visard://enroller/x")])
    certificate = builder.add_extension(names, critical=False).sign(ca_key, hashes.SHA256())  # type: ignore[arg-type]
    der = certificate.public_bytes(serialization.Encoding.DER)
    signing = key if isinstance(key, ec.EllipticCurvePrivateKey) else ec.generate_private_key(ec.SECP256R1())
    return Signer([der], signing)


def expired_certificate__should_count_no_more(folder: Path) -> None:
    asked, key = request(), ec.generate_private_key(ec.SECP256R1())
    issued(folder, key, Days(1)).sign(asked)
    assert signed_by(authorities(folder), asked) == ["visard://enroller/x"]
    issued(folder, key, Days(-1)).sign(asked)
    with pytest.raises(UntrustedKey, match="valid now"):
        signed_by(authorities(folder), asked)


def rsa_key__should_be_refused_on_both_sides(folder: Path, tmp_path: Path) -> None:
    key, asked = rsa.generate_private_key(65537, 2048), request()
    pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (tmp_path / "rsa.key").write_bytes(key.private_bytes(*pem))
    with pytest.raises(InvalidRequest, match="ECDSA"):
        Signer.read(folder / "ours" / "client.pem", tmp_path / "rsa.key")
    issued(folder, key, Days(1)).sign(asked)
    with pytest.raises(UntrustedKey, match="ECDSA"):
        signed_by(authorities(folder), asked)
