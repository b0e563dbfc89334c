"""How often somebody may ask: buckets that fill again, one for each address and one for all. Pure; ``clock`` in seconds."""

import ipaddress
from collections import OrderedDict
from collections.abc import Callable

EACH, EACH_SECONDS = 20, 3.0  # asks of one address at once, and the seconds after which there is one more
ALL, ALL_SECONDS = 200, 0.05
REMEMBERED = 4096  # addresses: the one that has been silent for longest is forgotten first, and begins anew


class Rates:
    """Counts asks."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since = clock()
        self._all = float(ALL)
        self._each: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, address: str) -> float:
        """Seconds to wait, or 0 where one may ask now, which is counted then."""
        now, key = self._clock(), network(address)
        self._all = min(ALL, self._all + (now - self._since) / ALL_SECONDS)
        self._since = now
        left, since = self._each.get(key, (float(EACH), now))
        left = min(EACH, left + (now - since) / EACH_SECONDS)
        may = left >= 1 and self._all >= 1
        wait = 0.0 if may else max((1 - left) * EACH_SECONDS, (1 - self._all) * ALL_SECONDS)
        if may:
            self._all -= 1
            left -= 1
        self._each[key] = left, now
        self._each.move_to_end(key)
        if len(self._each) > REMEMBERED:
            self._each.popitem(last=False)
        return wait


def network(address: str) -> str:
    """Whose an address is: who has one of IPv6 has 2^64 of them."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(found) if found.version == 4 else str(ipaddress.ip_network((found, 64), strict=False))
