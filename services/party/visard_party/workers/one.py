"""One worker of a party: calls to it, and what it is still to be told."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import grpc
from visard_common.channels import Renewed
from visard_common.errors import Deviated, InvalidArgument, ResourceExhausted, ServiceFault, Unavailable
from visard_common.limits import RETRY_SECONDS
from visard_common.rpc import fault_of
from visard_wire.v1 import common_pb2, worker_pb2, worker_pb2_grpc

from visard_party.config import PartyConfig
from visard_party.consistency.changes import Changes

REST_SECONDS = 10.0  # before a worker is chosen again that has failed to describe photos
_PIECE = 1 << 20  # bytes
_MOST_ENDED = 1024


class Worker:
    """One of them, and what has been written since it was asked last."""

    def __init__(self, config: PartyConfig, ordinal: int, changes: Changes) -> None:
        self.ordinal = ordinal
        self.describing = 0  # photos
        self.used = 0.0  # when it was chosen to describe some, by the monotonic clock
        self.rests_until = 0.0  # it, or one of its like, has failed to
        self.ended: list[bytes] = []  # sessions of runs, still to be told
        self.name = f"worker {ordinal} of party {config.index}"
        self._stub = Renewed(config.tls, f"party/{config.index}", config.workers[ordinal], worker_pb2_grpc.WorkerStub)
        self._changes = changes
        self.state = common_pb2.WorkerState(reason="it was not asked yet")
        self._lock = asyncio.Lock()  # else one that asks later could hear sooner, and know less

    async def hold(self, request: worker_pb2.HoldRequest, seconds: float) -> worker_pb2.HoldResponse:
        """See Workers.hold."""
        if self.state.reason:  # it is asked how it is every other second
            raise Unavailable(f"{self.name}: {self.state.reason}", retry_after=RETRY_SECONDS)
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
        except InvalidArgument:  # what was shared
            raise
        except BaseException:  # also where a peer has given the run up, whose worker may be the reason
            self.rests_until = time.monotonic() + REST_SECONDS
            raise
        finally:
            self.describing -= request.photos

    async def look(self, seconds: float) -> str:
        """See Workers.look; what it holds against the dealer, or nothing."""
        async with self._lock:
            try:
                with self._telling() as told:
                    answer = await self._stub.current().Tell(told, timeout=seconds)
            except ServiceFault as fault:
                self.state = common_pb2.WorkerState(reason=fault.message)
                return ""
            self.state = answer.state
            return answer.distrusted

    @contextmanager
    def _telling(self) -> Iterator[worker_pb2.TellRequest]:
        """What has been written since it was told last; where that does not reach it, it is told the next time."""
        taken, ended, self.ended = self._changes.take(), self.ended, []
        try:
            with self._faults():
                yield worker_pb2.TellRequest(
                    ordinal=self.ordinal, changed=sorted(taken.references), everything=taken.everything, ended=ended
                )
        except BaseException:
            self._changes.give_back(taken)
            self.ended = [*ended, *self.ended][-_MOST_ENDED:]  # it forgets by itself in the end
            raise

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except grpc.aio.AioRpcError as error:
            fault = self._fault(error)
            if isinstance(fault, Unavailable):  # until it has said how it is
                self.state = common_pb2.WorkerState(reason=fault.message)
            raise fault from error

    def _fault(self, error: grpc.aio.AioRpcError) -> ServiceFault:
        """What it means to whoever asks the party: a worker that cannot is no fault of theirs, and the next time it may."""
        if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
            return Unavailable(f"{self.name} did not answer in time", retry_after=RETRY_SECONDS)
        fault = fault_of(error, self.name)
        if isinstance(fault, Deviated | InvalidArgument | ResourceExhausted | Unavailable):
            return fault
        return Unavailable(f"{self.name}: {fault.message}", retry_after=RETRY_SECONDS)

    async def close(self) -> None:
        """Close the channel."""
        await self._stub.close()


async def _in_pieces(request: worker_pb2.DescribeRequest, images: bytes) -> AsyncIterator[worker_pb2.DescribeRequest]:
    """Each within what a service takes as one message."""
    yield request
    for start in range(0, len(images), _PIECE):
        yield worker_pb2.DescribeRequest(images=images[start : start + _PIECE])
