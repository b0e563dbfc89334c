"""What a party shows Prometheus. Plans are named by the first digits of their public digest."""

import inspect
from typing import TYPE_CHECKING, Any, cast

from prometheus_client import Counter, Histogram
from prometheus_client.core import Metric
from visard.v1 import common_pb2

from services.common.metrics import REGISTRY, gauge
from services.common.operations import word
from services.party.store.base import Store

if TYPE_CHECKING:  # they count here
    from services.party.links import PeerLinks
    from services.party.modelset import ModelSets
    from services.party.runs import Runner
    from services.party.stock import KitStock
    from services.party.upkeep import Upkeep

PLAN_DIGITS = 12
_STORE_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)

RUNS = Counter("visard_runs", "Runs that ended well, by operation.", ["operation"], registry=REGISTRY)
SIGNED = Counter(
    "visard_signed_requests",
    "Requests that a caller signed, by operation and status: each an entry of what visard admin audit-log reads.",
    ["operation", "code"],
    registry=REGISTRY,
)
ROUNDS = Counter("visard_rounds", "MPC rounds of those runs.", registry=REGISTRY)
SENT = Counter("visard_sent_bytes", "Bytes that those runs sent to the two peers.", registry=REGISTRY)
KIT_BYTES = Counter("visard_kit_bytes", "Bytes of kits that those runs used up.", registry=REGISTRY)
RIDE_IMAGES = Histogram(
    "visard_ride_images", "Images that went through a network together.", registry=REGISTRY, buckets=(1, 2, 3, 4, 8, 16)
)
STORE = Histogram(
    "visard_store_seconds", "How long the store took, by call.", ["call"], registry=REGISTRY, buckets=_STORE_BUCKETS
)


def ran(request: common_pb2.Request, report: common_pb2.PartyReport) -> None:
    """Count a run that ended well."""
    RUNS.labels(word(request.operation)).inc()
    ROUNDS.inc(report.rounds)
    SENT.inc(report.sent_bytes)
    KIT_BYTES.inc(report.kit_bytes)


class _TimedStore:
    """A store whose coroutines are timed."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if not inspect.iscoroutinefunction(method):
            return method

        async def timed(*arguments: Any) -> Any:
            with STORE.labels(name).time():
                return await method(*arguments)

        return timed


def timed(store: Store) -> Store:
    """The same store, its latency shown."""
    return cast(Store, _TimedStore(store))


def gauges(
    links: "PeerLinks", stock: "KitStock", runner: "Runner", model_sets: "ModelSets", upkeep: "Upkeep"
) -> list[Metric]:
    """How the party is right now."""
    levels = [(level.plan.digest.hex()[:PLAN_DIGITS], level) for level in stock.levels()]
    differing = model_sets.differing()
    differ = [(str(peer), float(peer in differing)) for peer in links.peers]
    diverged = [(str(peer), float(peer in upkeep.diverged)) for peer in links.peers]
    peers = [(str(peer), float(links.connected(peer))) for peer in links.peers]
    return [
        gauge("visard_kits_available", "Kits in stock.", [(p, x.available) for p, x in levels], "plan"),
        gauge("visard_kits_target", "Kits wanted in stock.", [(p, x.target) for p, x in levels], "plan"),
        gauge("visard_runs_active", "Runs in progress, those in the queue included.", [("", runner.active)]),
        gauge("visard_queue_length", "Runs that wait for a slot; only party 0 queues.", [("", runner.waiting)]),
        gauge("visard_peer_connected", "1 while the link to a peer is up.", peers, "peer"),
        gauge("visard_peer_models_differ", "1 while a peer has published other models.", differ, "peer"),
        gauge("visard_peer_set_differs", "1 while a peer holds other references; nothing is served.", diverged, "peer"),
    ]
