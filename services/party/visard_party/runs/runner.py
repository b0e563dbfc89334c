"""One request from the moment all three parties were asked to the sealed answer, and never two runs of it at a time."""

import asyncio
import time

import structlog
from visard_common.errors import AlreadyExists, ServiceFault, Unavailable
from visard_common.limits import RETRY_SECONDS
from visard_wire.v1 import party_pb2

from visard_party.config import PartyConfig
from visard_party.consistency import Consistency
from visard_party.intake.asked import Asked
from visard_party.operations.resources import Resources
from visard_party.peers.links import PeerLinks
from visard_party.runs import session
from visard_party.runs.course import Course
from visard_party.runs.meter import Meter
from visard_party.runs.replay import Replay
from visard_party.runs.response import response

# a peer that is a little behind still needs the third party's messages when our link to it ends
PARTING_SECONDS = 0.5


class Runner:
    """Handles the requests that this party is asked for, by taking part in their runs."""

    def __init__(self, config: PartyConfig, resources: Resources, links: PeerLinks, consistency: Consistency) -> None:
        self._config = config
        self._links = links
        self._writes = consistency.writes
        self._course = Course(config, resources, consistency)
        self._workers = resources.workers
        self._replay = Replay(resources)
        self._tasks: dict[bytes, asyncio.Task[party_pb2.RunResponse]] = {}
        self._stopping = False

    @property
    def active(self) -> int:
        """Runs in progress, those in the queue included."""
        return len(self._tasks)

    @property
    def waiting(self) -> int:
        """How many runs wait in the leader's queue; 0 at a follower."""
        return self._course.waiting

    async def handle(self, asked: Asked) -> party_pb2.RunResponse:
        """The answer to a request: by a run, or again where it is a write that was made before.

        Bounded in time; raises ServiceFault, StoreError, and Unavailable while the same request is under way.
        """
        self.admit()
        request = asked.request
        asked.check(_now_ms())
        if request.request_id in self._tasks:
            raise Unavailable("this request is under way", retry_after=RETRY_SECONDS)
        # from here on nobody else handles it, and nothing has been waited for since we looked
        task = self._tasks[request.request_id] = asyncio.ensure_future(self._once(asked))
        try:
            return await task
        finally:
            task.cancel()  # when the caller is gone
            self._tasks.pop(request.request_id, None)

    async def _once(self, asked: Asked) -> party_pb2.RunResponse:
        request = asked.request
        if asked.declared.writes and await self._replay.made_before(asked):
            return response(self._config.index, asked, None, await self._replay.again(asked), Meter())
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

    def cancel(self, request_id: bytes) -> None:
        """Stop a request's run; nothing where none is in progress."""
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
            await asyncio.sleep(PARTING_SECONDS)

    async def _run(self, asked: Asked) -> party_pb2.RunResponse:
        request_id = asked.request.request_id
        with structlog.contextvars.bound_contextvars(request=request_id.hex()), self._writes.running(request_id):
            async with session.opened(self._config, self._links, asked.session, asked.seconds) as channel:
                meter = Meter()
                try:
                    outcome = await self._course.take(channel, asked, meter)
                finally:
                    self._workers.ended(asked.session)
                return response(self._config.index, asked, channel, outcome, meter)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
