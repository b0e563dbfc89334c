"""``python -m visard_gateway --config FILE``: serve as the gateway."""

import sys
from functools import partial

from visard_common import lifecycle, logs, tracing
from visard_common.background import background
from visard_common.config import load
from visard_common.metrics import reading

from visard_gateway.config import GatewayConfig
from visard_gateway.expiry import Expiry
from visard_gateway.http.door import HttpDoor
from visard_gateway.metrics import gauges
from visard_gateway.parties import Parties
from visard_gateway.relay import Relay
from visard_gateway.services import ACCESS, SERVICES, add_services


async def serve(config: GatewayConfig) -> None:
    """Serve until told to stop; requests in flight are drained."""
    parties = Parties(config.parties, config.tls)
    relay = Relay(config, parties)
    add = partial(add_services, config, parties, relay)
    door = HttpDoor(config, SERVICES, add)
    with reading(partial(gauges, parties, relay)):
        async with (
            background() as work,
            lifecycle.running(config, ACCESS, add, config.connection_options, work, door=door) as health,
        ):
            work.every(config.expiry_interval, "expiry", Expiry(config, parties, relay).look)
            await health.set(True)
            await lifecycle.until_stopped()
            await work.stop()
    await parties.close()


def main() -> None:
    """Read the configuration and serve; exits with 1 where the service cannot go on."""
    config = load(GatewayConfig, sys.argv[1:])
    logs.configure("gateway", config.log_level)
    tracing.configure("gateway", config.traces)
    lifecycle.run(lambda: serve(config))


if __name__ == "__main__":
    main()
