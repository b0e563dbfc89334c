"""``python -m visard_party.worker --config FILE``: serve a party as one of its workers."""

import sys
from collections.abc import Callable
from functools import partial

import grpc
from visard_common import lifecycle, logs, tracing
from visard_common.background import background
from visard_common.config import load
from visard_common.lifecycle import Health
from visard_wire.v1 import worker_pb2_grpc

from visard_party.faults import meaning
from visard_party.peers.links import PeerLinks
from visard_party.peers.servicer import add_peers
from visard_party.starting import alone_in
from visard_party.worker.config import WorkerConfig
from visard_party.worker.servicer import WorkerServicer
from visard_party.worker.working import ACCESS, assembled

_HEALTH_SECONDS = 0.2


async def _show_health(health: Health, links: PeerLinks) -> None:
    await health.set(links.up())


async def serve(config: WorkerConfig, uri: Callable[[], str] | None = None) -> None:
    """Serve until told to stop; raises HopelessError where another process works in data_dir.

    ``uri`` names the party's store as it is configured when it is asked; without it the store stays that of ``config``.
    """
    with alone_in(config.data_dir):
        async with background() as work, assembled(config, uri or (lambda: config.store), work) as working:
            links = working.among.links

            def add(server: grpc.aio.Server) -> None:
                worker_pb2_grpc.add_WorkerServicer_to_server(WorkerServicer(working), server)
                add_peers(links, server)

            options = [("grpc.max_concurrent_streams", config.max_calls)]
            async with lifecycle.running(config, ACCESS, add, options, work, meaning(config.index)) as health:
                work.every(_HEALTH_SECONDS, "health", partial(_show_health, health, links))
                await lifecycle.until_stopped()
                await work.end("health")
                await health.set(False)
                await working.drained(lifecycle.left(config.drain_seconds))
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
