"""What the dealer shows Prometheus."""

from typing import TYPE_CHECKING

from prometheus_client import Counter
from prometheus_client.core import Metric
from visard_common.metrics import REGISTRY, gauge

if TYPE_CHECKING:  # it counts here
    from visard_dealer.factory import KitFactory

DEALT = Counter("visard_kits_dealt", "Kits made.", registry=REGISTRY)
REVEALED = Counter("visard_kits_revealed", "Answers with the seeds of an audited kit.", registry=REGISTRY)
DELIVERED = Counter(
    "visard_delivered_bytes", "Bytes of corrections sent to parties, in whole kits.", ["party"], registry=REGISTRY
)


def gauges(factory: "KitFactory") -> list[Metric]:
    """How the dealer is right now."""
    return [
        gauge("visard_kits_waiting", "Kits asked for and not yet made.", [("", factory.waiting)]),
        gauge("visard_kit_cache_bytes", "Kits kept for the other parties.", [("", factory.cached_bytes)]),
    ]
