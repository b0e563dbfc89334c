"""Which role may ask for what: one table, which the gateway checks against connections and the parties against signatures.

Pure. What may be asked for goes by the names of the gateway's methods. Roles that are not in the table call no method of these.
"""

from collections.abc import Mapping

from visard_common.operations import ADMINS, DECLARED, ENROLLERS, VERIFIERS, word

# methods that ask for no operation: how things are, and lists
_EVERYBODY = ("verifier", "enroller", "owner", "admin")
_METHODS: Mapping[str, tuple[str, ...]] = {
    "GetStatus": _EVERYBODY,
    "GetParties": _EVERYBODY,  # every request needs the parties' keys
    "ListModels": VERIFIERS,
    "ListSubjects": (*ENROLLERS, *ADMINS),
    "ListReferences": (*ENROLLERS, *ADMINS),
    "ListGalleries": _EVERYBODY,
    "ListRights": ADMINS,
    "Audit": ADMINS,
    "AuditLog": ADMINS,
}


def method_of(operation: int) -> str:
    """The method that asks for an operation: OPERATION_ENROL is what Enrol asks for, OPERATION_CREATE_GALLERY CreateGallery."""
    return "".join(part.capitalize() for part in word(operation).split("_"))


# every method, and the roles that may call it
MAY: Mapping[str, tuple[str, ...]] = {
    **_METHODS,
    **{method_of(operation): declared.roles for operation, declared in DECLARED.items()},
}


def kinds_for(method: str) -> tuple[str, ...]:
    """The roles that may call a method of the gateway."""
    return MAY.get(method, ())
