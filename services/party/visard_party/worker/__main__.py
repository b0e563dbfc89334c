"""``python -m visard_party.worker --config FILE``: serve a party as one of its workers."""

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import grpc
from visard_common import lifecycle, logs, tracing
from visard_common.background import Background, background
from visard_common.config import load
from visard_common.lifecycle import Health
from visard_wire.v1 import worker_pb2_grpc

from visard_party.faults import meaning
from visard_party.kits.assembly import first_kit, stocked
from visard_party.peers.links import PeerLinks
from visard_party.peers.servicer import add_peers
from visard_party.starting import alone_in, awaited
from visard_party.store import open_store
from visard_party.worker.config import WorkerConfig
from visard_party.worker.holding import Holding
from visard_party.worker.searching import Searching
from visard_party.worker.servicer import WorkerServicer

ACCESS = {"visard.v1.Worker": ("party",), "visard.v1.Peer": ("party",)}  # who may call what
_HEALTH_SECONDS = 0.2


async def _show_health(health: Health, links: PeerLinks) -> None:
    await health.set(links.up())


@asynccontextmanager
async def _assembled(
    config: WorkerConfig, uri: Callable[[], str], work: Background
) -> AsyncIterator[tuple[PeerLinks, WorkerServicer]]:
    """A worker with its background work begun; waits for its party's store, which ``uri`` names."""
    where = config.store_dir or config.data_dir
    store = await awaited(config, ACCESS, lambda: open_store(uri(), where, config.index, reads_only=True))
    try:
        first = first_kit(config, config.number)
        links = PeerLinks(config.index, config.addresses, config.tls, first, config.number)
        async with stocked(config, lambda: links.first_kit, config.number) as kits:
            holding = Holding(config.ordinal, store, config.run_timeout)
            for peer in links.called:
                work.forever(f"link to party {peer}", partial(links.keep_calling, peer))
            kits.keep(work)
            holding.keep(work)
            searching = Searching(config, links, kits.stock, config.number)
            try:
                yield links, WorkerServicer(config, links, holding, searching)
            finally:
                await work.stop()
    finally:
        await store.close()


async def serve(config: WorkerConfig, uri: Callable[[], str] | None = None) -> None:
    """Serve until told to stop; raises HopelessError where another process works in data_dir.

    ``uri`` names the party's store as it is configured when it is asked; without it the store stays that of ``config``.
    """
    with alone_in(config.data_dir):
        async with background() as work, _assembled(config, uri or (lambda: config.store), work) as (links, servicer):

            def add(server: grpc.aio.Server) -> None:
                worker_pb2_grpc.add_WorkerServicer_to_server(servicer, server)
                add_peers(links, server)

            options = [("grpc.max_concurrent_streams", config.max_calls)]
            async with lifecycle.running(config, ACCESS, add, options, work, meaning(config.index)) as health:
                work.every(_HEALTH_SECONDS, "health", partial(_show_health, health, links))
                await lifecycle.until_stopped()
                await work.end("health")
                await health.set(False)
                await servicer.drained(lifecycle.left(config.drain_seconds))
                links.close()


def main() -> None:
    """Read the configuration and serve; exits with 1 where the service cannot go on."""
    config = load(WorkerConfig, sys.argv[1:])
    name = f"party{config.index}-worker{config.ordinal}"
    logs.configure(name, config.log_level)
    tracing.configure(name, config.traces)
    lifecycle.run(lambda: serve(config, lambda: load(WorkerConfig, sys.argv[1:]).store))


if __name__ == "__main__":
    main()
