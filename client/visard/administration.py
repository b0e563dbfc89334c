"""Calls of administrators: what is stored, who has rights to it, and who asked for what. A part of the client."""

from collections.abc import Awaitable, Sequence

from visard_wire.v1 import common_pb2, gateway_pb2

from visard import results
from visard.calls import Caller, filled
from visard.envelopes import NO_SHARES, SealedRequest
from visard.results import Right

Operation = common_pb2.Operation
Request = common_pb2.Request


class Administration(Caller):
    """What visard.Client has for administrators."""

    async def audit_nodes(self, prefixes: Sequence[str]) -> list[list[gateway_pb2.AuditNode]]:
        """Each party's hashes below prefixes of references' ids (admin): see visard.admin.audit."""
        ask = filled(gateway_pb2.AuditRequest(), prefixes=prefixes)
        response = await self._again(lambda left: self._admin.Audit(ask, timeout=left))
        return [list(party.nodes) for party in response.parties]

    async def refresh(self) -> int:
        """New shares for everything that is stored (admin); how many references were renewed."""
        request = self._request(Operation.OPERATION_REFRESH, model="")
        return await self._change(self._admin.Refresh, gateway_pb2.RefreshRequest, request)

    async def recover(self, party: int) -> int:
        """Write a party's store anew from the two others (admin); how many references it holds then."""

        def request() -> Request:
            return self._request(Operation.OPERATION_RECOVER, model="", party=party)

        def send(sealed: SealedRequest, left: float) -> Awaitable[gateway_pb2.RecoverResponse]:
            ask = gateway_pb2.RecoverRequest(request=sealed.request, envelopes=sealed.envelopes)
            return self._admin.Recover(ask, timeout=left)

        response, sent = await self._read(request, lambda: NO_SHARES, send)
        return results.changed(results.open_all(response.results, sent.context, sent.reply_keys))

    async def grant(self, grantee: str, subject: str = "") -> None:
        """Let a caller, as in "enroller/kiosk-7", add to, replace, delete and rename a subject that others have enrolled.

        With an empty subject: every subject of the client's model. The right is to the name, whoever bears it later.
        """
        request = self._request(Operation.OPERATION_GRANT, subject, grantee=grantee)
        await self._change(self._admin.Grant, gateway_pb2.GrantRequest, request)

    async def revoke(self, grantee: str, subject: str = "") -> None:
        """Take back exactly what ``grant`` gave with the same words; raises NotFound."""
        request = self._request(Operation.OPERATION_REVOKE, subject, grantee=grantee)
        await self._change(self._admin.Revoke, gateway_pb2.RevokeRequest, request)

    async def rights(self) -> list[Right]:
        """All rights that were granted, to whatever model."""
        found: list[Right] = []
        token = ""
        while True:
            ask = filled(gateway_pb2.ListRightsRequest(), page_token=token)
            page = await self._again(lambda left, ask=ask: self._admin.ListRights(ask, timeout=left))  # type: ignore[misc]
            found += [Right(right.model, right.subject, right.grantee) for right in page.rights]
            if not (token := page.next_page_token):
                return sorted(found, key=lambda right: (right.model, right.subject, right.grantee))

    async def audit_log_page(
        self, party: int, after: int = 0, since_unix_ms: int = 0, page_size: int = 0
    ) -> gateway_pb2.AuditLogResponse:
        """A page of one party's log of who asked for what: see visard.auditlog."""
        paged = {"after": after, "since_unix_ms": since_unix_ms, "page_size": page_size}
        ask = filled(gateway_pb2.AuditLogRequest(), party=party, **paged)
        return await self._again(lambda left: self._admin.AuditLog(ask, timeout=left))
