"""One request: its upload goes on to the parties as it comes, then they are asked to run it, then their answers go back."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from visard_common import logs
from visard_common.deadline import within
from visard_common.errors import ServiceFault
from visard_common.identity import Role
from visard_common.metrics import stage
from visard_common.operations import DECLARED
from visard_wire.limits import ATTEMPT_BYTES, PARTIES
from visard_wire.v1 import common_pb2, party_pb2

from visard_gateway.admission import Admission
from visard_gateway.config import GatewayConfig
from visard_gateway.metrics import RELAYED
from visard_gateway.parties import Parties, agreeing, telling
from visard_gateway.upload import Upload, check_envelopes, check_operation

Uploads = AsyncIterator[common_pb2.Upload]
Envelopes = Sequence[common_pb2.SealedEnvelope]
Queue = asyncio.Queue[common_pb2.Upload | None]

_BUFFERED = 4  # chunks held for a slow party


@dataclass(frozen=True)
class Changed:
    """What came of a write: how many references it names, and each party's sealed answer."""

    references: int
    results: list[common_pb2.SealedResult]


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

    async def handle(
        self, uploads: Uploads, operation: "common_pb2.Operation.ValueType", seconds: float, caller: Role
    ) -> list[party_pb2.RunResponse]:
        """Relay one upload and have the parties run it; the three responses in order. Raises ServiceFault."""
        with self._admission.of(caller):
            return await self._handle(uploads, operation, time.monotonic() + seconds)

    async def start(
        self, request: common_pb2.Request, seconds: float, envelopes: Envelopes = ()
    ) -> list[party_pb2.RunResponse]:
        """Have the parties run a request whose shares they have, or that has none, and then brings an envelope for each.

        The three responses in order; when one party fails the others are told to give up. Raises ServiceFault.
        """
        long = DECLARED[request.operation].long
        longest = self._config.admin_timeout if long else self._config.run_timeout
        timeout, attempt = min(seconds, longest), os.urandom(ATTEMPT_BYTES)
        runs = [
            party_pb2.RunRequest(request=request, attempt=attempt, envelope=envelopes[party] if envelopes else None)
            for party in range(PARTIES)
        ]
        try:
            with stage("run"):
                return await self._parties.ask_all(lambda stub, party: stub.Run(runs[party], timeout=timeout))
        except BaseException:
            await asyncio.shield(self._parties.cancel(request.request_id))
            raise

    async def change(
        self,
        request: common_pb2.Request,
        operation: "common_pb2.Operation.ValueType",
        seconds: float,
        caller: Role,
        envelopes: Envelopes = (),
    ) -> Changed:
        """Handle a write that carries no share, with the caller's envelopes (none where the gateway asks by itself).

        Raises InvalidArgument for another operation or wrong envelopes, and ServiceFault.
        """
        check_operation(request, operation)
        check_envelopes(envelopes, PARTIES if request.HasField("caller") else 0)
        logs.about(request.request_id)
        with self._admission.of(caller):
            responses = await self.start(request, seconds, envelopes)
        count = agreeing([response.references_changed for response in responses], "what was changed")
        return Changed(count, [response.result for response in responses])

    async def _handle(
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
        return await self.start(upload.header.request, deadline - time.monotonic())

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
