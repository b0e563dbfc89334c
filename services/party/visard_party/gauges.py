"""How a party is right now, for Prometheus. Plans are named by the first digits of their public digest."""

from prometheus_client.core import Metric
from visard_common.metrics import gauge

from visard_party.consistency import Consistency
from visard_party.kits.stock import KitStock
from visard_party.peers.links import PeerLinks
from visard_party.runs.runner import Runner
from visard_party.workers import Workers

PLAN_DIGITS = 12


def gauges(
    links: PeerLinks, stock: KitStock, runner: Runner, consistency: Consistency, workers: Workers
) -> list[Metric]:
    """What Prometheus reads: stock, queue, links, and whether the parties hold the same."""
    levels = [(level.plan.digest.hex()[:PLAN_DIGITS], level) for level in stock.levels()]
    differing = consistency.model_sets.differing()
    differ = [(str(peer), float(peer in differing)) for peer in links.peers]
    diverged = [(str(peer), float(peer in consistency.watch.diverged)) for peer in links.peers]
    peers = [(str(peer), float(links.connected(peer))) for peer in links.peers]
    held = [(gallery, float(count)) for gallery, count in sorted(consistency.watch.galleries.items())]
    able = [(str(ordinal), float(not state.reason)) for ordinal, state in enumerate(workers.states)]
    distrusted = [("", float(bool(stock.trust.problem)))]
    return [
        gauge("visard_kits_available", "Kits in stock.", [(p, x.available) for p, x in levels], "plan"),
        gauge("visard_kits_target", "Kits wanted in stock.", [(p, x.target) for p, x in levels], "plan"),
        gauge("visard_gallery_references", "References held, by gallery; empty ones are left out.", held, "gallery"),
        gauge("visard_dealer_distrusted", "1 once a kit has failed its audit; nothing is served.", distrusted),
        gauge("visard_runs_active", "Runs in progress, those in the queue included.", [("", runner.active)]),
        gauge("visard_queue_length", "Runs that wait for a slot; only party 0 queues.", [("", runner.waiting)]),
        gauge("visard_peer_connected", "1 while the link to a peer is up.", peers, "peer"),
        gauge("visard_peer_models_differ", "1 while a peer has published other models.", differ, "peer"),
        gauge("visard_worker_ready", "1 while a worker of this party can search.", able, "worker"),
        gauge("visard_peer_set_differs", "1 while a peer holds other references; nothing is served.", diverged, "peer"),
    ]
