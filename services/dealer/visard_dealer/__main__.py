"""``python -m visard_dealer --config FILE``: serve as the dealer."""

import os
import sys
from functools import partial

from visard_common import lifecycle, logs, tracing
from visard_common.config import load
from visard_common.kitchunks import add_dealer
from visard_common.metrics import reading

from visard_dealer.config import DealerConfig, master_key
from visard_dealer.factory import KitFactory
from visard_dealer.metrics import gauges
from visard_dealer.servicer import DealerServicer

ACCESS = {"visard.v1.Dealer": ("party",)}


async def serve(config: DealerConfig) -> None:
    """Serve until told to stop; raises ValueError for a master key of another size."""
    factory = KitFactory(master_key(config.master_key), config.cache_mb << 20)
    servicer = DealerServicer(factory)
    with reading(partial(gauges, factory)):
        async with lifecycle.running(config, ACCESS, partial(add_dealer, servicer)) as health:
            await health.set(True)
            await lifecycle.until_stopped()
    factory.close()


def main() -> None:
    """Read the configuration and serve, at a lower priority than others on the machine."""
    config = load(DealerConfig, sys.argv[1:])
    logs.configure("dealer", config.log_level)
    tracing.configure("dealer", config.traces)
    os.nice(config.nice)
    lifecycle.run(lambda: serve(config))


if __name__ == "__main__":
    main()
