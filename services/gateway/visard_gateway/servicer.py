"""The service FaceMatching, for verifiers and enrollers."""

import time

from visard_common.deadline import remaining
from visard_common.limits import CALL_SECONDS
from visard_wire.v1 import common_pb2, gateway_pb2, gateway_pb2_grpc, party_pb2

from visard_gateway.answering import Uploads, answered
from visard_gateway.callers import Context, asking, caller_of
from visard_gateway.config import GatewayConfig
from visard_gateway.parties import Parties, agreeing
from visard_gateway.relay import Relay
from visard_gateway.status import status


class FaceMatchingServicer(gateway_pb2_grpc.FaceMatchingServicer):
    """Matching, and what is told about subjects and parties; what needs a run goes through the relay."""

    def __init__(self, config: GatewayConfig, parties: Parties, relay: Relay) -> None:
        self._config = config
        self._parties = parties
        self._relay = relay

    async def Enrol(self, request_iterator: Uploads, context: Context) -> gateway_pb2.Result:  # noqa: N802
        """Store descriptors under a subject."""
        return await answered(self._relay, request_iterator, context, common_pb2.OPERATION_ENROL)

    async def Verify(self, request_iterator: Uploads, context: Context) -> gateway_pb2.Result:  # noqa: N802
        """Compare one photo with a subject's references."""
        return await answered(self._relay, request_iterator, context, common_pb2.OPERATION_VERIFY)

    async def Identify(self, request_iterator: Uploads, context: Context) -> gateway_pb2.Result:  # noqa: N802
        """Compare photos with everybody in a gallery."""
        return await answered(self._relay, request_iterator, context, common_pb2.OPERATION_IDENTIFY)

    async def Compare(self, request_iterator: Uploads, context: Context) -> gateway_pb2.Result:  # noqa: N802
        """Compare two photos with each other."""
        return await answered(self._relay, request_iterator, context, common_pb2.OPERATION_COMPARE)

    async def Migrate(self, request_iterator: Uploads, context: Context) -> gateway_pb2.Result:  # noqa: N802
        """Compare one photo with a subject's references, and enrol it with another model if it is the subject."""
        return await answered(self._relay, request_iterator, context, common_pb2.OPERATION_MIGRATE)

    async def Run(self, request_iterator: Uploads, context: Context) -> gateway_pb2.Result:  # noqa: N802
        """Evaluate a model that opens its output to the caller."""
        return await answered(self._relay, request_iterator, context, common_pb2.OPERATION_RUN)

    async def Delete(  # noqa: N802
        self, request: gateway_pb2.DeleteRequest, context: Context
    ) -> gateway_pb2.DeleteResponse:
        """Forget a subject, or some of its references."""
        caller, seconds = caller_of(context, "Delete"), remaining(context, CALL_SECONDS)
        kind = common_pb2.OPERATION_DELETE
        done = await self._relay.change(request.request, kind, seconds, caller, request.envelopes)
        return gateway_pb2.DeleteResponse(references_deleted=done.references, results=done.results)

    async def Rename(  # noqa: N802
        self, request: gateway_pb2.RenameRequest, context: Context
    ) -> gateway_pb2.RenameResponse:
        """Give a subject another name."""
        caller, seconds = caller_of(context, "Rename"), remaining(context, CALL_SECONDS)
        kind = common_pb2.OPERATION_RENAME
        done = await self._relay.change(request.request, kind, seconds, caller, request.envelopes)
        return gateway_pb2.RenameResponse(references_renamed=done.references, results=done.results)

    async def Review(  # noqa: N802
        self, request: gateway_pb2.ReviewRequest, context: Context
    ) -> gateway_pb2.ReviewResponse:
        """Accept or reject references that wait."""
        caller, seconds = caller_of(context, "Review"), remaining(context, CALL_SECONDS)
        kind = common_pb2.OPERATION_REVIEW
        done = await self._relay.change(request.request, kind, seconds, caller, request.envelopes)
        return gateway_pb2.ReviewResponse(references_reviewed=done.references, results=done.results)

    async def ListReferences(  # noqa: N802
        self, request: gateway_pb2.ListReferencesRequest, context: Context
    ) -> gateway_pb2.ListReferencesResponse:
        """What is kept about a subject. Who enrolled it hear those who did, and administrators."""
        caller = caller_of(context, "ListReferences")
        seconds = remaining(context, self._config.run_timeout)
        request.at_unix_ms, request.caller = _now_ms(), asking(request, caller)
        answers = await self._parties.ask_all(lambda stub, _: stub.ListReferences(request, timeout=seconds))
        answer = agreeing(answers, "what is kept")
        for reference in answer.references:
            if caller.kind != "admin" and reference.enrolled_by != str(caller):
                reference.enrolled_by = ""
        return answer

    async def ListSubjects(  # noqa: N802
        self, request: gateway_pb2.ListSubjectsRequest, context: Context
    ) -> gateway_pb2.ListSubjectsResponse:
        """A page of subjects, if all three parties tell the same."""
        caller = caller_of(context, "ListSubjects")
        seconds = remaining(context, self._config.run_timeout)
        request.at_unix_ms, request.caller = _now_ms(), asking(request, caller)
        answers = await self._parties.ask_all(lambda stub, _: stub.ListSubjects(request, timeout=seconds))
        return agreeing(answers, "who is enrolled")

    async def ListGalleries(  # noqa: N802
        self, request: gateway_pb2.ListGalleriesRequest, context: Context
    ) -> gateway_pb2.ListGalleriesResponse:
        """The galleries of which the caller is told, if all three parties tell the same."""
        request.caller = asking(request, caller_of(context, "ListGalleries"))
        seconds = remaining(context, self._config.run_timeout)
        answers = await self._parties.ask_all(lambda stub, _: stub.ListGalleries(request, timeout=seconds))
        return agreeing(answers, "the galleries")

    async def GetStatus(  # noqa: N802
        self, request: gateway_pb2.GetStatusRequest, context: Context
    ) -> gateway_pb2.GetStatusResponse:
        """How the parties are; one that does not answer is not ready."""
        caller_of(context, "GetStatus")
        return await status(self._config, self._parties, request)

    async def GetParties(  # noqa: N802
        self, request: gateway_pb2.GetPartiesRequest, context: Context
    ) -> gateway_pb2.GetPartiesResponse:
        """The parties' sealing keys, for the client to verify."""
        caller_of(context, "GetParties")
        seconds = remaining(context, self._config.run_timeout)
        ask = party_pb2.GetKeyRequest()
        keys = await self._parties.ask_all(lambda stub, _: stub.GetKey(ask, timeout=seconds))
        return gateway_pb2.GetPartiesResponse(parties=keys, requests_at_a_time=self._config.max_uploads_per_caller)


def _now_ms() -> int:
    """What is over now is over at all three parties, whatever their clocks say."""
    return time.time_ns() // 1_000_000
