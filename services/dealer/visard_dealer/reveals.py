"""Who has asked for all seeds of which kit: pure bookkeeping, in memory.

A kit's seeds are shown when all three parties have asked. Each asks when it has set its part aside for good and never used it;
so one lying party gets the seeds of no kit that the two others may use. An entry has no deadline, because a number that is set
aside stays so: an old one is as good as a new one. Those of one party push out only each other, so that a party that asks for
ever more cannot make the dealer forget what the others have asked. What is forgotten, parties ask again.
"""

from collections import OrderedDict

from visard_engine.channel import PARTIES

MOST = 4096  # kits that are remembered for each party
Key = tuple[bytes, int]  # a plan's digest, a kit's number


class Reveals:
    """The kits that each party has asked about."""

    def __init__(self) -> None:
        self._asked: tuple[OrderedDict[Key, None], ...] = tuple(OrderedDict() for _ in range(PARTIES))

    def ask(self, party: int, key: Key) -> bool:
        """Note that a party has asked for a kit; whether all three have."""
        own = self._asked[party]
        own[key] = None
        own.move_to_end(key)
        if len(own) > MOST:
            own.popitem(last=False)
        return self.shown(key)

    def shown(self, key: Key) -> bool:
        """Whether all three have asked for a kit."""
        return all(key in asked for asked in self._asked)
