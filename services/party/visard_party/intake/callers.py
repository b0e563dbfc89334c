"""Whether whoever signed a request may ask for it. The gateway's word is not taken for that."""

from collections.abc import Collection

from visard_common.errors import PermissionDenied
from visard_common.identity import Role
from visard_common.operations import DECLARED
from visard_common.roles import kinds_for, method_of
from visard_common.vouching import Vouching
from visard_wire.callers import signed_by
from visard_wire.errors import UntrustedKey
from visard_wire.v1 import common_pb2


class Callers:
    """Knows who vouches for whom, which may change at any time."""

    def __init__(self, vouching: Vouching, refused: Collection[str] = ()) -> None:
        self._vouching = vouching
        self._refused = refused

    def of(self, request: common_pb2.Request) -> str:
        """Who asks, as in "enroller/kiosk-7", and may; empty where nobody needs to. Raises PermissionDenied."""
        caller = self.signed(request)
        self.admit(caller, request.operation)
        return caller

    def signed(self, request: common_pb2.Request) -> str:
        """Who signed a request, whether they may ask for it or not; empty where nobody needs to.

        Raises PermissionDenied for a signature that is not right, or not of one role.
        """
        if not _signed(request.operation):
            return ""
        try:
            roles = [role for uri in signed_by(self._vouching.trust, request) if (role := Role.parse(uri))]
        except UntrustedKey as error:
            allowed = str(error)
            raise PermissionDenied(f"request.caller: {allowed}", field="request.caller", allowed=allowed) from error
        if len(roles) != 1:
            raise PermissionDenied("request.caller: its certificate names no role, or several")
        return str(roles[0])

    def admit(self, caller: str, operation: int) -> None:
        """Raises PermissionDenied unless whoever signed may ask for this."""
        if not caller and not _signed(operation):
            return
        allowed = kinds_for(method_of(operation))
        if caller.partition("/")[0] not in allowed:
            raise PermissionDenied(f"request.caller: only {', '.join(allowed)} may ask for this")
        if caller in self._refused:
            raise PermissionDenied(f"request.caller: {caller} is refused by a party's operator")


def _signed(operation: int) -> bool:
    """Whether a caller asks for this; what is no operation is refused where its signature is checked."""
    return operation not in DECLARED or DECLARED[operation].signed
