"""Runs: one request from the moment all three parties were asked to the sealed outcome.

Party 0 leads. It alone queues and picks kit numbers, so that the parties cannot wait for each other in different orders.
"""

import asyncio
import hashlib
import resource
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from visard_common.deadline import within
from visard_common.errors import (
    AlreadyExists,
    InvalidArgument,
    ServiceFault,
    Unavailable,
)
from visard_common.limits import ATTEMPT_BYTES, LEADER, RETRY_SECONDS
from visard_common.metrics import stage
from visard_engine.errors import PeerLost
from visard_wire.sealing import seal_result
from visard_wire.v1 import common_pb2, party_pb2

from visard_party.budgets.budget import Budgets
from visard_party.config import PartyConfig
from visard_party.consistency.modelset import ModelSets
from visard_party.consistency.watch import Watch
from visard_party.consistency.writes import Writes
from visard_party.faults import Refusal, Refused, fault_of
from visard_party.intake import requests
from visard_party.intake.asked import Asked
from visard_party.kits.stock import KitStock
from visard_party.metrics import ran
from visard_party.operations import OPERATIONS
from visard_party.operations.prepared import Outcome, Prepared
from visard_party.operations.resources import Resources
from visard_party.peers.channel import SessionChannel
from visard_party.peers.links import PeerLinks
from visard_party.peers.mailbox import SessionAborted
from visard_party.peers.sessions import SESSION_BYTES
from visard_party.runs.handshake import Agreeing
from visard_party.runs.meter import Meter
from visard_party.runs.queue import Queue
from visard_party.runs.replay import Replay
from visard_party.store.base import Store

# a peer that is a little behind still needs the third party's messages when our link to it ends
_PARTING_SECONDS = 0.5

log = structlog.get_logger()


class Runner:
    """Takes part in runs."""

    def __init__(
        self, config: PartyConfig, resources: Resources, links: PeerLinks, watch: Watch, model_sets: ModelSets
    ) -> None:
        self._config = config
        self._resources = resources
        self._store: Store = resources.store
        self._links = links
        self._stock: KitStock = resources.stock
        self._writes: Writes = resources.writes
        self._watch = watch
        self._model_sets = model_sets
        self._agreeing = Agreeing(config, resources.stock)
        self._queue = Queue(config)
        self._replay = Replay(resources.store, resources.writes)
        self._tasks: dict[bytes, asyncio.Task[party_pb2.RunResponse]] = {}
        self._stopping = False

    @property
    def budgets(self) -> Budgets:
        """How often this party lets somebody try."""
        return self._resources.attempts.budgets

    @property
    def active(self) -> int:
        """Runs in progress, those in the queue included."""
        return len(self._tasks)

    @property
    def waiting(self) -> int:
        """Runs in the leader's queue."""
        return self._queue.waiting

    async def run(self, asked: Asked) -> party_pb2.RunResponse:
        """The whole run, bounded in time; raises ServiceFault."""
        self.admit()
        request = asked.request
        requests.check(request, _now_ms())
        if len(asked.attempt) != ATTEMPT_BYTES:
            raise InvalidArgument.of("attempt", f"{ATTEMPT_BYTES} bytes")
        if asked.deposit is not None and asked.deposit.context != asked.context:
            raise InvalidArgument.of("request", "the one that the share was deposited for")
        if request.request_id in self._tasks:
            raise Unavailable("this request is under way", retry_after=RETRY_SECONDS)
        # from here on nobody else runs it, and nothing has been waited for since we looked
        task = self._tasks[request.request_id] = asyncio.ensure_future(self._once(asked))
        try:
            return await task
        finally:
            task.cancel()  # when the caller is gone
            self._tasks.pop(request.request_id, None)

    async def _once(self, asked: Asked) -> party_pb2.RunResponse:
        request = asked.request
        if asked.declared.writes and await self._replay.made_before(asked):
            return await self._again(asked)
        for earlier in request.instead_of:
            if earlier in self._tasks:
                raise Unavailable("the request that this one stands for is under way", retry_after=RETRY_SECONDS)
            await self._replay.foreclose(earlier, asked.seconds)
        if not await self._replay.first_time(asked):
            raise AlreadyExists("this request was seen before: every request needs a fresh id")
        try:
            return await self._run(asked)
        except ServiceFault as fault:
            await self._replay.refused(asked, fault)
            raise

    async def _again(self, asked: Asked) -> party_pb2.RunResponse:
        """The answer to a write that was made before: the same as the first time."""
        entry = await self._store.entry(asked.request.request_id)
        outcome = OPERATIONS[asked.request.operation].repeated(self._resources, asked)
        outcome.references_changed = entry.changes if entry is not None else 0
        return self._response(asked, None, outcome, Meter())

    def cancel(self, request_id: bytes) -> None:
        """Stop a run, if it is in progress."""
        if task := self._tasks.get(request_id):
            task.cancel()

    def admit(self) -> None:
        """Raises Unavailable once this party is stopping: the caller tries again, and finds it back."""
        if self._stopping:
            raise Unavailable(f"party {self._config.index} is restarting")

    async def drained(self, seconds: float) -> None:
        """Start nothing new, and wait until no run is in progress, but no longer than ``seconds``."""
        self._stopping = True
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=seconds)
            await asyncio.sleep(_PARTING_SECONDS)

    async def _run(self, asked: Asked) -> party_pb2.RunResponse:
        session = hashlib.sha256(b"visard session" + asked.context.digest + asked.attempt).digest()[:SESSION_BYTES]
        request_id = asked.request.request_id
        with structlog.contextvars.bound_contextvars(request=request_id.hex()), self._writes.running(request_id):
            async with self._session(session) as channel, within(asked.seconds, "the run"):
                meter = Meter()
                outcome = await self._together(channel, asked, meter)
                return self._response(asked, channel, outcome, meter)

    @asynccontextmanager
    async def _session(self, session: bytes) -> AsyncIterator[SessionChannel]:
        """A channel, whose end the peers learn together with the reason, and engine errors as faults."""
        try:
            channel = SessionChannel(self._links, session, self._config.peer_timeout)
        except PeerLost as error:
            raise Unavailable(str(error)) from error
        try:
            yield channel
        except BaseException as error:
            fault = fault_of(error, f"party {self._config.index}")
            if not isinstance(error, SessionAborted | Refused):
                channel.abort(fault.code, fault.message, fault.retry_after)
            if isinstance(error, asyncio.CancelledError):
                raise
            raise fault from error
        finally:
            channel.close()

    async def _together(self, channel: SessionChannel, asked: Asked, meter: Meter) -> Outcome:
        """Queue, agree, run."""
        request = asked.request
        if not asked.declared.restores:
            self._watch.require_agreement()
        operation = OPERATIONS[request.operation]
        async with self._queue.place(asked, meter):
            with stage("agreement"):
                proposal = (
                    None if self._config.index == LEADER else await self._agreeing.proposal(channel, asked.seconds)
                )
            refusal: Refusal | None = None
            prepared = Prepared(asked)
            try:
                with stage("store"):
                    if asked.declared.writes:  # it waits for what is undecided; a recovery decides that itself
                        alone = operation.exclusive(request)
                        await self._writes.quiet(request.request_id, self._config.peer_timeout / 2, alone=alone)
                    prepared = await operation.prepare(self._resources, asked)
                    if prepared.model is not None:
                        self._model_sets.require_same()
                    await self._resources.authorise(prepared)
                    names, rate = prepared.rows.names, prepared.false_match_rate
                    await self._resources.attempts.spend(request, asked.caller, names, rate)
            except ServiceFault as fault:
                if proposal is None:
                    raise
                refusal = Refusal.of(fault)
            with stage("agreement"):
                kits = await self._agreeing.kits(channel, prepared, proposal, refusal)
            meter.kit_bytes = sum(kit.plan.correction_bytes for kit in kits)
            started, cpu = time.monotonic(), time.process_time()
            channel.begin_engine()
            with stage("engine"):
                outcome = await operation.perform(self._resources, prepared, channel, kits)
            if asked.declared.restores:
                self._watch.mended()
            meter.queued += channel.waited_seconds
            meter.engine = time.monotonic() - started - channel.waited_seconds
            meter.cpu = time.process_time() - cpu
            return outcome

    def _response(
        self, asked: Asked, channel: SessionChannel | None, outcome: Outcome, meter: Meter
    ) -> party_pb2.RunResponse:
        report = common_pb2.PartyReport(
            party=self._config.index,
            engine_seconds=meter.engine,
            cpu_seconds=meter.cpu,
            rounds=channel.rounds if channel is not None else 0,
            sent_bytes=channel.sent_bytes if channel is not None else 0,
            kit_bytes=meter.kit_bytes,
            queue_seconds=meter.queued,
            peak_rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        )
        ran(asked.request, report)
        response = party_pb2.RunResponse(report=report, references_changed=outcome.references_changed)
        if outcome.model is not None:
            response.model.CopyFrom(outcome.model.info())
        if asked.deposit is not None:
            outcome.sealed.references_changed = outcome.references_changed
            sealed = seal_result(asked.deposit.reply_key, asked.context, self._config.index, outcome.sealed)
            response.result.CopyFrom(sealed)
        # sizes and times only: what was asked about whom stays out of the log
        log.info("run done", operation=asked.request.operation, rounds=report.rounds, seconds=round(meter.engine, 3))
        return response


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
