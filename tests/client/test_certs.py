"""Certificates carry one role each and chain to the authority; sealing keys are believed only with its signature."""

from pathlib import Path

import pytest
from cryptography import x509
from visard import certs
from visard.errors import InvalidRequest


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("pki")
    certs.init(directory, ["localhost", "127.0.0.1", "party.example"])
    return directory


@pytest.mark.parametrize(("name", "role"), certs.ROLES.items())
def certificate__should_name_its_role_and_hosts(pki: Path, name: str, role: str) -> None:
    authority = x509.load_pem_x509_certificate((pki / "ca.pem").read_bytes())
    certificate = x509.load_pem_x509_certificate((pki / f"{name}.pem").read_bytes())
    certificate.verify_directly_issued_by(authority)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [role]
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "party.example"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]


def private_files__should_be_private(pki: Path) -> None:
    private = list(pki.glob("*.key"))
    assert len(private) == len(certs.ROLES) + 1
    assert {path.stat().st_mode & 0o777 for path in private} == {0o600}


def existing_certificates__should_not_be_overwritten(pki: Path) -> None:
    before = (pki / "ca.pem").read_bytes()
    with pytest.raises(certs.CertificatesExist, match="already"):
        certs.init(pki)
    assert (pki / "ca.pem").read_bytes() == before


def further_caller__should_get_a_certificate_of_its_own(tmp_path: Path) -> None:
    certs.init(tmp_path)
    certs.issue(tmp_path, "kiosk-7", "visard://enroller/kiosk-7")
    made = x509.load_pem_x509_certificate((tmp_path / "kiosk-7.pem").read_bytes())
    made.verify_directly_issued_by(x509.load_pem_x509_certificate((tmp_path / "ca.pem").read_bytes()))
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [name.value for name in names] == ["visard://enroller/kiosk-7"]
    assert (tmp_path / "kiosk-7.key").stat().st_mode & 0o777 == 0o600
    with pytest.raises(certs.CertificatesExist):
        certs.issue(tmp_path, "kiosk-7", "visard://enroller/kiosk-7")


@pytest.mark.parametrize(
    "role",
    [
        "visard://party/0",
        "visard://gateway",
        "visard://enroller/",
        "enroller",
        "visard://root/x",
        "visard://client/x",
        "visard://admin/a b",
    ],
)
def role_there_is_only_one_of__should_not_be_issued_again(role: str, tmp_path: Path) -> None:
    certs.init(tmp_path)
    with pytest.raises(InvalidRequest, match="visard://enroller/NAME"):
        certs.issue(tmp_path, "another", role)
    assert not (tmp_path / "another.pem").exists()
