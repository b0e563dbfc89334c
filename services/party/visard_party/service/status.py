"""How a party is, in words and numbers for an operator."""

from collections.abc import Iterator

from visard_wire.v1 import common_pb2
from visard_wire.version import __version__

from visard_party.models import Published
from visard_party.peers.links import PeerLinks
from visard_party.service.party import Party


async def status(party: Party, *, layers: bool = False) -> common_pb2.PartyStatus:
    """What an operator wants to know; not ready while there is a reason. ``layers``: what each layer costs. Raises StoreError."""
    subjects, references = (await party.consistency.watch.holdings()).counts
    reasons = obstacles(party.links, party.consistency.model_sets.differing())
    reasons += [obstacle] if (obstacle := party.stock.trust.obstacle) else []
    reasons += [party.consistency.watch.problem] if party.consistency.watch.problem else []
    stock = [
        common_pb2.KitStock(
            plan=level.plan.digest.hex(),
            available=level.available,
            target=level.target,
            kit_bytes=level.plan.correction_bytes,
        )
        for level in party.stock.levels()
    ]
    return common_pb2.PartyStatus(
        party=party.config.index,
        ready=not reasons,
        reason=" and ".join(reasons),
        store=party.store.description,
        version=__version__,
        peers=[_peer_state(party, peer) for peer in party.links.peers],
        stock=stock,
        workers=party.workers.states,
        audits=_audits(party),
        subjects=subjects,
        references=references,
        runs_active=party.runner.active,
        models=[published.info(layers=layers) for published in party.models.listed()],
        attempts_seconds=party.config.attempts_seconds,
        attempts=[allowed for published in party.models.listed() for allowed in _attempts(party, published)],
    )


def _audits(party: Party) -> common_pb2.KitAudits:
    counts = party.auditor.counts
    return common_pb2.KitAudits(
        one_in=party.stock.choosing.one_in,
        passed=counts.passed,
        failed=counts.failed,
        unanswered=counts.unanswered,
    )


def _attempts(party: Party, published: Published) -> Iterator[common_pb2.Attempts]:
    """What the budgets let through at each of a model's operating points."""
    budgets = party.budgets
    for point in sorted(published.program.operating_points):
        rate = published.program.false_match_rate(point)
        yield common_pb2.Attempts(
            model=published.name,
            operating_point=point,
            subject=budgets.at_subject.allowed(rate),
            gallery=budgets.at_gallery.allowed(rate),
            search=budgets.by_search.allowed(rate),
        )


def obstacles(links: PeerLinks, differing: list[int]) -> list[str]:
    """Why this party is not ready, in words for an operator."""
    away = [peer for peer in links.peers if not links.connected(peer)]
    reasons = [links.refusals.get(peer, f"party {peer} is not connected") for peer in away]
    return reasons + [f"party {peer} has published other models: see visard model list" for peer in differing]


def _peer_state(party: Party, peer: int) -> common_pb2.PeerState:
    return common_pb2.PeerState(
        party=peer,
        connected=party.links.connected(peer),
        version=party.links.versions.get(peer, ""),
        models_differ=peer in party.consistency.model_sets.differing(),
    )
