"""What the gateway shows Prometheus."""

from typing import TYPE_CHECKING

from prometheus_client import Counter
from prometheus_client.core import Metric
from visard_common.metrics import REGISTRY, gauge

if TYPE_CHECKING:  # they count here
    from visard_gateway.parties import Parties
    from visard_gateway.relay import Relay

RELAYED = Counter("visard_relayed_bytes", "Bytes of sealed shares passed on, by party.", ["party"], registry=REGISTRY)


def gauges(parties: "Parties", relay: "Relay") -> list[Metric]:
    """What Prometheus reads: requests in progress, and whether each party can be reached."""
    reached = [(str(party), float(ok)) for party, ok in enumerate(parties.reachable())]
    return [
        gauge("visard_uploads_active", "Requests in progress, mere looks aside.", [("", relay.active)]),
        gauge("visard_party_reachable", "0 while the channel to a party is broken.", reached, "party"),
    ]
