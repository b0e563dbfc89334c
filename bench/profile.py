"""Where a run's time goes at one party: seconds of local work by kernel, and seconds of waiting for the peers.

Work runs in threads while others of its kind cannot, so the parts add up to the wall time of the run, less the event loop.
"""

import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from visard_engine.session import Session
from visard_party.peers.channel import SessionChannel

WAITING = "waiting for peers"


class Profile:
    """Collects seconds by stage while installed."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)

    def install(self) -> None:
        """Time every piece of local work and every exchange of this process from now on."""
        compute, exchange, seconds = Session.compute, SessionChannel.exchange, self.seconds

        async def timed_compute(s: Session, size: int, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            try:
                return await compute(s, size, work, *args, **kwargs)
            finally:
                seconds[_name(work, args)] += time.perf_counter() - started

        async def timed_exchange(channel: SessionChannel, *args: Any) -> dict[int, bytes]:
            started = time.perf_counter()
            try:
                return await exchange(channel, *args)
            finally:
                seconds[WAITING] += time.perf_counter() - started

        Session.compute = timed_compute  # type: ignore[method-assign,assignment]
        SessionChannel.exchange = timed_exchange  # type: ignore[method-assign,assignment]


def _name(work: Callable[..., Any], args: tuple[Any, ...]) -> str:
    """The operation for linear layers, else protocol and step."""
    if work.__name__ == "_local":
        return f"linear: {args[2].kind}"
    return f"{work.__module__.rpartition('.')[2]}: {work.__name__.lstrip('_')}"
