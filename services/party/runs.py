"""Runs: one request from the moment all three parties were asked to the sealed answer.

Party 0 leads. It alone queues and picks kit numbers, so that the parties cannot wait for each other in different orders.
"""

import asyncio
import hashlib
import resource
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog
from visard.sealing import Context, seal_result
from visard.v1 import common_pb2, party_pb2

from services.common.deadline import within
from services.common.errors import (
    Aborted,
    AlreadyExists,
    InvalidArgument,
    ResourceExhausted,
    ServiceFault,
    Unavailable,
)
from services.common.limits import ATTEMPT_BYTES, MAX_EXPIRY_MS
from services.common.metrics import stage
from services.mpc.errors import PeerLost
from services.party import requests
from services.party.agreeing import Agreeing
from services.party.agreement import (
    LEADER,
    RETRY_AFTER,
    Refusal,
    Refused,
)
from services.party.budget import Budgets
from services.party.config import PartyConfig
from services.party.deposits import Deposit
from services.party.faults import fault_of
from services.party.gate import Gate, Turns
from services.party.links import PeerLinks
from services.party.mailbox import SessionAborted
from services.party.metrics import ran
from services.party.operations import JOBS, Answer, Desk, Work
from services.party.runtime import SessionChannel
from services.party.sessions import SESSION_BYTES
from services.party.stock import KitStock
from services.party.store.base import State, Store
from services.party.upkeep import Upkeep
from services.party.writes import Writes

# what waits for exclusive operations, and they for it
_TURNS = requests.WRITES | {requests.Operation.OPERATION_RECOVER}
# a peer that is a little behind still needs the third party's messages when our link to it ends
_PARTING_SECONDS = 0.5

log = structlog.get_logger()


@dataclass
class _Meter:
    """What a run cost."""

    started: float
    queued: float = 0.0
    engine: float = 0.0
    cpu: float = 0.0
    kit_bytes: int = 0


class Runner:
    """Takes part in runs."""

    def __init__(self, config: PartyConfig, desk: Desk, links: PeerLinks, upkeep: Upkeep) -> None:
        self._config = config
        self._desk = desk
        self._store: Store = desk.store
        self._links = links
        self._stock: KitStock = desk.stock
        self._writes: Writes = desk.writes
        self._upkeep = upkeep
        self._gate = Gate()
        self._agreeing = Agreeing(config, desk.stock)
        self._subjects = Turns()  # else two callers could both find a name free, and share it
        self._slots = asyncio.Semaphore(config.max_runs)
        self._tasks: dict[bytes, asyncio.Task[party_pb2.RunResponse]] = {}
        self._waiting = 0
        self._stopping = False

    @property
    def budgets(self) -> Budgets:
        """How often this party lets somebody try."""
        return self._desk.attempts.budgets

    @property
    def active(self) -> int:
        """Runs in progress, those in the queue included."""
        return len(self._tasks)

    @property
    def waiting(self) -> int:
        """Runs in the leader's queue."""
        return self._waiting

    async def run(
        self, request: common_pb2.Request, attempt: bytes, deposit: Deposit | None, seconds: float, caller: str
    ) -> party_pb2.RunResponse:
        """The whole run, bounded in time, for whoever has signed the request; raises ServiceFault."""
        self.admit()
        requests.check(request, int(time.time() * 1000))
        if len(attempt) != ATTEMPT_BYTES:
            raise InvalidArgument.of("attempt", f"{ATTEMPT_BYTES} bytes")
        context = Context.from_request(request)
        if deposit is not None and deposit.context != context:
            raise InvalidArgument.of("request", "the one that the share was deposited for")
        if request.request_id in self._tasks:
            raise Unavailable("this request is under way", retry_after=RETRY_AFTER)
        if request.operation in requests.WRITES and await self._made_before(request, context, seconds):
            return await self._again(request, context, deposit)
        if not await self._first_time(request, attempt):
            raise AlreadyExists("this request was seen before: every request needs a fresh id")
        task = asyncio.ensure_future(self._run(request, context, attempt, deposit, seconds, caller))
        self._tasks[request.request_id] = task
        try:
            return await task
        finally:
            task.cancel()  # when the caller is gone
            self._tasks.pop(request.request_id, None)

    async def _made_before(self, request: common_pb2.Request, context: Context, seconds: float) -> bool:
        """Whether this very write is committed; raises ServiceFault for another one, and for one that was undone."""
        entry = await self._store.entry(request.request_id)
        if entry is None:
            return False
        state = await self._writes.settled(request.request_id, seconds)
        if state is State.DROPPED:
            raise Aborted("the write was undone after a failure: nothing is stored; send it with a fresh request id")
        if entry.digest[: len(context.digest)] != context.digest:
            raise AlreadyExists("this request id stands for another write")
        if state is State.PENDING:
            raise Unavailable("the write waits for a party that is away", retry_after=RETRY_AFTER)
        return True

    async def _again(
        self, request: common_pb2.Request, context: Context, deposit: Deposit | None
    ) -> party_pb2.RunResponse:
        """The answer to a write that was made before: the same as the first time."""
        entry = await self._store.entry(request.request_id)
        answer = JOBS[request.operation].repeated(self._desk, request, context.digest)
        answer.references_changed = entry.changes if entry is not None else 0
        return self._response(request, context, deposit, None, answer, _Meter(time.monotonic()))

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

    async def _first_time(self, request: common_pb2.Request, attempt: bytes) -> bool:
        now = int(time.time() * 1000)
        seen = request.request_id
        if request.operation in requests.WRITES:  # an id may come again, an attempt may not: it names the session
            seen = hashlib.sha256(b"visard attempt" + request.request_id + attempt).digest()[: len(seen)]
        return await self._store.remember(seen, now, now + 2 * MAX_EXPIRY_MS)

    async def _run(
        self,
        request: common_pb2.Request,
        context: Context,
        attempt: bytes,
        deposit: Deposit | None,
        seconds: float,
        caller: str,
    ) -> party_pb2.RunResponse:
        session = hashlib.sha256(b"visard session" + context.digest + attempt).digest()[:SESSION_BYTES]
        with (
            structlog.contextvars.bound_contextvars(request=request.request_id.hex()),
            self._writes.running(request.request_id),
        ):
            async with self._session(session) as channel, within(seconds, "the run"):
                meter = _Meter(time.monotonic())
                answer = await self._together(channel, request, context, deposit, seconds, caller, meter)
                return self._response(request, context, deposit, channel, answer, meter)

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

    async def _together(
        self,
        channel: SessionChannel,
        request: common_pb2.Request,
        context: Context,
        deposit: Deposit | None,
        seconds: float,
        caller: str,
        meter: _Meter,
    ) -> Answer:
        """Queue, agree, run."""
        if request.operation != requests.Operation.OPERATION_RECOVER:
            self._upkeep.require_agreement()
        job = JOBS[request.operation]
        async with self._slot(meter), self._turn(request):
            with stage("agreement"):
                proposal = None if self._config.index == LEADER else await self._agreeing.proposal(channel, seconds)
            refusal: Refusal | None = None
            caller = deposit.caller if deposit is not None else ""
            work = Work(request, context.digest)
            try:
                with stage("store"):
                    await self._quiet(request)
                    work = await job.prepare(self._desk, request, context.digest, deposit)
                    await self._desk.authorise(work, caller)
                    names, rate = work.rows.names, work.false_match_rate
                    await self._desk.attempts.spend(request, caller, names, rate)
            except ServiceFault as fault:
                if proposal is None:
                    raise
                refusal = Refusal.of(fault)
            with stage("agreement"):
                kits = await self._agreeing.kits(channel, work, proposal, refusal)
            meter.kit_bytes = sum(kit.plan.correction_bytes for kit in kits)
            started, cpu = time.monotonic(), time.process_time()
            channel.rounds = 0
            with stage("engine"):
                answer = await job.perform(self._desk, work, channel, kits)
            if request.operation == requests.Operation.OPERATION_RECOVER:
                self._upkeep.mended()
            meter.queued += channel.waited_seconds
            meter.engine = time.monotonic() - started - channel.waited_seconds
            meter.cpu = time.process_time() - cpu
            return answer

    async def _quiet(self, request: common_pb2.Request) -> None:
        """A write waits for what the store has not decided yet; a recovery decides that itself."""
        if request.operation in requests.WRITES:
            alone = JOBS[request.operation].exclusive(request)
            await self._writes.quiet(request.request_id, self._config.peer_timeout / 2, alone=alone)

    @asynccontextmanager
    async def _turn(self, request: common_pb2.Request) -> AsyncIterator[None]:
        """At the leader: exclusive operations run alone among the writes, and a subject's writes one after another."""
        if self._config.index != LEADER or request.operation not in _TURNS:
            yield
        elif JOBS[request.operation].exclusive(request):
            async with self._gate.writing():
                yield
        else:
            async with self._gate.reading(), self._subjects.of((request.model, request.subject)):
                yield

    @asynccontextmanager
    async def _slot(self, meter: _Meter) -> AsyncIterator[None]:
        """The leader's queue; the others follow it."""
        if self._config.index != LEADER:
            yield
            return
        if self._waiting >= self._config.max_queue:
            raise ResourceExhausted("too many requests are waiting", retry_after=RETRY_AFTER)
        self._waiting += 1
        try:
            with stage("queue"):
                await self._slots.acquire()
        finally:
            self._waiting -= 1
        meter.queued = time.monotonic() - meter.started
        try:
            yield
        finally:
            self._slots.release()

    def _response(
        self,
        request: common_pb2.Request,
        context: Context,
        deposit: Deposit | None,
        channel: SessionChannel | None,
        answer: Answer,
        meter: _Meter,
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
        ran(request, report)
        response = party_pb2.RunResponse(report=report, references_changed=answer.references_changed)
        if answer.model is not None:
            response.model.CopyFrom(answer.model.info())
        if deposit is not None:
            answer.outcome.references_changed = answer.references_changed
            sealed = seal_result(deposit.reply_key, context, self._config.index, answer.outcome)
            response.result.CopyFrom(sealed)
        # sizes and times only: what was asked about whom stays out of the log
        log.info("run done", operation=request.operation, rounds=report.rounds, seconds=round(meter.engine, 3))
        return response
