"""A party lets nobody ask for what the caller's role does not allow, and nobody at all whom its operator has struck off."""

from pathlib import Path

import pytest
from visard import certs
from visard_common.errors import PermissionDenied
from visard_common.operations import DECLARED
from visard_common.tls import Tls
from visard_common.vouching import Vouching
from visard_party.intake.callers import Callers
from visard_wire.callers import Signer
from visard_wire.v1 import common_pb2

ROLES = ("verifier", "client", "owner", "admin", "gateway", "party0", "dealer")
EVERYTHING = [value for value in common_pb2.Operation.values() if value != common_pb2.OPERATION_UNSPECIFIED]
OWNERS = ("PUBLISH", "CALIBRATE", "WITHDRAW")
ADMINS = (
    *("REFRESH", "RECOVER", "GRANT", "REVOKE", "UNLOCK", "CREATE_GALLERY", "CHANGE_GALLERY", "DELETE_GALLERY"),
    *("EXPORT", "IMPORT"),
)
VERIFIERS = ("VERIFY", "IDENTIFY", "COMPARE", "RUN")


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("pki")
    certs.init(directory)
    return directory


def vouching(pki: Path) -> Vouching:
    return Vouching(Tls(ca=pki / "ca.pem", cert=pki / "party0.pem", key=pki / "party0.key"))


def signed(pki: Path, role: str, operation: "common_pb2.Operation.ValueType") -> common_pb2.Request:
    request = common_pb2.Request(request_id=bytes(16), operation=operation)
    Signer.read(pki / f"{role}.pem", pki / f"{role}.key").sign(request)
    return request


def allowed(callers: Callers, request: common_pb2.Request) -> bool:
    try:
        return bool(callers.of(request))
    except PermissionDenied:
        return False


@pytest.mark.parametrize("operation", [value for value in EVERYTHING if DECLARED[value].signed])
def operation__should_be_for_these_roles_alone(pki: Path, operation: "common_pb2.Operation.ValueType") -> None:
    callers = Callers(vouching(pki))
    name = common_pb2.Operation.Name(operation).removeprefix("OPERATION_")
    expected = {"owner"} if name in OWNERS else {"admin"} if name in ADMINS else {"client", "owner"}
    expected |= {"verifier"} if name in VERIFIERS else {"admin"} if name == "REVIEW" else set()
    assert {role for role in ROLES if allowed(callers, signed(pki, role, operation))} == expected


def expiry__should_be_the_only_thing_that_nobody_signs() -> None:
    assert {common_pb2.OPERATION_EXPIRE} == {one for one, declared in DECLARED.items() if not declared.signed}


def struck_off_caller__should_be_refused_by_name(pki: Path) -> None:
    callers = Callers(vouching(pki), {"enroller/default"})
    with pytest.raises(PermissionDenied, match="enroller/default is refused by a party's operator"):
        callers.of(signed(pki, "client", common_pb2.OPERATION_VERIFY))
    assert callers.of(signed(pki, "owner", common_pb2.OPERATION_VERIFY)) == "owner/default"


def new_authority__should_be_known_without_a_restart_and_a_broken_file_should_not_hurt(tmp_path: Path) -> None:
    certs.init(tmp_path / "old")
    certs.init(tmp_path / "new")
    bundle = tmp_path / "old" / "ca.pem"
    old = bundle.read_bytes()
    callers = Callers(vouching(tmp_path / "old"))
    request = signed(tmp_path / "new", "client", common_pb2.OPERATION_VERIFY)
    assert not allowed(callers, request)
    bundle.write_bytes(b"half a file")
    assert allowed(callers, signed(tmp_path / "old", "client", common_pb2.OPERATION_VERIFY))
    bundle.write_bytes(old + (tmp_path / "new" / "ca.pem").read_bytes())
    assert allowed(callers, request)
    assert allowed(callers, signed(tmp_path / "old", "client", common_pb2.OPERATION_VERIFY))
