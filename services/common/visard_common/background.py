"""What a service does by itself, again and again: nothing of it fails unheard.

Work knows what it may meet (a store that is away, a party that refuses) and says so itself. Whatever else it raises is logged
and counted here by the loop's name, and the service says that it does not serve, until the same work goes well again: it is
begun anew after a pause that doubles. A loop that fails MOST times in a row ends the process: whoever runs it starts it afresh.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import prometheus_client
import structlog

from visard_common.metrics import REGISTRY

CALM_SECONDS = 5.0  # work that is for ever goes well when it has lasted so long
PAUSES = (0.5, 30.0)  # seconds before work that failed is begun anew: at first, at most
MOST = 20

FAILURES = prometheus_client.Counter(
    "visard_background_failures", "Failures of background work that nobody foresaw.", ["loop"], registry=REGISTRY
)

Work = Callable[[], Awaitable[None]]
log = structlog.get_logger()


class HopelessError(Exception):
    """The service cannot go on: a loop has failed again and again, or what it needs is not for it. The operator acts."""


class Background:
    """A service's loops, by name; whoever makes one must end it with the block of ``background``."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self.loops: dict[str, asyncio.Task[None]] = {}
        self._group = group
        self._failing: Counter[str] = Counter()  # how often in a row
        self._told: list[Work] = []

    @property
    def well(self) -> bool:
        """Whether no loop is failing."""
        return not self._failing

    def on_change(self, told: Work) -> None:
        """Whom to tell, from now on, when ``well`` may have changed."""
        self._told.append(told)

    def every(self, seconds: float, name: str, work: Work) -> None:
        """Do some work every so many seconds, the first time after as many."""

        async def once() -> None:
            await asyncio.sleep(seconds)
            await work()

        self._begin(name, once, endless=False)

    def forever(self, name: str, work: Work) -> None:
        """Do work that never ends by itself."""
        self._begin(name, work, endless=True)

    async def stop(self) -> None:
        """End all loops, and wait until they have ended."""
        await self.end(*self.loops)

    async def end(self, *names: str) -> None:
        """Cancel these loops, and wait until they have ended."""
        tasks = [self.loops[name] for name in names]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, name: str, work: Work, *, endless: bool) -> None:
        if name in self.loops:
            raise ValueError(f"there is a loop {name} already")
        self.loops[name] = self._group.create_task(self._keep(name, work, endless), name=name)

    async def _keep(self, name: str, work: Work, endless: bool) -> None:
        while True:
            calm = asyncio.get_running_loop().call_later(CALM_SECONDS, self._calm, name) if endless else None
            try:
                await self._once(name, work)
                if endless:
                    raise RuntimeError(f"{name} has ended, and should not")
            except Exception as error:
                await asyncio.sleep(await self._failed(name, error))
            else:
                await self._recovered(name)
            finally:
                if calm is not None:
                    calm.cancel()

    async def _once(self, name: str, work: Work) -> None:
        """One pass of a loop; tests make it fail by name."""
        await work()

    async def _failed(self, name: str, error: Exception) -> float:
        """Make a failure heard; how long to wait. Raises HopelessError when it was the last one."""
        log.exception("background work failed", loop=name)
        FAILURES.labels(name).inc()
        self._failing[name] += 1
        await self._tell()
        if self._failing[name] >= MOST:
            raise HopelessError(f"{name} has failed {MOST} times in a row") from error
        return min(PAUSES[0] * 2.0 ** (self._failing[name] - 1), PAUSES[1])

    def _calm(self, name: str) -> None:
        if name in self._failing:
            self._group.create_task(self._recovered(name))

    async def _recovered(self, name: str) -> None:
        if self._failing.pop(name, 0):
            log.info("background work goes on", loop=name)
            await self._tell()

    async def _tell(self) -> None:
        for told in self._told:
            await told()


@asynccontextmanager
async def background() -> AsyncIterator[Background]:
    """Loops that live as long as the block; raises an ExceptionGroup with HopelessError when one cannot go on."""
    async with asyncio.TaskGroup() as group:
        work = Background(group)
        try:
            yield work
        finally:
            await work.stop()
