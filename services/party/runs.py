"""Runs: one request from the moment all three parties were asked to the sealed answer.

Party 0 leads. It alone queues and picks kit numbers, so that the parties cannot wait for each other in different orders.
"""

import asyncio
import hashlib
import os
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
from services.mpc.kits import Kit, KitPlan
from services.party import agreement, requests
from services.party.agreement import (
    FOLLOWERS,
    LEADER,
    NONCE_BYTES,
    RETRY_AFTER,
    Proposal,
    Refusal,
    Refused,
    Reply,
    Terms,
    Verdict,
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
from services.party.stock import KitBurnt, KitStock
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
            fault = fault_of(error)
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
                proposal = None if self._config.index == LEADER else await self._proposal(channel, seconds)
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
                kits = await (
                    self._lead(channel, work) if proposal is None else self._follow(channel, work, proposal, refusal)
                )
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

    def _terms(self, work: Work) -> Terms:
        plans = tuple(plan.digest.hex() for plan in work.plans)
        return Terms(work.digest.hex(), work.caller, work.rows_digest.hex(), plans)

    async def _lead(self, channel: SessionChannel, work: Work) -> list[Kit]:
        """Propose kit numbers, hear the others, pronounce the verdict; this party's kits."""
        numbers, nonce = await self._reserve(work.plans), os.urandom(NONCE_BYTES)
        proposal = agreement.encode(Proposal(self._terms(work), tuple(numbers), agreement.commitment(nonce)))
        await channel.exchange(dict.fromkeys(FOLLOWERS, proposal), ())
        # taken in any case: the others may have taken theirs already
        kits = [await self._take(plan, n) for plan, n in zip(work.plans, numbers, strict=True)]
        channel.round_seconds = self._config.peer_timeout + self._config.kit_wait
        replies = await channel.exchange({}, FOLLOWERS)
        channel.round_seconds = self._config.peer_timeout
        answers = [agreement.decode_reply(replies[peer]) for peer in FOLLOWERS]
        refusal = agreement.verdict(answers, fingerprints(kits))
        nonces = (nonce, *(bytes.fromhex(answer.nonce) for answer in answers))
        verdict = agreement.encode(Verdict(refusal, tuple(one.hex() for one in nonces)))
        await channel.exchange(dict.fromkeys(FOLLOWERS, verdict), ())
        for answer in answers:
            for plan, floor in zip(work.plans, answer.refusal.floors if answer.refusal else (), strict=False):
                await self._stock.raise_floor(plan, floor)
        self._go(refusal)
        return tossed(kits, agreement.coin(nonces))

    def _go(self, refusal: Refusal | None) -> None:
        """Raises Refused unless the verdict is yes."""
        if refusal is None:
            return
        if refusal.stale_kits:
            log.warning("kits of two secrets of the dealer: all are discarded")
            self._stock.clear()
        raise Refused(refusal)

    async def _proposal(self, channel: SessionChannel, seconds: float) -> Proposal:
        channel.round_seconds = seconds  # the leader may queue as long as the caller waits
        message = await channel.exchange({}, (LEADER,))
        return agreement.decode_proposal(message[LEADER])

    async def _follow(
        self, channel: SessionChannel, work: Work, proposal: Proposal, refusal: Refusal | None
    ) -> list[Kit]:
        """Check the leader's proposal, take the kits it names, and hear the verdict."""
        channel.round_seconds = self._config.peer_timeout + self._config.kit_wait
        refusal, kits = refusal or agreement.check(proposal.terms, self._terms(work)), list[Kit]()
        if refusal is None:
            refusal, kits = await self._take_all(work.plans, proposal.kits)
        nonce = os.urandom(NONCE_BYTES)
        await channel.exchange({LEADER: agreement.encode(Reply(refusal, fingerprints(kits), nonce.hex()))}, ())
        verdict = agreement.decode_verdict((await channel.exchange({}, (LEADER,)))[LEADER])
        channel.round_seconds = self._config.peer_timeout
        self._go(verdict.refusal)
        return tossed(kits, agreement.tossed(verdict, proposal, self._config.index, nonce))

    async def _take_all(self, plans: tuple[KitPlan, ...], numbers: tuple[int, ...]) -> tuple[Refusal | None, list[Kit]]:
        kits: list[Kit] = []
        try:
            for plan, number in zip(plans, numbers, strict=True):
                kits.append(await self._stock.take(plan, number, self._config.kit_wait))
        except KitBurnt as burnt:
            floors = tuple(burnt.floor if p.digest == plan.digest else 1 for p in plans)
            return Refusal.of(ResourceExhausted("the kits were used up", retry_after=RETRY_AFTER), floors), []
        except ServiceFault as fault:
            return Refusal.of(fault), []
        return None, kits

    async def _reserve(self, plans: tuple[KitPlan, ...]) -> list[int]:
        """A number for each plan; none is kept from others when one cannot be had."""
        numbers: list[int] = []
        try:
            for plan in plans:
                numbers.append(await self._stock.reserve(plan, self._config.kit_wait))
        except BaseException:
            for plan, number in zip(plans, numbers, strict=False):
                await self._stock.release(plan, number)
            raise
        return numbers

    async def _take(self, plan: KitPlan, number: int) -> Kit:
        try:
            return await self._stock.take(plan, number, self._config.kit_wait)
        except KitBurnt as error:
            raise ResourceExhausted("the kits were used up", retry_after=RETRY_AFTER) from error

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


def tossed(kits: list[Kit], coin: bytes) -> list[Kit]:
    """The kits, with the coin of this run."""
    for kit in kits:
        kit.toss(coin)
    return kits


def fingerprints(kits: list[Kit]) -> tuple[str, ...]:
    """What the parties compare of their kits."""
    return tuple(kit.fingerprint.hex() for kit in kits)
