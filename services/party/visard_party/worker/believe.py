"""``python -m visard_party.worker.believe --config FILE``: as visard_party.believe, of a worker."""

import sys

from visard_common.config import load

from visard_party.kits.assembly import trust
from visard_party.worker.config import WorkerConfig


def main() -> None:
    """Say what was held against the dealer, and forget it."""
    config = load(WorkerConfig, sys.argv[1:])
    print(trust(config, config.number).restored())


if __name__ == "__main__":
    main()
