"""Which role may ask for what: one table, which the gateway checks against connections and the parties against signatures.

Pure. What may be asked for goes by the names of the gateway's methods. Roles that are not in the table call no method of these.
"""

from collections.abc import Mapping

from visard.v1 import common_pb2

# how things are, and what every request needs: models, and the parties' keys
_LOOKS = frozenset({"GetStatus", "GetParties"})
_VERIFIER = _LOOKS | {"ListModels", "Verify", "Identify", "Compare", "Run"}
_ENROLLER = _VERIFIER | {"Enrol", "Delete", "Rename", "ListSubjects", "ListReferences"}
_OWNER = _ENROLLER | {"Publish", "Withdraw"}
_RIGHTS = frozenset({"Grant", "Revoke", "ListRights"})
_ADMIN = _LOOKS | _RIGHTS | {"Audit", "AuditLog", "Refresh", "Recover", "ListSubjects", "ListReferences"}

MAY: Mapping[str, frozenset[str]] = {
    "verifier": _VERIFIER,
    "enroller": _ENROLLER,
    "owner": _OWNER,
    "admin": _ADMIN,
}


def kinds_for(method: str) -> tuple[str, ...]:
    """The roles that may call a method of the gateway."""
    return tuple(kind for kind, methods in MAY.items() if method in methods)


def method_of(operation: int) -> str:
    """The method that asks for an operation: OPERATION_ENROL is what Enrol asks for."""
    return common_pb2.Operation.Name(operation).removeprefix("OPERATION_").capitalize()  # type: ignore[arg-type]
