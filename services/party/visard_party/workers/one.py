"""One worker of a party: calls to it, and what it is still to be told."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import grpc
from visard_common.channels import Renewed
from visard_common.errors import ServiceFault, Unavailable
from visard_common.rpc import fault_of
from visard_wire.v1 import common_pb2, worker_pb2, worker_pb2_grpc

from visard_party.config import PartyConfig
from visard_party.consistency.changes import Changes

_PIECE = 1 << 20  # bytes


class Worker:
    """One of them, and what has been written since it was asked last."""

    def __init__(self, config: PartyConfig, ordinal: int, changes: Changes) -> None:
        self.ordinal = ordinal
        self.describing = 0  # photos
        self.name = f"worker {ordinal} of party {config.index}"
        self._stub = Renewed(config.tls, f"party/{config.index}", config.workers[ordinal], worker_pb2_grpc.WorkerStub)
        self._changes = changes
        self.state = common_pb2.WorkerState(reason="it was not asked yet")
        self._lock = asyncio.Lock()  # else one that asks later could hear sooner, and know less

    async def hold(self, request: worker_pb2.HoldRequest, seconds: float) -> worker_pb2.HoldResponse:
        """See Workers.hold."""
        async with self._lock:
            with self._telling() as told:
                whole = worker_pb2.HoldRequest(told=told)
                whole.MergeFrom(request)
                return await self._stub.current().Hold(whole, timeout=seconds)

    async def search(self, request: worker_pb2.SearchRequest, seconds: float) -> worker_pb2.SearchResponse:
        """See Workers.search."""
        with self._faults():
            return await self._stub.current().Search(request, timeout=seconds)

    async def describe(
        self, request: worker_pb2.DescribeRequest, images: bytes, seconds: float
    ) -> worker_pb2.DescribeResponse:
        """See Workers.describe."""
        self.describing += request.photos
        try:
            with self._faults():
                return await self._stub.current().Describe(_in_pieces(request, images), timeout=seconds)
        finally:
            self.describing -= request.photos

    async def look(self, seconds: float) -> None:
        """See Workers.look."""
        async with self._lock:
            try:
                with self._telling() as told:
                    self.state = await self._stub.current().Tell(told, timeout=seconds)
            except ServiceFault as fault:
                self.state = common_pb2.WorkerState(reason=fault.message)

    @contextmanager
    def _telling(self) -> Iterator[worker_pb2.TellRequest]:
        """What has been written since it was told last; where that does not reach it, it is told the next time."""
        taken = self._changes.take()
        try:
            with self._faults():
                yield worker_pb2.TellRequest(
                    ordinal=self.ordinal, changed=sorted(taken.references), everything=taken.everything
                )
        except BaseException:
            self._changes.give_back(taken)
            raise

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except grpc.aio.AioRpcError as error:
            fault = fault_of(error, self.name)
            if isinstance(fault, Unavailable):  # until it has said how it is
                self.state = common_pb2.WorkerState(reason=fault.message)
            raise fault from error

    async def close(self) -> None:
        """Close the channel."""
        await self._stub.close()


async def _in_pieces(request: worker_pb2.DescribeRequest, images: bytes) -> AsyncIterator[worker_pb2.DescribeRequest]:
    """Each within what a service takes as one message."""
    yield request
    for start in range(0, len(images), _PIECE):
        yield worker_pb2.DescribeRequest(images=images[start : start + _PIECE])
