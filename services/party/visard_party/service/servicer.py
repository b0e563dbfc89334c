"""The service Party: what the gateway calls, and nobody else."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
from visard_common.deadline import remaining, within
from visard_common.identity import require
from visard_common.limits import UPLOAD_SECONDS
from visard_common.uploads import refusing_politely
from visard_wire.v1 import common_pb2, gateway_pb2, party_pb2, party_pb2_grpc

from visard_party.service import lists
from visard_party.service.handling import cancel, handle, longest_seconds
from visard_party.service.party import Party
from visard_party.service.status import status
from visard_party.service.uploads import take

Context = grpc.aio.ServicerContext[Any, Any]


class PartyServicer(party_pb2_grpc.PartyServicer):
    """Each call is the gateway's alone; what it does is in the modules beside this one."""

    def __init__(self, party: Party) -> None:
        self._party = party

    async def Deposit(  # noqa: N802
        self, request_iterator: AsyncIterator[common_pb2.Upload], context: Context
    ) -> party_pb2.DepositResponse:
        """Take this party's sealed share of a request."""
        require(context, "gateway")
        async with within(remaining(context, UPLOAD_SECONDS), "the upload"), refusing_politely(request_iterator):
            self._party.runner.admit()
            deposit = await take(self._party, request_iterator)
            return party_pb2.DepositResponse(context_digest=deposit.context.digest)

    async def Run(self, request: party_pb2.RunRequest, context: Context) -> party_pb2.RunResponse:  # noqa: N802
        """Take part in a request's run, together with the two other parties; the answer, sealed for the caller."""
        require(context, "gateway")
        seconds = remaining(context, longest_seconds(self._party, request.request.operation))
        return await handle(self._party, request, seconds)

    async def Cancel(  # noqa: N802
        self, request: party_pb2.CancelRequest, context: Context
    ) -> party_pb2.CancelResponse:
        """Drop a deposit, or stop a run."""
        require(context, "gateway")
        await cancel(self._party, request.request_id)
        return party_pb2.CancelResponse()

    async def ListSubjects(  # noqa: N802
        self, request: gateway_pb2.ListSubjectsRequest, context: Context
    ) -> gateway_pb2.ListSubjectsResponse:
        """A page of subjects, in order of name."""
        require(context, "gateway")
        return await lists.subjects(self._party.store, self._party.models, request)

    async def ListReferences(  # noqa: N802
        self, request: gateway_pb2.ListReferencesRequest, context: Context
    ) -> gateway_pb2.ListReferencesResponse:
        """What is kept about a subject, but for the shares."""
        require(context, "gateway")
        return await lists.references(self._party.store, self._party.models, request)

    async def Audit(self, request: gateway_pb2.AuditRequest, context: Context) -> gateway_pb2.PartyAudit:  # noqa: N802
        """Hashes of what is stored here, below prefixes of the references' ids."""
        require(context, "gateway")
        return await self._party.consistency.watch.audit(request)

    async def ListGalleries(  # noqa: N802
        self, request: gateway_pb2.ListGalleriesRequest, context: Context
    ) -> gateway_pb2.ListGalleriesResponse:
        """The galleries of which a caller is told."""
        require(context, "gateway")
        return await lists.listed_galleries(self._party.store, request)

    async def ListRights(  # noqa: N802
        self, request: gateway_pb2.ListRightsRequest, context: Context
    ) -> gateway_pb2.ListRightsResponse:
        """A page of rights, in order of id."""
        require(context, "gateway")
        return await lists.rights(self._party.store, request)

    async def AuditLog(  # noqa: N802
        self, request: gateway_pb2.AuditLogRequest, context: Context
    ) -> gateway_pb2.AuditLogResponse:
        """A page of this party's log of who asked for what."""
        require(context, "gateway")
        return await lists.audit_log(self._party.store, request)

    async def GetStatus(  # noqa: N802
        self, request: gateway_pb2.GetStatusRequest, context: Context
    ) -> common_pb2.PartyStatus:
        """How this party is: ready or why not, peers, stock, models, budgets."""
        require(context, "gateway")
        return await status(self._party, layers=request.layers)

    async def GetKey(self, request: party_pb2.GetKeyRequest, context: Context) -> common_pb2.PartyKey:  # noqa: N802
        """The sealing key that this party offers now, with its statement."""
        require(context, "gateway")
        return self._party.intake.keys.offered()


def add_party(party: Party, server: grpc.aio.Server) -> None:
    """Let a server serve the gateway."""
    party_pb2_grpc.add_PartyServicer_to_server(PartyServicer(party), server)
