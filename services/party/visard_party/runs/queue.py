"""Which run goes on when. Party 0 leads: it alone queues, so that the parties cannot wait for each other in different orders."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

from visard_common.errors import ResourceExhausted
from visard_common.limits import LEADER, RETRY_SECONDS
from visard_common.metrics import stage

from visard_party.config import PartyConfig
from visard_party.gate import Gate, Turns
from visard_party.intake.asked import Asked
from visard_party.operations import OPERATIONS
from visard_party.runs.meter import Meter
from visard_party.store.contents import Place


class Queue:
    """The runs of this party; at the followers nothing waits."""

    def __init__(self, config: PartyConfig) -> None:
        self._leads = config.index == LEADER
        self._most = config.max_queue
        self._gate = Gate()
        self._subjects = Turns()  # else two callers could both find a name free, and share it
        self._counters = Turns()
        self._slots = asyncio.Semaphore(config.max_runs)
        self.waiting = 0

    @asynccontextmanager
    async def place(self, asked: Asked, meter: Meter) -> AsyncIterator[None]:
        """The request's turn among the writes, and then a slot; raises ResourceExhausted when too many wait.

        Who waits for a turn takes no slot: many who ask about one subject would else stop those who ask about others.
        """
        if not self._leads:
            yield
            return
        async with AsyncExitStack() as held:
            with self._wait(meter):
                await held.enter_async_context(self._turn(asked))
                await held.enter_async_context(self._slots)
            yield

    @asynccontextmanager
    async def _turn(self, asked: Asked) -> AsyncIterator[None]:
        """Exclusive operations go on alone among the writes, and a subject's writes one after another.

        So do verifications whose failures are counted.
        """
        request = asked.request
        if not asked.declared.takes_turns and not asked.lock_after:
            yield
        elif OPERATIONS[request.operation].exclusive(request):
            async with self._gate.writing():
                yield
        else:
            models = {request.model, request.new_model or request.model}
            async with self._gate.reading(), AsyncExitStack() as turns:
                for model in sorted(models):  # in one order, or two would wait for each other
                    await turns.enter_async_context(self._subjects.of((model, request.subject)))
                yield

    @asynccontextmanager
    async def counting(self, asked: Asked) -> AsyncIterator[None]:
        """A subject's turn, where its failures are counted: at every party, or party 0 could let two begin from one counter."""
        if not asked.lock_after:
            yield
            return
        async with self._counters.of((Place.of(asked.request), asked.request.subject)):
            yield

    @contextmanager
    def _wait(self, meter: Meter) -> Iterator[None]:
        if self.waiting >= self._most:
            raise ResourceExhausted("too many requests are waiting", retry_after=RETRY_SECONDS)
        self.waiting += 1
        try:
            with stage("queue"):
                yield
        finally:
            self.waiting -= 1
        meter.queued = time.monotonic() - meter.started
