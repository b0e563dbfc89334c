"""Calls of administrators about rights, and about who asked for what: a part of the client."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from visard.results import Right
from visard.v1 import common_pb2, gateway_pb2

if TYPE_CHECKING:
    from visard.v1 import gateway_pb2_grpc

Operation = common_pb2.Operation
T = TypeVar("T")


class Administration:
    """What visard.Client has for administrators; the client brings the rest."""

    model: str
    _admin: "gateway_pb2_grpc.AdminAsyncStub"

    def _request(self, operation: int, subject: str = "", **options: Any) -> common_pb2.Request:
        raise NotImplementedError

    async def _write(self, request: common_pb2.Request, call: Callable[[common_pb2.Request, float], Awaitable[T]]) -> T:
        raise NotImplementedError

    async def _again(self, call: Callable[[float], Awaitable[T]]) -> T:
        raise NotImplementedError

    async def grant(self, grantee: str, subject: str = "") -> None:
        """Let a caller, as in "enroller/kiosk-7", add to, replace, delete and rename a subject that others have enrolled.

        With an empty subject: every subject of the client's model. The right is to the name, whoever bears it later.
        """
        request = self._request(Operation.OPERATION_GRANT, subject, grantee=grantee)
        await self._write(request, lambda r, left: self._admin.Grant(gateway_pb2.GrantRequest(request=r), timeout=left))

    async def revoke(self, grantee: str, subject: str = "") -> None:
        """Take back exactly what ``grant`` gave with the same words; raises NotFound."""
        request = self._request(Operation.OPERATION_REVOKE, subject, grantee=grantee)
        await self._write(
            request, lambda r, left: self._admin.Revoke(gateway_pb2.RevokeRequest(request=r), timeout=left)
        )

    async def rights(self) -> list[Right]:
        """All rights that were granted, to whatever model."""
        found: list[Right] = []
        token = ""
        while True:
            ask = gateway_pb2.ListRightsRequest(page_token=token)
            page = await self._again(lambda left, ask=ask: self._admin.ListRights(ask, timeout=left))  # type: ignore[misc]
            found += [Right(right.model, right.subject, right.grantee) for right in page.rights]
            if not (token := page.next_page_token):
                return sorted(found, key=lambda right: (right.model, right.subject, right.grantee))

    async def audit_log_page(
        self, party: int, after: int = 0, since_unix_ms: int = 0, page_size: int = 0
    ) -> gateway_pb2.AuditLogResponse:
        """A page of one party's log of who asked for what: see visard.auditlog."""
        ask = gateway_pb2.AuditLogRequest(party=party, after=after, since_unix_ms=since_unix_ms, page_size=page_size)
        return await self._again(lambda left: self._admin.AuditLog(ask, timeout=left))
