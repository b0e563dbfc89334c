"""The service Admin, for administrators."""

from visard_common.deadline import remaining
from visard_common.errors import InvalidArgument
from visard_common.limits import CALL_SECONDS
from visard_common.roles import method_of
from visard_wire.limits import PARTIES
from visard_wire.v1 import common_pb2, gateway_pb2, gateway_pb2_grpc

from visard_gateway.answering import Uploads, answered
from visard_gateway.callers import Context, caller_of
from visard_gateway.config import GatewayConfig
from visard_gateway.parties import Parties, agreeing
from visard_gateway.relay import Relay


class AdminServicer(gateway_pb2_grpc.AdminServicer):
    """Audit, refresh, recover; rights, galleries and where they go; and the parties' logs of who asked for what."""

    def __init__(self, config: GatewayConfig, parties: Parties, relay: Relay) -> None:
        self._config = config
        self._parties = parties
        self._relay = relay

    async def Audit(self, request: gateway_pb2.AuditRequest, context: Context) -> gateway_pb2.AuditResponse:  # noqa: N802
        """Hashes of what each party holds."""
        caller_of(context, "Audit")
        seconds = remaining(context, self._config.run_timeout)
        answers = await self._parties.ask_all(lambda stub, _: stub.Audit(request, timeout=seconds))
        return gateway_pb2.AuditResponse(parties=answers)

    async def Refresh(  # noqa: N802
        self, request: gateway_pb2.RefreshRequest, context: Context
    ) -> gateway_pb2.RefreshResponse:
        """New shares for everything that is stored, so that stolen old ones are worth nothing."""
        caller, seconds = caller_of(context, "Refresh"), remaining(context, self._config.admin_timeout)
        kind = common_pb2.OPERATION_REFRESH
        done = await self._relay.change(request.request, kind, seconds, caller, request.envelopes)
        return gateway_pb2.RefreshResponse(references_renewed=done.references, results=done.results)

    async def Recover(  # noqa: N802
        self, request: gateway_pb2.RecoverRequest, context: Context
    ) -> gateway_pb2.RecoverResponse:
        """Write one party's store anew from the two others'."""
        caller, seconds = caller_of(context, "Recover"), remaining(context, self._config.admin_timeout)
        kind = common_pb2.OPERATION_RECOVER
        done = await self._relay.change(request.request, kind, seconds, caller, request.envelopes)
        return gateway_pb2.RecoverResponse(references_restored=done.references, results=done.results)

    async def Grant(self, request: gateway_pb2.GrantRequest, context: Context) -> gateway_pb2.GrantResponse:  # noqa: N802
        """Let a caller change what another has enrolled."""
        caller, seconds = caller_of(context, "Grant"), remaining(context, CALL_SECONDS)
        done = await self._relay.change(request.request, common_pb2.OPERATION_GRANT, seconds, caller, request.envelopes)
        return gateway_pb2.GrantResponse(results=done.results)

    async def Revoke(self, request: gateway_pb2.RevokeRequest, context: Context) -> gateway_pb2.RevokeResponse:  # noqa: N802
        """Take a right back."""
        caller, seconds = caller_of(context, "Revoke"), remaining(context, CALL_SECONDS)
        done = await self._relay.change(
            request.request, common_pb2.OPERATION_REVOKE, seconds, caller, request.envelopes
        )
        return gateway_pb2.RevokeResponse(results=done.results)

    async def Unlock(self, request: gateway_pb2.UnlockRequest, context: Context) -> gateway_pb2.UnlockResponse:  # noqa: N802
        """Forget a subject's failed verifications."""
        caller, seconds = caller_of(context, "Unlock"), remaining(context, CALL_SECONDS)
        done = await self._relay.change(
            request.request, common_pb2.OPERATION_UNLOCK, seconds, caller, request.envelopes
        )
        return gateway_pb2.UnlockResponse(results=done.results)

    async def CreateGallery(  # noqa: N802
        self, request: gateway_pb2.GalleryRequest, context: Context
    ) -> gateway_pb2.GalleryResponse:
        """Make a gallery."""
        return await self._gallery(request, context, common_pb2.OPERATION_CREATE_GALLERY)

    async def ChangeGallery(  # noqa: N802
        self, request: gateway_pb2.GalleryRequest, context: Context
    ) -> gateway_pb2.GalleryResponse:
        """Other rules for a gallery."""
        return await self._gallery(request, context, common_pb2.OPERATION_CHANGE_GALLERY)

    async def DeleteGallery(  # noqa: N802
        self, request: gateway_pb2.GalleryRequest, context: Context
    ) -> gateway_pb2.GalleryResponse:
        """Remove a gallery."""
        return await self._gallery(request, context, common_pb2.OPERATION_DELETE_GALLERY)

    async def _gallery(
        self, request: gateway_pb2.GalleryRequest, context: Context, kind: "common_pb2.Operation.ValueType"
    ) -> gateway_pb2.GalleryResponse:
        caller, seconds = caller_of(context, method_of(kind)), remaining(context, CALL_SECONDS)
        done = await self._relay.change(request.request, kind, seconds, caller, request.envelopes)
        return gateway_pb2.GalleryResponse(results=done.results)

    async def Export(self, request_iterator: Uploads, context: Context) -> gateway_pb2.Result:  # noqa: N802
        """A page of a gallery for the parties of another deployment."""
        return await answered(self._relay, request_iterator, context, common_pb2.OPERATION_EXPORT)

    async def Import(self, request_iterator: Uploads, context: Context) -> gateway_pb2.Result:  # noqa: N802
        """Store a page that another deployment has exported."""
        return await answered(self._relay, request_iterator, context, common_pb2.OPERATION_IMPORT)

    async def ListRights(  # noqa: N802
        self, request: gateway_pb2.ListRightsRequest, context: Context
    ) -> gateway_pb2.ListRightsResponse:
        """A page of rights, if all three parties tell the same."""
        caller_of(context, "ListRights")
        seconds = remaining(context, self._config.run_timeout)
        answers = await self._parties.ask_all(lambda stub, _: stub.ListRights(request, timeout=seconds))
        return agreeing(answers, "who has rights")

    async def AuditLog(  # noqa: N802
        self, request: gateway_pb2.AuditLogRequest, context: Context
    ) -> gateway_pb2.AuditLogResponse:
        """A page of one party's log of who asked for what; raises InvalidArgument for a party there is not."""
        caller_of(context, "AuditLog")
        if request.party >= PARTIES:
            raise InvalidArgument.of("party", "0, 1 or 2")
        seconds = remaining(context, self._config.run_timeout)
        return await self._parties.ask(lambda stub, _: stub.AuditLog(request, timeout=seconds), request.party)
