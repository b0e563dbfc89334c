"""A worker put together, and what it has in hand: what is begun ends before it stops."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar

from visard_common.background import Background
from visard_common.errors import Unavailable
from visard_wire.v1 import common_pb2, worker_pb2
from visard_wire.version import __version__

from visard_party.kits.assembly import first_kit, stocked
from visard_party.peers.links import PeerLinks
from visard_party.runs.runner import PARTING_SECONDS
from visard_party.starting import awaited
from visard_party.store import open_store
from visard_party.worker.among import Among
from visard_party.worker.config import WorkerConfig
from visard_party.worker.describing import Describing
from visard_party.worker.holding import Holding

# who may call what
ACCESS = {"visard.v1.Worker": ("party",), "visard.v1.Peer": ("party",)}

T = TypeVar("T")


class Working:
    """Everything that a worker's service works with."""

    def __init__(self, config: WorkerConfig, among: Among, holding: Holding, describing: Describing) -> None:
        self.config = config
        self.among = among
        self.holding = holding
        self.describing = describing
        self._stopping = False
        self._active: set[asyncio.Task[Any]] = set()

    @property
    def state(self) -> worker_pb2.TellResponse:
        """How it is, for its party."""
        reason, held = self.among.reason, self.holding.references
        state = common_pb2.WorkerState(reason=reason, version=__version__, references=held)
        return worker_pb2.TellResponse(state=state, distrusted=self.among.stock.trust.problem)

    def admit(self) -> None:
        """Raises Unavailable once this worker is stopping."""
        if self._stopping:
            raise Unavailable(f"worker {self.config.ordinal} of party {self.config.index} is restarting")

    async def counted(self, work: Coroutine[Any, Any, T]) -> T:
        """What is to end before this worker does, unless the party gives it up."""
        task = asyncio.get_running_loop().create_task(work)
        self._active.add(task)
        try:
            return await task
        finally:
            task.cancel()
            self._active.discard(task)

    async def drained(self, seconds: float) -> None:
        """Begin nothing for further runs, and wait until none is in progress, but no longer than ``seconds``."""
        self._stopping = True
        if self._active:
            await asyncio.wait(self._active, timeout=seconds)
            await asyncio.sleep(PARTING_SECONDS)


@asynccontextmanager
async def assembled(config: WorkerConfig, uri: Callable[[], str], work: Background) -> AsyncIterator[Working]:
    """A worker with its background work begun; waits for its party's store, which ``uri`` names.

    Raises Stopped, and HopelessError where waiting does not help.
    """
    where = config.store_dir or config.data_dir
    store = await awaited(config, ACCESS, lambda: open_store(uri(), where, config.index, reads_only=True))
    try:
        first = first_kit(config)
        links = PeerLinks(config.index, config.addresses, config.tls, first, config.number)
        async with stocked(config, lambda: links.first_kit, config.number) as kits:
            among = Among(config, links, kits.stock)
            holding, describing = Holding(config.ordinal, store, config.run_timeout), Describing(config, store, among)
            for peer in links.called:
                work.forever(f"link to party {peer}", partial(links.keep_calling, peer))
            for part in (kits, holding, describing):
                part.keep(work)
            try:
                yield Working(config, among, holding, describing)
            finally:
                await work.stop()
    finally:
        await store.close()
