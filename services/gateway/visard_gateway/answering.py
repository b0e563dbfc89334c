"""Uploads that a Result answers: relayed, run, and what the parties have sealed for the caller."""

import time
from collections.abc import AsyncIterator

from visard_common import logs
from visard_common.deadline import remaining
from visard_common.limits import CALL_SECONDS
from visard_common.roles import method_of
from visard_common.uploads import refusing_politely
from visard_wire.v1 import common_pb2, gateway_pb2

from visard_gateway.callers import Context, caller_of
from visard_gateway.relay import Relay

Uploads = AsyncIterator[common_pb2.Upload]


async def answered(
    relay: Relay, uploads: Uploads, context: Context, operation: "common_pb2.Operation.ValueType"
) -> gateway_pb2.Result:
    """The answer to an upload of one operation; raises ServiceFault."""
    started = time.monotonic()
    request_id = b""

    async def noted() -> Uploads:
        nonlocal request_id
        async for message in uploads:
            if not request_id:
                request_id = message.header.request.request_id
                logs.about(request_id)
            yield message

    async with refusing_politely(uploads):  # around everything that may refuse
        caller = caller_of(context, method_of(operation))
        responses = await relay.handle(noted(), operation, remaining(context, CALL_SECONDS), caller)
    return gateway_pb2.Result(
        request_id=request_id,
        results=[response.result for response in responses],
        reports=[response.report for response in responses],
        gateway_seconds=time.monotonic() - started,
    )
