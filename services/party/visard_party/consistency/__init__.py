"""That the three parties hold the same: writes at three stores or none, and what is held compared again and again."""

from visard_common.background import Background
from visard_common.limits import MAX_EXPIRY_MS
from visard_wire.limits import CROSSING_AGE_MS

from visard_party.consistency.modelset import REPORT_SECONDS, ModelSets
from visard_party.consistency.watch import WATCH_SECONDS, Watch
from visard_party.consistency.writes import Writes
from visard_party.models import ModelShelf
from visard_party.peers.links import PeerLinks
from visard_party.store.base import Store


class Consistency:
    """One party's side of it: its write log, its watch over references, and its models next to those of its peers.

    ``longest_seconds`` is the longest time that a run may take. With ``imports`` galleries may come from other deployments: what
    was erased here is known as long as a page may bring it back.
    """

    def __init__(
        self, store: Store, models: ModelShelf, links: PeerLinks, longest_seconds: float, *, imports: bool = False
    ) -> None:
        self.model_sets = ModelSets(store, models, links)
        self.writes = Writes(store, links, models.renew)
        stones_ms = CROSSING_AGE_MS + 2 * MAX_EXPIRY_MS if imports else 0  # clocks differ, and requests wait
        self.watch = Watch(store, links, self.writes, longest_seconds, self.model_sets.mended, stones_ms)

    def keep(self, work: Background) -> None:
        """Begin what is done by itself: deciding about writes that were left pending, and reporting to the peers."""
        work.forever("writes", self.writes.decide_pending)
        work.every(REPORT_SECONDS, "models", self.model_sets.look)
        work.every(WATCH_SECONDS, "references", self.watch.look)
