"""Runs among the workers of one number: a session that follows from their parties' run, and kits that all three agree on."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from visard_common.limits import SESSION_BYTES
from visard_engine.kits import Kit, KitPlan

from visard_party.config import ComputingConfig
from visard_party.kits.stock import KitStock
from visard_party.peers.channel import SessionChannel
from visard_party.peers.links import PeerLinks
from visard_party.runs import session
from visard_party.runs.agreement import Terms
from visard_party.runs.handshake import Agreeing
from visard_party.service.status import obstacles


class Among:
    """What a worker's runs begin with. ``stock`` are its kits, ``links`` those to its like."""

    def __init__(self, config: ComputingConfig, links: PeerLinks, stock: KitStock) -> None:
        self.links = links
        self.stock = stock
        self._config = config
        self._agreeing = Agreeing(config, stock)

    @property
    def reason(self) -> str:
        """Why nothing can be run, in words for an operator; empty where it can."""
        trust = self.stock.trust.obstacle
        return " and ".join([*obstacles(self.links, []), *([trust] if trust else [])])

    @asynccontextmanager
    async def run(
        self, what: str, party_session: bytes, seen: tuple[bytes, bytes], plans: tuple[KitPlan, ...], seconds: float
    ) -> AsyncIterator[tuple[SessionChannel, list[Kit]]]:
        """A run for ``what`` is done once in a run of the parties: its channel, and a kit for each plan.

        ``seen`` is what all three must see alike: the parties' terms, and what is read. Raises ServiceFault.
        """
        name = session_of(what, party_session, self.links.worker)
        terms = Terms(seen[0].hex(), "", seen[1].hex(), "", tuple(plan.digest.hex() for plan in plans))
        async with session.opened(self._config, self.links, name, seconds) as channel:
            proposal = await self._agreeing.proposal(channel, seconds)  # the leader may wait for its kits
            kits = await self._agreeing.kits(channel, (terms, plans), proposal)
            channel.begin_engine()
            yield channel, kits


def session_of(what: str, party_session: bytes, number: int) -> bytes:
    """The name of the workers' session for what they do in a run of their parties, once."""
    named = b"visard worker session" + what.encode() + b"\0" + party_session + bytes([number])
    return hashlib.sha256(named).digest()[:SESSION_BYTES]
