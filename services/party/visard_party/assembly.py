"""A party put together from its wings, each of which knows how to put together itself."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import structlog
from visard_common.background import Background

from visard_party.auditlog import AuditLog
from visard_party.config import PartyConfig
from visard_party.consistency import Consistency
from visard_party.intake import Intake
from visard_party.kits.assembly import Kits, first_kit, stocked
from visard_party.models import ModelShelf
from visard_party.operations.assembly import assembled as assembled_resources
from visard_party.peers.links import PeerLinks
from visard_party.runs.runner import Runner
from visard_party.service.party import Party
from visard_party.starting import opened, patiently
from visard_party.store.base import Store

log = structlog.get_logger()


@asynccontextmanager
async def assembled(config: PartyConfig, uri: Callable[[], str], work: Background) -> AsyncIterator[Party]:
    """A party with its background work begun; waits for its store, which ``uri`` names.

    Raises Stopped, and HopelessError where waiting does not help.
    """
    store = await opened(config, uri)
    log.info("store opened", store=store.description)
    try:
        links = PeerLinks(config.index, config.peers, config.tls, first_kit(config))
        async with stocked(config, lambda: links.first_kit) as kits:
            party = await _begun(config, store, links, kits, work)
            try:
                yield party
            finally:
                await work.stop()
                await party.workers.close()
    finally:
        await store.close()


async def _begun(config: PartyConfig, store: Store, links: PeerLinks, kits: Kits, work: Background) -> Party:
    stock, auditor = kits.stock, kits.auditor
    models = ModelShelf(store, stock, config.stock_target)
    longest = max(config.run_timeout, config.admin_timeout)
    consistency = Consistency(store, models, links, longest, imports=bool(config.import_from))
    intake, audit = Intake(config), AuditLog(store, config.audit_days)
    resources = assembled_resources(config, store, links, stock, models, consistency, intake.keys)
    runner = Runner(config, resources, links, consistency)
    await patiently(models.load_all)
    await patiently(resources.attempts.load)
    for peer in links.called:
        work.forever(f"link to party {peer}", partial(links.keep_calling, peer))
    for part in (kits, consistency, resources.galleries, resources.workers, intake, audit):
        part.keep(work)
    return Party(
        config,
        store,
        links,
        stock,
        auditor,
        models,
        consistency,
        resources.attempts.budgets,
        runner,
        intake,
        audit,
        resources.workers,
    )
