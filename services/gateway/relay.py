"""One upload: its chunks go on to the parties as they come, then the parties run, then their answers go back."""

import asyncio
import os
import time
from collections.abc import AsyncIterator

from visard.v1 import common_pb2, party_pb2

from services.common import logs
from services.common.deadline import within
from services.common.errors import InvalidArgument, ServiceFault
from services.common.identity import Role
from services.common.limits import ATTEMPT_BYTES
from services.common.metrics import stage
from services.gateway.admission import Admission
from services.gateway.config import GatewayConfig
from services.gateway.metrics import RELAYED
from services.gateway.parties import Parties, agreeing, telling
from services.gateway.upload import PARTIES, Upload

Uploads = AsyncIterator[common_pb2.Upload]
Queue = asyncio.Queue[common_pb2.Upload | None]

_BUFFERED = 4  # chunks held for a slow party
_LONG = (common_pb2.Operation.OPERATION_REFRESH, common_pb2.Operation.OPERATION_RECOVER)


class Relay:
    """Admits uploads and passes them on."""

    def __init__(self, config: GatewayConfig, parties: Parties) -> None:
        self._config = config
        self._parties = parties
        self._admission = Admission(config.max_uploads, config.max_uploads_per_caller)

    @property
    def active(self) -> int:
        """Requests of callers that are in progress, mere looks aside."""
        return self._admission.active

    async def run(
        self, uploads: Uploads, operation: "common_pb2.Operation.ValueType", seconds: float, caller: Role
    ) -> list[party_pb2.RunResponse]:
        """Relay one upload and run it; the three responses in order. Raises ServiceFault."""
        with self._admission.of(caller):
            return await self._run(uploads, operation, time.monotonic() + seconds)

    async def run_without_share(self, request: common_pb2.Request, seconds: float) -> list[party_pb2.RunResponse]:
        """Run a request that carries no share."""
        longest = self._config.admin_timeout if request.operation in _LONG else self._config.run_timeout
        timeout = min(seconds, longest)
        run = party_pb2.RunRequest(request=request, attempt=os.urandom(ATTEMPT_BYTES))
        try:
            with stage("run"):
                return await self._parties.ask_all(lambda stub, _: stub.Run(run, timeout=timeout))
        except BaseException:
            await asyncio.shield(self._parties.cancel(request.request_id))
            raise

    async def change(
        self, request: common_pb2.Request, operation: "common_pb2.Operation.ValueType", seconds: float, caller: Role
    ) -> int:
        """Run a write that carries no share; how many references it names."""
        if request.operation != operation:
            raise InvalidArgument.of("request.operation", f"{common_pb2.Operation.Name(operation)} for this method")
        logs.about(request.request_id)
        with self._admission.of(caller):
            responses = await self.run_without_share(request, seconds)
        return agreeing([response.references_changed for response in responses], "what was changed")

    async def _run(
        self, uploads: Uploads, operation: "common_pb2.Operation.ValueType", deadline: float
    ) -> list[party_pb2.RunResponse]:
        limit = min(self._config.upload_timeout, deadline - time.monotonic())
        async with within(limit, "the upload"):
            upload = Upload.begin(await anext(aiter(uploads), None), operation)
            try:
                with stage("deposit"):
                    await self._deposit(upload, uploads, limit)
            except BaseException:
                await asyncio.shield(self._parties.cancel(upload.header.request.request_id))
                raise
        return await self.run_without_share(upload.header.request, deadline - time.monotonic())

    async def _deposit(self, upload: Upload, uploads: Uploads, seconds: float) -> None:
        """Stream each share to its party; a fault of one stops all."""
        queues: list[Queue] = [asyncio.Queue(_BUFFERED) for _ in range(PARTIES)]
        deposits = asyncio.ensure_future(
            self._parties.ask_all(lambda stub, party: stub.Deposit(_drain(queues[party]), timeout=seconds))
        )
        feeding = asyncio.ensure_future(_feed(upload, uploads, queues))
        try:
            await asyncio.wait((deposits, feeding), return_when=asyncio.FIRST_COMPLETED)
            if deposits.done() and not feeding.done():
                await deposits  # a party refused early: its fault; all three cannot be content before the end
            await feeding
            await deposits
        finally:
            for task in (feeding, deposits):
                task.cancel()
            results = await asyncio.gather(feeding, deposits, return_exceptions=True)
            faults = [r for r in results if isinstance(r, ServiceFault)]
            if len(faults) > 1:
                raise telling(list(faults))


async def _drain(queue: Queue) -> AsyncIterator[common_pb2.Upload]:
    while (message := await queue.get()) is not None:
        yield message


async def _feed(upload: Upload, uploads: Uploads, queues: list[Queue]) -> None:
    """Check each message and hand it to its party's queue, waiting where a party is slow."""
    for party, queue in enumerate(queues):
        await queue.put(upload.header_for(party))
    async for message in uploads:
        party = upload.accept(message)
        await queues[party].put(message)
        RELAYED.labels(party).inc(len(message.chunk.data))
    upload.finish()
    for queue in queues:
        await queue.put(None)
