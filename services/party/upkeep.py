"""Watching that the three parties hold the same, and answering audits."""

import asyncio

import structlog
from visard.v1 import gateway_pb2, peer_pb2

from services.common.errors import FailedPrecondition, InvalidArgument
from services.common.limits import MAX_PREFIXES
from services.party.errors import StoreError
from services.party.links import PeerLinks
from services.party.sets import Holdings, Node, SetWatch, View
from services.party.store.base import Store
from services.party.writes import Writes

_SECONDS = 2.0

log = structlog.get_logger()


class Upkeep:
    """This party's holdings, compared with its peers' again and again."""

    def __init__(self, store: Store, links: PeerLinks, writes: Writes) -> None:
        self._store = store
        self._links = links
        self._writes = writes
        self._watch = SetWatch()
        self._diverged: set[int] = set()
        self._holdings: tuple[int, Holdings] | None = None
        links.on_set = self.hear

    @property
    def diverged(self) -> frozenset[int]:
        """Peers that hold other references for certain."""
        return frozenset(self._diverged)

    @property
    def problem(self) -> str:
        """Why this party must not serve, or nothing."""
        if not self._diverged:
            return ""
        others = " and ".join(f"party {peer}" for peer in sorted(self._diverged))
        return f"its references are not those of {others}: run visard admin audit, then visard admin recover"

    def require_agreement(self) -> None:
        """Raise FailedPrecondition while a peer holds something else."""
        if self._diverged:
            raise FailedPrecondition(f"party {self._links.party}: {self.problem}")

    async def holdings(self) -> Holdings:
        """What is stored now, hashed once for as long as nothing changes."""
        revision = self._writes.revision
        pending = len(await self._store.pending())
        if self._holdings is None or self._holdings[0] != revision or self._holdings[1].pending != pending:
            names, entries = await self._store.names(), await self._store.log()
            self._holdings = revision, await asyncio.to_thread(Holdings, names, entries)
        return self._holdings[1]

    async def run(self) -> None:
        """Report to the peers, for ever."""
        while True:
            await asyncio.sleep(_SECONDS)
            try:
                await self._report()
            except StoreError as error:
                log.warning("the watch waits for the store", reason=str(error))

    async def _report(self) -> None:
        own = await self._view()
        report = peer_pb2.SetReport(references=own.references, writes=own.writes, pending=own.pending)
        for peer in self._links.peers:
            if self._links.connected(peer):
                self._links.link(peer).send(peer_pb2.Frame(set=report))
            else:
                self._watch.forget(peer)

    async def _view(self) -> View:
        holdings = await self.holdings()
        return View(holdings.references, holdings.writes, holdings.pending)

    async def hear(self, peer: int, report: peer_pb2.SetReport) -> None:
        """A peer's hashes."""
        other = View(report.references, report.writes, report.pending)
        if self._watch.compare(peer, await self._view(), other):
            if peer not in self._diverged:
                log.error("the parties hold different references", peer=peer)
            self._diverged.add(peer)
        elif (await self._view()) == other:
            self._diverged.discard(peer)

    async def audit(self, request: gateway_pb2.AuditRequest) -> gateway_pb2.PartyAudit:
        """Hashes below prefixes; raises InvalidArgument."""
        if not 1 <= len(request.prefixes) <= MAX_PREFIXES:
            raise InvalidArgument.of("prefixes", f"1 to {MAX_PREFIXES}")
        if any(len(prefix) > 32 or set(prefix) - set("0123456789abcdef") for prefix in request.prefixes):
            raise InvalidArgument.of("prefixes", "at most 32 hex digits each")
        holdings = await self.holdings()
        return gateway_pb2.PartyAudit(nodes=[_node(holdings.node(prefix)) for prefix in request.prefixes])


def _node(node: Node) -> gateway_pb2.AuditNode:
    rows = [
        gateway_pb2.AuditRow(reference_id=r.reference_id, subject=r.subject, model=r.model, version=r.version)
        for r in node.rows
    ]
    return gateway_pb2.AuditNode(prefix=node.prefix, count=node.count, set_hash=node.hash, rows=rows)
