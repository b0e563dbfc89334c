"""Who calls: the role in the peer's certificate, and which roles may call what."""

import re
from dataclasses import dataclass
from typing import Any

import grpc

from visard_common.errors import PermissionDenied
from visard_common.vouching import check_peer

_SCHEME = "visard://"
# a store is a party's database, which may call nobody
KINDS = ("gateway", "dealer", "party", "verifier", "enroller", "owner", "admin", "store")
_NAME = re.compile(r"[A-Za-z0-9._-]{0,64}")


@dataclass(frozen=True)
class Role:
    """A kind of peer and, for parties and callers, which one."""

    kind: str
    name: str = ""

    @classmethod
    def parse(cls, uri: str) -> "Role | None":
        """The role in a URI like visard://party/0, or None."""
        kind, _, name = uri.removeprefix(_SCHEME).partition("/")
        known = uri.startswith(_SCHEME) and kind in KINDS and _NAME.fullmatch(name)
        return cls(kind, name) if known else None

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}" if self.name else self.kind


def peer_role(context: "grpc.aio.ServicerContext[Any, Any]") -> Role:
    """The caller's role; raises PermissionDenied when its certificate has none, or several, or nobody vouches for it."""
    names = context.auth_context().get("x509_subject_alternative_name", ())
    roles = {role for name in names if (role := Role.parse(name.decode("latin-1")))}
    if len(roles) != 1:
        raise PermissionDenied("the certificate names no role, or several")
    role = roles.pop()
    check_peer(context, str(role))
    return role


def require(context: "grpc.aio.ServicerContext[Any, Any]", *kinds: str) -> Role:
    """The caller's role if it is one of these kinds; raises PermissionDenied."""
    role = peer_role(context)
    if role.kind not in kinds:
        raise PermissionDenied(f"role {role.kind} may not call this: only {', '.join(kinds)}")
    return role


def require_party(context: "grpc.aio.ServicerContext[Any, Any]") -> int:
    """The number of the calling party; raises PermissionDenied."""
    role = require(context, "party")
    if role.name not in ("0", "1", "2"):
        raise PermissionDenied("the certificate names no party")
    return int(role.name)
