"""The Job of the try overlay makes exactly the Secrets that the pods wait for, with certificates that fit their services."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from cryptography import x509
from visard.certs import ROLES, verify_party_key

from services.common.tls import Tls
from tests.deploy.manifests import K8S, WORKLOADS, of_kind, rendered, secrets_of


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("certificates", K8S / "overlays" / "try" / "certificates.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "WORK", tmp_path / "pki")
    return module


@pytest.fixture
def made(program: ModuleType, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, bytes]]:
    found: dict[str, dict[str, bytes]] = {}
    monkeypatch.setattr(program, "create", lambda name, data: found.update({name: data}))
    program.main()
    return found


def secrets__should_be_those_that_pods_wait_for(made: dict[str, dict[str, bytes]]) -> None:
    wanted = set().union(*(secrets_of(m) for m in of_kind(rendered("try"), *WORKLOADS)))
    assert wanted == made.keys() - {"client-tls", "owner-tls", "admin-tls"}


def certificates__should_name_role_and_service(made: dict[str, dict[str, bytes]], tmp_path: Path) -> None:
    hosts = {s["metadata"]["name"] for s in of_kind(rendered("try"), "Service")}
    named: set[str] = set()
    for name, data in made.items():
        if "tls.crt" not in data:
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
    assert named == hosts


def sealing_keys__should_be_signed(made: dict[str, dict[str, bytes]]) -> None:
    for party in range(3):
        sealing = made[f"party-sealing-{party}"]
        verify_party_key(made["gateway-tls"]["ca.crt"], party, sealing["hpke.pub"], sealing["hpke.sig"])


def databases__should_have_passwords_of_their_own(made: dict[str, dict[str, bytes]]) -> None:
    passwords = [made[f"party-mongodb-{party}"]["password"] for party in range(3)]
    assert len(set(passwords)) == 3
    assert all(len(password) >= 32 for password in passwords)
    for party in range(3):
        assert f"@party-mongodb-{party}:27017/".encode() in made[f"party-mongodb-{party}"]["uri"]


def authoritys_key__should_be_kept_nowhere(made: dict[str, dict[str, bytes]], program: ModuleType) -> None:
    key = (program.WORK / "ca.key").read_bytes()
    assert not any(key in value for data in made.values() for value in data.values())
