"""The course of a run at a party: queue, prepare, agree with the others, perform.

Party 0 leads. It alone queues and picks kit numbers, so that the parties cannot wait for each other in different orders.
"""

import time
from dataclasses import replace

from visard_common.errors import ServiceFault
from visard_common.metrics import stage
from visard_engine.kits import Kit

from visard_party.config import PartyConfig
from visard_party.consistency import Consistency
from visard_party.faults import Refusal
from visard_party.intake.asked import Asked
from visard_party.operations import OPERATIONS, galleries
from visard_party.operations.prepared import Outcome, Prepared
from visard_party.operations.resources import Resources
from visard_party.peers.channel import SessionChannel
from visard_party.runs.handshake import Agreeing, Heard, offered
from visard_party.runs.meter import Meter
from visard_party.runs.queue import Queue


class Course:
    """What all runs of this party go through."""

    def __init__(self, config: PartyConfig, resources: Resources, consistency: Consistency) -> None:
        self._config = config
        self._resources = resources
        self._consistency = consistency
        self._agreeing = Agreeing(config, resources.stock)
        self._queue = Queue(config)

    @property
    def waiting(self) -> int:
        """How many runs wait in the leader's queue; 0 at a follower."""
        return self._queue.waiting

    async def take(self, channel: SessionChannel, asked: Asked, meter: Meter) -> Outcome:
        """One run from the queue to its outcome; raises ServiceFault, EngineError, StoreError and Refused."""
        if not asked.declared.restores:
            self._consistency.watch.require_agreement()
        asked = await galleries.counted(self._resources.store, asked)
        async with self._queue.place(asked, meter):
            with stage("agreement"):
                proposal = await self._agreeing.proposal(channel, asked.seconds)
            # not before: what party 0 has put in order is taken in this order
            async with self._queue.counting(asked):
                return await self._ordered(channel, asked, proposal, meter)

    async def _ordered(self, channel: SessionChannel, asked: Asked, proposal: Heard, meter: Meter) -> Outcome:
        prepared, kits = await self._agreed(channel, asked, proposal)
        meter.kit_bytes = sum(kit.plan.correction_bytes for kit in kits)
        outcome = await self._performed(channel, prepared, kits, meter)
        meter.kit_bytes += channel.kit_bytes
        if asked.declared.restores:
            self._consistency.watch.mended()
        return outcome

    async def _agreed(self, channel: SessionChannel, asked: Asked, proposal: Heard) -> tuple[Prepared, list[Kit]]:
        """What is about to be run, and its kits, once all three parties see the same; a follower has heard a proposal."""
        if proposal is not None:
            asked = replace(asked, workers=proposal.terms.workers, describer=proposal.terms.describer)
        elif workers := self._resources.workers:
            asked = replace(asked, workers=len(workers), describer=workers.idlest())
        refusal: Refusal | None = None
        prepared = Prepared(asked)
        try:
            with stage("store"):
                prepared = await self._prepared(asked)
        except ServiceFault as fault:
            if proposal is None:
                raise
            refusal = Refusal.of(fault)
        with stage("agreement"):
            return prepared, await self._agreeing.kits(channel, offered(prepared), proposal, refusal)

    async def _prepared(self, asked: Asked) -> Prepared:
        """What the request is about, if its caller may ask for it now; the attempt is counted."""
        request, operation = asked.request, OPERATIONS[asked.request.operation]
        if asked.declared.writes or asked.lock_after:  # it waits for what is undecided; a recovery decides that itself
            alone = operation.exclusive(request)
            await self._consistency.writes.quiet(request.request_id, self._config.peer_timeout / 2, alone=alone)
        await galleries.require_entry(self._resources.store, asked)
        await galleries.require_same_count(self._resources.store, asked)
        prepared = await operation.prepare(self._resources, asked)
        if prepared.model is not None:
            self._consistency.model_sets.require_same()
        await galleries.require_right(self._resources.store, prepared)
        names, rate = prepared.own.names, prepared.false_match_rate
        await self._resources.attempts.spend(request, asked.caller, names, rate)
        return prepared

    async def _performed(self, channel: SessionChannel, prepared: Prepared, kits: list[Kit], meter: Meter) -> Outcome:
        started, cpu = time.monotonic(), time.process_time()
        channel.begin_engine()
        with stage("engine"):
            operation = OPERATIONS[prepared.request.operation]
            outcome = await operation.perform(self._resources, prepared, channel, kits)
        meter.queued += channel.waited_seconds
        meter.engine = time.monotonic() - started - channel.waited_seconds
        meter.cpu = time.process_time() - cpu
        return outcome
