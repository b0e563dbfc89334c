"""What a party counts for Prometheus."""

import inspect
from typing import Any, cast

from prometheus_client import Counter, Histogram
from visard_common.metrics import REGISTRY
from visard_common.operations import word
from visard_wire.v1 import common_pb2

from visard_party.store.base import Store

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
DEVIATIONS = Counter(
    "visard_deviations",
    "Sessions that ended because somebody did not follow the protocol, by how it was noticed here or at a peer.",
    ["kind"],
    registry=REGISTRY,
)
for _kind in ("views", "check", "message"):
    DEVIATIONS.labels(_kind)
KIT_AUDITS = Counter(
    "visard_kit_audits",
    "Kits that were dealt again here and compared: passed, failed; unanswered: attempts at which no seeds were shown.",
    ["outcome"],
    registry=REGISTRY,
)
for _outcome in ("passed", "failed", "unanswered"):  # from the start, so that the first one shows as an increase
    KIT_AUDITS.labels(_outcome)
BATCH_IMAGES = Histogram(
    "visard_batch_images",
    "Images that went through a network together.",
    registry=REGISTRY,
    buckets=(1, 2, 3, 4, 8, 16),
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
