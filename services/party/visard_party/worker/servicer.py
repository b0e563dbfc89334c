"""The service Worker: what the party itself calls, and nobody else."""

import asyncio
from typing import Any

import grpc
from visard_common.deadline import remaining, within
from visard_common.errors import InvalidArgument, PermissionDenied, Unavailable
from visard_common.identity import require_party
from visard_common.limits import SESSION_BYTES
from visard_wire.v1 import common_pb2, worker_pb2, worker_pb2_grpc
from visard_wire.version import __version__

from visard_party.peers.links import PeerLinks
from visard_party.runs.runner import PARTING_SECONDS
from visard_party.service.status import obstacles
from visard_party.spread import MAX_WORKERS
from visard_party.worker.config import WorkerConfig
from visard_party.worker.holding import Holding
from visard_party.worker.searching import Searching

FIELD_BITS = (31, 61)

Context = grpc.aio.ServicerContext[Any, Any]


class WorkerServicer(worker_pb2_grpc.WorkerServicer):
    """Each call is its party's alone."""

    def __init__(self, config: WorkerConfig, links: PeerLinks, holding: Holding, searching: Searching) -> None:
        self._config = config
        self._links = links
        self._holding = holding
        self._searching = searching
        self._stopping = False
        self._active: set[asyncio.Task[worker_pb2.SearchResponse]] = set()

    async def Tell(self, request: worker_pb2.TellRequest, context: Context) -> common_pb2.WorkerState:  # noqa: N802
        """Hear what was written, and say how this worker is."""
        self._require(context)
        self._holding.hear(request)
        reason = " and ".join(obstacles(self._links, []))
        return common_pb2.WorkerState(reason=reason, version=__version__, references=self._holding.references)

    async def Hold(self, request: worker_pb2.HoldRequest, context: Context) -> worker_pb2.HoldResponse:  # noqa: N802
        """Keep what is held of a place for one run."""
        self._require(context)
        if self._stopping:
            raise Unavailable(f"worker {self._config.ordinal} of party {self._config.index} is restarting")
        _check_session(request.session)
        if not self._config.ordinal < request.workers <= MAX_WORKERS:
            raise InvalidArgument.of(
                "workers", f"more than {self._config.ordinal}, for this is one; {MAX_WORKERS} at most"
            )
        if request.field_bits not in FIELD_BITS:
            raise InvalidArgument.of("field_bits", " or ".join(map(str, FIELD_BITS)))
        async with within(remaining(context, self._config.run_timeout), "reading the references"):
            rows = await self._holding.hold(request)
        size = rows.shares.shape[1] if rows else 0
        return worker_pb2.HoldResponse(references=len(rows), digest=rows.digest, room=rows.room, descriptor_size=size)

    async def Search(  # noqa: N802
        self, request: worker_pb2.SearchRequest, context: Context
    ) -> worker_pb2.SearchResponse:
        """Search what is kept for a run."""
        self._require(context)
        _check_session(request.session)
        seconds = remaining(context, self._config.run_timeout)
        view = self._holding.taken(request.session)
        task = asyncio.get_running_loop().create_task(self._searching.search(view, request, seconds))
        self._active.add(task)
        try:
            return await task
        finally:
            task.cancel()  # when the party has given up
            self._active.discard(task)

    async def drained(self, seconds: float) -> None:
        """Keep nothing for further runs, and wait until no search is in progress, but no longer than ``seconds``."""
        self._stopping = True
        if self._active:
            await asyncio.wait(self._active, timeout=seconds)
            await asyncio.sleep(PARTING_SECONDS)

    def _require(self, context: Context) -> None:
        if require_party(context) != self._config.index:
            raise PermissionDenied(f"only party {self._config.index} itself may call its workers")


def _check_session(session: bytes) -> None:
    if len(session) != SESSION_BYTES:
        raise InvalidArgument.of("session", f"{SESSION_BYTES} bytes")
