"""The service Worker: what the party itself calls, and nobody else."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
from visard_common.deadline import remaining, within
from visard_common.errors import FailedPrecondition, InvalidArgument, PermissionDenied
from visard_common.identity import require_party
from visard_common.limits import SESSION_BYTES
from visard_common.uploads import refusing_politely
from visard_wire.v1 import worker_pb2, worker_pb2_grpc

from visard_party.spread import MAX_WORKERS
from visard_party.worker.searching import searched
from visard_party.worker.working import Working

FIELD_BITS = (31, 61)

Context = grpc.aio.ServicerContext[Any, Any]


class WorkerServicer(worker_pb2_grpc.WorkerServicer):
    """Each call is its party's alone."""

    def __init__(self, working: Working) -> None:
        self._working = working
        self._config = working.config

    async def Tell(  # noqa: N802
        self, request: worker_pb2.TellRequest, context: Context
    ) -> worker_pb2.TellResponse:
        """Hear what was written, and say how this worker is."""
        self._require(context)
        self._check(request)
        self._working.holding.hear(request)
        return self._working.state

    async def Hold(self, request: worker_pb2.HoldRequest, context: Context) -> worker_pb2.HoldResponse:  # noqa: N802
        """Keep what is held of a place for one run."""
        self._require(context)
        self._working.admit()
        self._check(request.told)
        _check_session(request.session)
        ordinal = self._config.ordinal
        if not ordinal < request.workers <= MAX_WORKERS:
            raise InvalidArgument.of("workers", f"more than {ordinal}, for this is one; {MAX_WORKERS} at most")
        if request.field_bits not in FIELD_BITS:
            raise InvalidArgument.of("field_bits", " or ".join(map(str, FIELD_BITS)))
        async with within(remaining(context, self._config.run_timeout), "reading the references"):
            rows = await self._working.holding.hold(request)
        size = rows.shares.shape[1] if rows else 0
        return worker_pb2.HoldResponse(references=len(rows), digest=rows.digest, room=rows.room, descriptor_size=size)

    async def Search(  # noqa: N802
        self, request: worker_pb2.SearchRequest, context: Context
    ) -> worker_pb2.SearchResponse:
        """Search what is kept for a run."""
        self._require(context)
        _check_session(request.session)
        seconds = remaining(context, self._config.run_timeout)
        view = self._working.holding.taken(request.session)
        return await self._working.counted(searched(self._working.among, view, request, seconds))

    async def Describe(  # noqa: N802
        self, request_iterator: AsyncIterator[worker_pb2.DescribeRequest], context: Context
    ) -> worker_pb2.DescribeResponse:
        """Evaluate a network."""
        self._require(context)
        seconds, describing = remaining(context, self._config.run_timeout), self._working.describing
        async with within(seconds, "the photos"), refusing_politely(request_iterator):
            self._working.admit()
            request = await anext(request_iterator, worker_pb2.DescribeRequest())
            _check_session(request.session)
            photos = await describing.photos(request, request_iterator)
        return await self._working.counted(describing.describe(request, photos, seconds))

    def _check(self, told: worker_pb2.TellRequest) -> None:
        """Raises FailedPrecondition where the party means another of its workers: two would answer for one part."""
        own, party = self._config.ordinal, self._config.index
        if told.ordinal != own:
            raise FailedPrecondition(f"at the address of worker {told.ordinal} of party {party} is its worker {own}")

    def _require(self, context: Context) -> None:
        if require_party(context) != self._config.index:
            raise PermissionDenied(f"only party {self._config.index} itself may call its workers")


def _check_session(session: bytes) -> None:
    if len(session) != SESSION_BYTES:
        raise InvalidArgument.of("session", f"{SESSION_BYTES} bytes")
