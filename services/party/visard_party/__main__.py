"""``python -m visard_party --config FILE``: serve as a party."""

import sys
from collections.abc import Callable
from functools import partial

import grpc
from visard_common import lifecycle, logs, tracing
from visard_common.background import background
from visard_common.config import load
from visard_common.lifecycle import Health
from visard_common.metrics import reading

from visard_party.assembly import assembled
from visard_party.config import PartyConfig
from visard_party.faults import meaning
from visard_party.gauges import gauges
from visard_party.peers.servicer import add_peers
from visard_party.service.party import Party
from visard_party.service.servicer import add_party
from visard_party.starting import ACCESS, alone_in

_HEALTH_SECONDS = 0.2


async def _show_health(health: Health, party: Party) -> None:
    await health.set(party.ready)


async def serve(config: PartyConfig, uri: Callable[[], str] | None = None) -> None:
    """Serve until told to stop, then end the runs in progress; raises HopelessError where another party works in data_dir.

    ``uri`` names the store as it is configured when it is asked; without it the store stays that of ``config``.
    """
    with alone_in(config.data_dir):
        await _serve(config, uri or (lambda: config.store))


async def _serve(config: PartyConfig, uri: Callable[[], str]) -> None:
    async with background() as work, assembled(config, uri, work) as party:

        def add(server: grpc.aio.Server) -> None:
            add_party(party, server)
            add_peers(party.links, server)

        with reading(partial(gauges, party.links, party.stock, party.runner, party.consistency, party.workers)):
            options = [("grpc.max_concurrent_streams", config.max_calls)]
            async with lifecycle.running(config, ACCESS, add, options, work, meaning(config.index)) as health:
                work.every(_HEALTH_SECONDS, "health", partial(_show_health, health, party))
                await lifecycle.until_stopped()
                await work.end("health")
                await health.set(False)
                await party.runner.drained(lifecycle.left(config.drain_seconds))
                party.links.close()


def main() -> None:
    """Read the configuration and serve; exits with 1 where the service cannot go on."""
    config = load(PartyConfig, sys.argv[1:])
    logs.configure(f"party{config.index}", config.log_level)
    tracing.configure(f"party{config.index}", config.traces)
    lifecycle.run(lambda: serve(config, lambda: load(PartyConfig, sys.argv[1:]).store))


if __name__ == "__main__":
    main()
