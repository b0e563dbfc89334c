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
from functools import cached_property

import structlog
from visard.sealing import Context, seal_result
from visard.v1 import common_pb2, party_pb2

from services.common.deadline import within
from services.common.errors import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
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
from services.party.errors import StoreError
from services.party.faults import fault_of
from services.party.gate import Gate, Turns
from services.party.links import PeerLinks
from services.party.mailbox import SessionAborted
from services.party.metrics import ran
from services.party.modelset import ModelSets
from services.party.operations import JOBS, Answer, Desk, Work, signed_digest
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


# what the caller is told is over, and does not send again by itself
_FINAL = frozenset(
    fault.code for fault in (AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, PermissionDenied)
)


@dataclass(frozen=True)
class Asked:
    """A request as this party was asked to run it, within so many seconds. ``attempt`` names the session."""

    request: common_pb2.Request
    attempt: bytes
    deposit: Deposit | None  # what its caller has handed in; None where nobody has signed
    seconds: float

    @cached_property
    def context(self) -> Context:
        """What it means."""
        return Context.from_request(self.request)

    @property
    def caller(self) -> str:
        """Who has signed it; empty where nobody has."""
        return self.deposit.caller if self.deposit is not None else ""


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

    def __init__(
        self, config: PartyConfig, desk: Desk, links: PeerLinks, upkeep: Upkeep, model_sets: ModelSets
    ) -> None:
        self._config = config
        self._desk = desk
        self._store: Store = desk.store
        self._links = links
        self._stock: KitStock = desk.stock
        self._writes: Writes = desk.writes
        self._upkeep = upkeep
        self._model_sets = model_sets
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
            raise Unavailable("this request is under way", retry_after=RETRY_AFTER)
        # from here on nobody else runs it, and nothing has been waited for since we looked
        task = self._tasks[request.request_id] = asyncio.ensure_future(self._once(asked))
        try:
            return await task
        finally:
            task.cancel()  # when the caller is gone
            self._tasks.pop(request.request_id, None)

    async def _once(self, asked: Asked) -> party_pb2.RunResponse:
        request = asked.request
        if request.operation in requests.WRITES and await self._made_before(asked):
            return await self._again(asked)
        for earlier in request.instead_of:
            await self._foreclose(earlier, asked.seconds)
        if not await self._first_time(request, asked.attempt):
            raise AlreadyExists("this request was seen before: every request needs a fresh id")
        try:
            return await self._run(asked)
        except ServiceFault as fault:
            if fault.code in _FINAL and request.operation in requests.WRITES and asked.deposit is not None:
                await self._refuse_for_good(request)
            raise

    async def _made_before(self, asked: Asked) -> bool:
        """Whether this very write is committed; raises ServiceFault for another one, and for one that was undone."""
        entry = await self._store.entry(asked.request.request_id)
        if entry is None:
            return False
        state = await self._writes.settled(asked.request.request_id, asked.seconds)
        if state is State.DROPPED:
            raise Aborted("the write was undone or refused: nothing is stored; send it with a fresh request id")
        if not entry.digest.startswith(signed_digest(asked.context.digest, asked.caller)):
            raise AlreadyExists("this request id stands for another write")
        if state is State.PENDING:
            raise Unavailable("the write waits for a party that is away", retry_after=RETRY_AFTER)
        return True

    async def _foreclose(self, earlier: bytes, seconds: float) -> None:
        """See to it that an earlier request is never made; raises AlreadyExists when it was, Unavailable while it may be."""
        if earlier in self._tasks:
            raise Unavailable("the request that this one stands for is under way", retry_after=RETRY_AFTER)
        state = (await self._store.states([earlier]))[earlier]
        if state is State.PENDING:
            state = await self._writes.settled(earlier, seconds)
        if state is State.COMMITTED:
            raise AlreadyExists("the request that this one stands for was made")
        if state is State.PENDING:
            raise Unavailable("the request that this one stands for waits for a party", retry_after=RETRY_AFTER)
        if state is State.UNKNOWN:
            await self._store.drop(earlier, _now_ms() + MAX_EXPIRY_MS)

    async def _refuse_for_good(self, request: common_pb2.Request) -> None:
        """Its caller was told no: whoever kept the request cannot have it run when it would be granted.

        What is staged here is left to recovery: another party may have staged it too.
        """
        request_id = request.request_id
        try:
            if (await self._store.states([request_id]))[request_id] is State.UNKNOWN:
                await self._store.drop(request_id, request.expires_unix_ms)
        except StoreError as error:
            log.warning("a refused write was not noted", request=request_id.hex(), reason=str(error))

    async def _again(self, asked: Asked) -> party_pb2.RunResponse:
        """The answer to a write that was made before: the same as the first time."""
        entry = await self._store.entry(asked.request.request_id)
        answer = JOBS[asked.request.operation].repeated(self._desk, asked.request, asked.context.digest)
        answer.references_changed = entry.changes if entry is not None else 0
        return self._response(asked, None, answer, _Meter(time.monotonic()))

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
        now, seen = _now_ms(), request.request_id
        if request.operation in requests.WRITES:  # an id may come again, an attempt may not: it names the session
            seen = hashlib.sha256(b"visard attempt" + request.request_id + attempt).digest()[: len(seen)]
        return await self._store.remember(seen, now, now + 2 * MAX_EXPIRY_MS)

    async def _run(self, asked: Asked) -> party_pb2.RunResponse:
        session = hashlib.sha256(b"visard session" + asked.context.digest + asked.attempt).digest()[:SESSION_BYTES]
        request_id = asked.request.request_id
        with structlog.contextvars.bound_contextvars(request=request_id.hex()), self._writes.running(request_id):
            async with self._session(session) as channel, within(asked.seconds, "the run"):
                meter = _Meter(time.monotonic())
                answer = await self._together(channel, asked, meter)
                return self._response(asked, channel, answer, meter)

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
            fault = fault_of(error)
            if not isinstance(error, SessionAborted | Refused):
                channel.abort(fault.code, fault.message, fault.retry_after)
            if isinstance(error, asyncio.CancelledError):
                raise
            raise fault from error
        finally:
            channel.close()

    async def _together(self, channel: SessionChannel, asked: Asked, meter: _Meter) -> Answer:
        """Queue, agree, run."""
        request, deposit = asked.request, asked.deposit
        if request.operation != requests.Operation.OPERATION_RECOVER:
            self._upkeep.require_agreement()
        job = JOBS[request.operation]
        async with self._slot(meter), self._turn(request):
            with stage("agreement"):
                proposal = (
                    None if self._config.index == LEADER else await self._agreeing.proposal(channel, asked.seconds)
                )
            refusal: Refusal | None = None
            work = Work(request, asked.context.digest)
            try:
                with stage("store"):
                    await self._quiet(request)
                    work = await job.prepare(self._desk, request, asked.context.digest, deposit)
                    if work.model is not None:
                        self._model_sets.require_same()
                    await self._desk.authorise(work, asked.caller)
                    names, rate = work.rows.names, work.false_match_rate
                    await self._desk.attempts.spend(request, asked.caller, names, rate)
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
        self, asked: Asked, channel: SessionChannel | None, answer: Answer, meter: _Meter
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
        response = party_pb2.RunResponse(report=report, references_changed=answer.references_changed)
        if answer.model is not None:
            response.model.CopyFrom(answer.model.info())
        if asked.deposit is not None:
            answer.outcome.references_changed = answer.references_changed
            sealed = seal_result(asked.deposit.reply_key, asked.context, self._config.index, answer.outcome)
            response.result.CopyFrom(sealed)
        # sizes and times only: what was asked about whom stays out of the log
        log.info("run done", operation=asked.request.operation, rounds=report.rounds, seconds=round(meter.engine, 3))
        return response


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
