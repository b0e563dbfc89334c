"""Every method of the gateway is in the table of roles, and is open to those roles and to no other."""

from pathlib import Path

import grpc
import pytest
from visard_common.roles import MAY, kinds_for, method_of
from visard_wire.v1 import common_pb2, gateway_pb2

from tests.gateway.harness import House, Operation, request, running, small_upload, stream

SERVICES = ("FaceMatching", "ModelRegistry", "Admin")
METHODS = [m for name in SERVICES for m in gateway_pb2.DESCRIPTOR.services_by_name[name].methods]
# the certificate of each kind that certs.init makes
CERTIFICATES = {
    "verifier": "verifier",
    "enroller": "client",
    "owner": "owner",
    "admin": "admin",
    "gateway": "gateway",
    "dealer": "dealer",
    "party": "party1",
}
BY_METHOD = {method_of(number): number for number in Operation.values() if number}
SECONDS = 120.0  # more than PATIENCE: no test passes because the caller gave up


def methods__should_all_be_in_the_table_once() -> None:
    assert set(MAY) == {method.name for method in METHODS} | {"Expire"}
    assert len({method.name for method in METHODS}) == len(METHODS)
    assert all(kinds_for(method.name) for method in METHODS)
    assert kinds_for("Other") == ()


def operations__should_be_asked_for_by_methods_of_their_names() -> None:
    names = {method_of(number) for number in Operation.values() if number}
    assert names - {method.name for method in METHODS} == {"Expire"}, "the gateway's own, which nobody may ask for"
    assert kinds_for("Expire") == ()


def may(kind: str) -> set[str]:
    return {method for method, kinds in MAY.items() if kind in kinds}


def roles__should_grow_by_what_they_add() -> None:
    assert may("verifier") < may("enroller") < may("owner")
    assert may("enroller") - may("verifier") == {
        "Enrol",
        "Delete",
        "Rename",
        "Migrate",
        "Review",
        "ListSubjects",
        "ListReferences",
    }
    assert may("owner") - may("enroller") == {"Publish", "Calibrate", "Withdraw"}
    assert not may("admin") & {
        "Enrol",
        "Verify",
        "Identify",
        "Compare",
        "Run",
        "Delete",
        "Rename",
        "Migrate",
        "Publish",
    }


async def permitted(house: House, kind: str, name: str) -> bool:
    """Whether a role gets past the gateway's check; what the parties make of it is another matter."""
    role = CERTIFICATES[kind]
    (method,) = (m for m in METHODS if m.name == name)
    stubs = {"FaceMatching": house.matching, "ModelRegistry": house.registry, "Admin": house.administration}
    call = getattr(stubs[method.containing_service.name](role), name)
    message = getattr(gateway_pb2, method.input_type.name, None)
    try:
        if method.input_type is common_pb2.Upload.DESCRIPTOR:
            await call(stream(small_upload(request(BY_METHOD[name]))), timeout=SECONDS)
        elif "request" in method.input_type.fields_by_name:
            asked = message(request=request(BY_METHOD[name]))  # type: ignore[misc]
            await call(asked, timeout=SECONDS)
        else:
            await call(message(), timeout=SECONDS)  # type: ignore[misc]
    except grpc.aio.AioRpcError as error:
        return error.code() is not grpc.StatusCode.PERMISSION_DENIED
    return True


@pytest.mark.parametrize("name", [method.name for method in METHODS])
async def method__should_be_open_to_the_roles_of_the_table_and_to_no_other(folder: Path, name: str) -> None:
    async with running(folder) as house:
        found = {kind for kind in CERTIFICATES if await permitted(house, kind, name)}
    assert found == set(kinds_for(name))


async def who_enrolled__should_be_told_to_those_who_did_and_to_administrators(folder: Path) -> None:
    rows = [gateway_pb2.ReferenceInfo(enrolled_by=f"enroller/{name}") for name in ("default", "kiosk-7")]

    async with running(folder) as house:
        for party in house.parties:
            party.references = rows

        async def told(role: str) -> list[str]:
            answer = await house.matching(role).ListReferences(gateway_pb2.ListReferencesRequest(), timeout=SECONDS)
            return [reference.enrolled_by for reference in answer.references]

        assert await told("client") == ["enroller/default", ""]
        assert await told("owner") == ["", ""]
        assert await told("admin") == ["enroller/default", "enroller/kiosk-7"]


async def audit_log__should_be_asked_of_the_party_that_is_named(folder: Path) -> None:
    async with running(folder) as house:
        ask = house.administration().AuditLog
        for party in range(3):
            answer = await ask(gateway_pb2.AuditLogRequest(party=party), timeout=SECONDS)
            assert answer.now_unix_ms == party
        with pytest.raises(grpc.aio.AioRpcError, match="0, 1 or 2") as caught:
            await ask(gateway_pb2.AuditLogRequest(party=3), timeout=SECONDS)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
