"""``python -m visard_party --config FILE``: run a party."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import grpc
import structlog
from visard_common import lifecycle, logs, tracing
from visard_common.background import Background, background
from visard_common.config import load
from visard_common.lifecycle import Health
from visard_common.limits import LEADER
from visard_common.metrics import reading
from visard_common.rpc import Known
from visard_wire.v1 import party_pb2_grpc

from visard_party.auditlog import PRUNE_SECONDS, AuditLog
from visard_party.batching.batches import Batches
from visard_party.budgets.attempts import Attempts
from visard_party.config import PartyConfig
from visard_party.consistency.modelset import REPORT_SECONDS, ModelSets
from visard_party.consistency.watch import WATCH_SECONDS, Watch
from visard_party.consistency.writes import Writes
from visard_party.faults import known
from visard_party.gallery import TIDY_SECONDS, Galleries
from visard_party.gauges import gauges
from visard_party.intake.callers import Callers
from visard_party.intake.deposits import DepositBox
from visard_party.intake.sealingkeys import LOOK_SECONDS, SealingKeys
from visard_party.kits.files import first_number_in
from visard_party.kits.source import RenewedDealer
from visard_party.kits.stock import KitStock
from visard_party.metrics import timed
from visard_party.models import ModelShelf
from visard_party.operations.resources import Resources
from visard_party.peers.framing import add_exchange
from visard_party.peers.links import PeerLinks
from visard_party.runs.runner import Runner
from visard_party.servicer import Party, PartyServicer, PeerServicer
from visard_party.starting import alone_in, opened, patiently

ACCESS = {"visard.v1.Party": ("gateway",), "visard.v1.Peer": ("party",)}
_HEALTH_SECONDS = 0.2

log = structlog.get_logger()


@asynccontextmanager
async def assembled(config: PartyConfig, work: Background) -> AsyncIterator[Party]:
    """A party put together, with its background work running; waits for its store."""
    store = timed(await opened(config, ACCESS))
    log.info("store opened", store=store.description)
    dealer = RenewedDealer(config.tls, config.dealer)
    kits = config.data_dir / "kits"
    first_kit = first_number_in(kits) if config.index == LEADER else 1
    links = PeerLinks(config.index, config.peers, config.tls, first_kit)
    first = partial(first_number_in, kits) if config.index == LEADER else lambda: links.first_kit
    stock = KitStock(kits, config.index, dealer, first)
    models = ModelShelf(store, stock, config.stock_target)
    model_sets = ModelSets(store, models, links)
    writes = Writes(store, links, models.renew)
    watch = Watch(store, links, writes, max(config.run_timeout, config.admin_timeout), model_sets.mended)
    attempts = Attempts(config, store)
    galleries = Galleries(store, writes)
    batches = Batches(links, config.max_batches, config.peer_timeout, config.run_timeout)
    keys = SealingKeys(config.index, config.tls, config.data_dir / "sealing", config.sealing_key_hours)
    resources = Resources(
        config.index, store, models, stock, writes, galleries, attempts, batches, keys, config.max_references
    )
    runner = Runner(config, resources, links, watch, model_sets)
    callers = Callers(config.tls.ca, config.refused_callers)
    deposits = DepositBox(config.max_deposit_mb << 20)
    audit = AuditLog(store, config.audit_days)
    party = Party(config, store, links, stock, models, model_sets, runner, watch, deposits, keys, callers, audit)
    await patiently(models.load_all)
    await patiently(attempts.load)
    for peer in links.called:
        work.forever(f"link to party {peer}", partial(links.keep_calling, peer))
    work.forever("kits", stock.run)
    work.forever("writes", writes.run)
    work.every(REPORT_SECONDS, "models", model_sets.look)
    work.every(WATCH_SECONDS, "references", watch.look)
    work.every(TIDY_SECONDS, "galleries", galleries.look)
    work.every(LOOK_SECONDS, "sealing keys", keys.look)
    work.every(PRUNE_SECONDS, "audit log", audit.look)
    try:
        yield party
    finally:
        await work.stop()
        await dealer.close()
        await store.close()


def meaning(party: int) -> Known:
    """Which status an exception means that ends a call of this party."""
    return partial(known, who=f"party {party}")


async def _show_health(health: Health, party: Party) -> None:
    """Ready while both peers are connected, and it is known whether they hold the same."""
    await health.set(party.links.up() and not party.watch.comparing)


async def serve(config: PartyConfig) -> None:
    """Serve until stopped."""
    with alone_in(config.data_dir):
        await _serve(config)


async def _serve(config: PartyConfig) -> None:
    async with background() as work, assembled(config, work) as party:

        def add(server: grpc.aio.Server) -> None:
            party_pb2_grpc.add_PartyServicer_to_server(PartyServicer(party), server)
            add_exchange(PeerServicer(party.links).Exchange, server)

        with reading(partial(gauges, party.links, party.stock, party.runner, party.model_sets, party.watch)):
            options = [("grpc.max_concurrent_streams", config.max_calls)]
            async with lifecycle.running(config, ACCESS, add, options, work, meaning(config.index)) as health:
                work.every(_HEALTH_SECONDS, "health", partial(_show_health, health, party))
                await lifecycle.until_stopped()
                await work.end("health")
                await health.set(False)
                await party.runner.drained(lifecycle.left(config.drain_seconds))
                party.links.close()


def main() -> None:
    """Entry point."""
    config = load(PartyConfig, sys.argv[1:])
    logs.configure(f"party{config.index}", config.log_level)
    tracing.configure(f"party{config.index}", config.traces)
    lifecycle.run(lambda: serve(config))


if __name__ == "__main__":
    main()
