"""Whether whoever signed a request may ask for it. The gateway's word is not taken for that."""

from collections.abc import Collection, Mapping
from pathlib import Path

import structlog
from cryptography import x509
from visard.callers import signed_by
from visard.errors import UntrustedKey
from visard.v1 import common_pb2

from services.common.errors import PermissionDenied
from services.common.identity import Role
from services.common.tls import stamp
from services.party.requests import UNSIGNED, Operation

_MATCHING = ("client", "owner")
_ALLOWED: Mapping[int, tuple[str, ...]] = {
    Operation.OPERATION_PUBLISH: ("owner",),
    Operation.OPERATION_WITHDRAW: ("owner",),
    Operation.OPERATION_REFRESH: ("admin",),
    Operation.OPERATION_RECOVER: ("admin",),
}
log = structlog.get_logger()


class Callers:
    """Knows the authority, whose file may change at any time. Raises OSError and ValueError when it is made."""

    def __init__(self, ca: Path, refused: Collection[str] = ()) -> None:
        self._ca = ca
        self._refused = refused
        self._read()

    def of(self, request: common_pb2.Request) -> str:
        """Who asks, as in "client/kiosk-7"; empty where nobody needs to. Raises PermissionDenied."""
        if request.operation in UNSIGNED:
            return ""
        self._refresh()
        try:
            roles = [role for uri in signed_by(self._authorities, request) if (role := Role.parse(uri))]
        except UntrustedKey as error:
            allowed = str(error)
            raise PermissionDenied(f"request.caller: {allowed}", field="request.caller", allowed=allowed) from error
        allowed_kinds = _ALLOWED.get(request.operation, _MATCHING)
        if len(roles) != 1 or roles[0].kind not in allowed_kinds:
            raise PermissionDenied(f"request.caller: only {', '.join(allowed_kinds)} may ask for this")
        if (caller := str(roles[0])) in self._refused:
            raise PermissionDenied(f"request.caller: {caller} is refused by a party's operator")
        return caller

    def _refresh(self) -> None:
        if stamp(self._ca) != self._stamp:
            try:
                self._read()
            except (OSError, ValueError) as error:
                log.warning("the new authority is not taken", reason=str(error))

    def _read(self) -> None:
        now = stamp(self._ca)
        self._authorities = x509.load_pem_x509_certificates(self._ca.read_bytes())
        self._stamp = now
