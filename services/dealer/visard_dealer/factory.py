"""Making kits: one at a time, and once for the three parties that ask for the same one."""

import asyncio
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor

from visard_common.metrics import stage
from visard_engine.kits import DealtKit, KitPlan, deal_kit

from visard_dealer.metrics import DEALT


class KitFactory:
    """Deals kits in one worker thread and keeps the last ones, up to a number of bytes."""

    def __init__(self, master: bytes, cache_bytes: int) -> None:
        self._master = master
        self._cache_bytes = cache_bytes
        self._kits: OrderedDict[tuple[bytes, int], asyncio.Future[DealtKit]] = OrderedDict()
        self._worker = ThreadPoolExecutor(1, "dealer")
        self.dealt = 0

    async def kit(self, plan: KitPlan, kit_id: int) -> DealtKit:
        """Kit ``kit_id`` of a plan; callers that ask at the same time share the work."""
        key = (plan.digest, kit_id)
        if key not in self._kits:
            loop = asyncio.get_running_loop()
            self._kits[key] = loop.run_in_executor(self._worker, self._deal, plan, kit_id)
            self._kits[key].add_done_callback(lambda _: self._evict())
            self.dealt += 1
        self._kits.move_to_end(key)
        # one caller that gives up must not take the kit away from the others
        return await asyncio.shield(self._kits[key])

    def _deal(self, plan: KitPlan, kit_id: int) -> DealtKit:
        with stage("deal"):
            kit = deal_kit(plan, self._master, kit_id)
        DEALT.inc()
        return kit

    @property
    def waiting(self) -> int:
        """Kits asked for and not yet made."""
        return sum(not kit.done() for kit in self._kits.values())

    @property
    def cached_bytes(self) -> int:
        """Bytes of the kits kept for the other parties."""
        made = (kit.result() for kit in self._kits.values() if kit.done() and not (kit.cancelled() or kit.exception()))
        return sum(kit.size for kit in made)

    def _evict(self) -> None:
        """Forget the kits not asked for longest, and failures at once."""
        for key in [k for k, f in self._kits.items() if f.done() and (f.cancelled() or f.exception())]:
            del self._kits[key]
        done = [(k, f.result().size) for k, f in self._kits.items() if f.done()]
        total = sum(size for _, size in done)
        for key, size in done:
            if total <= self._cache_bytes:
                break
            del self._kits[key]
            total -= size

    def close(self) -> None:
        """Stop after the kit in work."""
        self._worker.shutdown(cancel_futures=True)
