"""Certificates carry one role each and chain to the authority; sealing keys are believed only with its signature."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from typer.testing import CliRunner
from visard import certs
from visard.cli.app import app
from visard.connection import Connection, authority, read_trust
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


OPERATORS = {
    "party/0": "party0",
    "party/1": "party1",
    "party/2": "party2",
    "gateway": "gateway",
    "enroller/*": "client",
}


@pytest.fixture(scope="module")
def operators(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Each operator's root, by the role that it vouches for."""
    folder = tmp_path_factory.mktemp("operators")
    for name in OPERATORS.values():
        certs.init(folder / name, ["localhost"], only=[name])
    return {role: folder / name / "ca.pem" for role, name in OPERATORS.items()}


def operators_authority__should_be_for_its_own_roles_alone(tmp_path: Path, operators: dict[str, Path]) -> None:
    assert {path.name for path in operators["party/1"].parent.iterdir()} == {
        "ca.pem",
        "ca.key",
        "party1.pem",
        "party1.key",
    }
    with pytest.raises(InvalidRequest, match="party3: not one of gateway, dealer"):
        certs.init(tmp_path / "none", only=["party3"])
    assert not (tmp_path / "none").exists()
    names = {x509.load_pem_x509_certificate(path.read_bytes()).subject for path in operators.values()}
    assert len(names) == len(operators), "TLS finds roots by name"


def exchanged_roots__should_say_who_vouches_for_whom(tmp_path: Path, operators: dict[str, Path]) -> None:
    shown = certs.trust(tmp_path / "certs", operators)
    assert shown.keys() == operators.keys()
    assert (tmp_path / "certs" / "enroller-root.pem").read_bytes() == operators["enroller/*"].read_bytes()
    assert authority(tmp_path / "certs") == tmp_path / "certs" / "roots.toml"
    trust = read_trust(tmp_path / "certs" / "roots.toml")
    for role, path in operators.items():
        assert trust.pem(role.replace("*", "kiosk-7")) == path.read_bytes()
    assert trust.of("owner/default") == trust.of("dealer") == ()


def one_operators_roots__should_be_replaced_and_all_others_stay(tmp_path: Path, operators: dict[str, Path]) -> None:
    certs.trust(tmp_path / "certs", operators)
    certs.init(tmp_path / "next", only=["party1"])
    both = tmp_path / "both.pem"
    both.write_bytes(operators["party/1"].read_bytes() + (tmp_path / "next" / "ca.pem").read_bytes())
    assert len(certs.trust(tmp_path / "certs", {"party/1": both})["party/1"]) == 2
    more = {"party/1": tmp_path / "next" / "ca.pem", "owner/bank": operators["enroller/*"]}
    shown = certs.trust(tmp_path / "certs", more)
    assert [len(roots) for roots in shown.values()] == [1] * (len(operators) + 1)
    assert (tmp_path / "certs" / "owner-bank-root.pem").exists()
    assert certs.trust(tmp_path / "certs", {}) == shown


def what_does_not_fit__should_be_refused_and_nothing_written(tmp_path: Path, operators: dict[str, Path]) -> None:
    certs.trust(tmp_path / "certs", operators)
    before = {path.name: path.read_bytes() for path in (tmp_path / "certs").iterdir()}
    for role, file, reason in (
        ("party/1", operators["party/0"], "party/1: has a root in common with party/0"),
        ("party/1", operators["party/1"].with_name("ca.key"), "party/1: the file holds a private key"),
        ("party/1", operators["party/1"].with_name("party1.pem"), "party/1: a root is"),
        ("party/1", tmp_path / "nowhere", "nowhere: No such file"),
        ("party/9", operators["party/0"], "party/9: not a role"),
        ("../x", operators["party/0"], "../x: not a role"),
        ("enroller/x", operators["gateway"], "enroller/x: has a root in common with gateway"),
    ):
        with pytest.raises(InvalidRequest, match=re.escape(reason)):
            certs.trust(tmp_path / "certs", {role: file})
    assert {path.name: path.read_bytes() for path in (tmp_path / "certs").iterdir()} == before
    with pytest.raises(InvalidRequest, match="party/2: missing"):
        certs.trust(tmp_path / "fresh", {role: file for role, file in operators.items() if role != "party/2"})
    assert not (tmp_path / "fresh").exists()


def home__should_have_one_kind_of_authorities(tmp_path: Path, operators: dict[str, Path]) -> None:
    (tmp_path / "client.toml").write_text('gateway = "localhost:1"\ncerts = "certs"\n')
    certs.trust(tmp_path / "certs", operators)
    assert Connection.from_home(tmp_path).ca == tmp_path / "certs" / "roots.toml"
    (tmp_path / "certs" / "ca.pem").write_bytes(operators["gateway"].read_bytes())
    with pytest.raises(InvalidRequest, match=r"has both ca\.pem and roots\.toml"):
        Connection.from_home(tmp_path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda folder: (folder / "roots.toml").write_text("gateway"), "roots.toml: not TOML"),
        (lambda folder: (folder / "party1-root.pem").unlink(), "party1-root.pem does not exist"),
        (lambda folder: (folder / "party1-root.pem").write_text(""), "roots.toml: party/1: no certificates in PEM"),
        (lambda folder: drop(folder, "gateway"), "roots.toml: gateway: missing"),
        (lambda folder: drop(folder, "party/0"), "roots.toml: party/0: missing"),
    ],
)
def broken_roots__should_be_told_by_the_file(
    tmp_path: Path, operators: dict[str, Path], change: Callable[[Path], object], reason: str
) -> None:
    certs.trust(tmp_path, operators)
    change(tmp_path)
    client = operators["enroller/*"].parent
    with pytest.raises(InvalidRequest, match=re.escape(reason)):
        Connection("localhost:1", tmp_path / "roots.toml", client / "client.pem", client / "client.key").read()


def drop(folder: Path, role: str) -> None:
    path = folder / "roots.toml"
    path.write_text("".join(line for line in path.read_text().splitlines(True) if f'"{role}"' not in line))


def fingerprints__should_be_shown_as_openssl_shows_them(tmp_path: Path, operators: dict[str, Path]) -> None:
    words = [f"{role}={path}" for role, path in operators.items()]
    done = CliRunner().invoke(app, ["certs", "trust", str(tmp_path / "certs"), *words])
    assert done.exit_code == 0, done.output
    for role, path in operators.items():
        command = ["openssl", "x509", "-noout", "-fingerprint", "-sha256", "-in", str(path)]
        told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
        assert any(
            line.startswith(role) and told.strip().partition("=")[2] in line for line in done.output.splitlines()
        )
    made = CliRunner().invoke(app, ["certs", "init", str(tmp_path / "own"), "--only", "dealer"])
    (root,) = x509.load_pem_x509_certificates((tmp_path / "own" / "ca.pem").read_bytes())
    assert root.fingerprint(hashes.SHA256()).hex(":").upper() in made.output
    again = CliRunner().invoke(
        app, ["certs", "trust", str(tmp_path / "certs"), "dealer=" + str(tmp_path / "own" / "ca.pem")]
    )
    assert [line.split()[0] for line in again.output.splitlines()] == sorted([*operators, "dealer"])
