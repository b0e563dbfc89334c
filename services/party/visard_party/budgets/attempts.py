"""A party's count of attempts: decided in memory (visard_party.budgets.budget), written down before the answer is computed."""

import time
from collections.abc import Callable, Sequence

from prometheus_client import Counter
from visard_common.errors import ResourceExhausted
from visard_common.metrics import REGISTRY
from visard_wire.v1 import common_pb2

from visard_party.budgets.budget import Buckets, Budgets
from visard_party.config import PartyConfig
from visard_party.store.base import Store
from visard_party.store.contents import Name

REFUSED = Counter("visard_attempts_refused", "Requests refused because a budget is used up.", registry=REGISTRY)


def _microseconds() -> int:
    return time.time_ns() // 1000


class Attempts:
    """Survives a restart: the store keeps every bucket that is not full."""

    def __init__(self, config: PartyConfig, store: Store, clock: Callable[[], int] = _microseconds) -> None:
        self.budgets = Budgets(
            config.attempts_subject,
            config.attempts_gallery,
            config.attempts_search,
            config.attempts_caller,
            config.attempts_seconds,
            config.enrolments_caller,
        )
        self._store = store
        self._clock = clock
        self._buckets = Buckets()

    async def load(self) -> None:
        """Go on from what the store has; raises StoreError."""
        self._buckets = Buckets(await self._store.attempts(self._clock()))

    async def spend(
        self, request: common_pb2.Request, caller: str, rows: Sequence[Name], rate: float | None = None
    ) -> None:
        """Count a request's attempts at a false match rate, for good; raises ResourceExhausted, which says when to come back.

        Raises InvalidArgument for more at once than there ever are.
        """
        if not (charges := self.budgets.charges(request, caller, rows, rate)):
            return
        now = self._clock()
        try:
            changed = self._buckets.spend(charges, now)
        except ResourceExhausted:
            REFUSED.inc()
            raise
        await self._store.note_attempts(changed, now)
