"""``python -m visard_party.believe --config FILE``: an operator's word that the dealer is believed again.

For after a failed audit, once the dealer has been put right or replaced (docs/operations.md). A party that runs hears it within a
second. It is for the operator of each party to say, on that party's own machine: no caller and no other service can.
"""

import sys

from visard_common.config import load

from visard_party.config import PartyConfig
from visard_party.kits.assembly import trust


def main() -> None:
    """Say what was held against the dealer, and forget it."""
    config = load(PartyConfig, sys.argv[1:])
    print(trust(config).restored())


if __name__ == "__main__":
    main()
