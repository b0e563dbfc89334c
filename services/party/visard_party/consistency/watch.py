"""Watching that the three parties hold the same, and answering audits."""

import asyncio
import time
from collections.abc import Callable, Mapping

import structlog
from visard_common.errors import FailedPrecondition, InvalidArgument, Unavailable
from visard_common.limits import RETRY_SECONDS
from visard_common.memory import give_back_small_pieces
from visard_wire.limits import MAX_PREFIXES
from visard_wire.v1 import gateway_pb2, peer_pb2

from visard_party.consistency.changes import Changes
from visard_party.consistency.horizon import Horizon
from visard_party.consistency.sets import Holdings, Node, SetWatch, View
from visard_party.consistency.writes import Writes
from visard_party.errors import StoreError
from visard_party.peers.links import Link, PeerLinks
from visard_party.store.base import Store, all_names

WATCH_SECONDS = 2.0
_ANEW_SECONDS = 3600.0

log = structlog.get_logger()
Mended = Callable[[], None]


def _nobody() -> None:
    """There is nobody else to tell."""


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class Watch:
    """This party's holdings, compared with its peers' again and again.

    ``mended`` is called when a party was restored: who else must forget what it knew of differences. ``stones_ms`` is how much
    longer than writes tombstones are kept: no hash counts them, so each party may say it for itself.
    """

    def __init__(
        self,
        store: Store,
        links: PeerLinks,
        writes: Writes,
        longest_seconds: float = 0.0,
        mended: Mended = _nobody,
        stones_ms: int = 0,
        now_ms: Callable[[], int] = _now_ms,
    ) -> None:
        self._store = store
        self._links = links
        self._writes = writes
        self._sets = SetWatch()
        self._diverged: set[int] = set()
        self._compared: dict[int, Link] = {}  # the stream over which a peer was found to hold the same
        self._changes = writes.watch()
        self._holdings = Holdings((), ())
        self._lock = asyncio.Lock()
        self._read_at = time.monotonic()
        self._horizon = Horizon(links.party, int(1000 * longest_seconds))
        self._mended = mended
        self._stones_ms = stones_ms
        self._now_ms = now_ms
        links.on("set", self.hear)
        links.on("up", self._tell)

    @property
    def diverged(self) -> frozenset[int]:
        """Peers that hold other references for certain."""
        return frozenset(self._diverged)

    @property
    def galleries(self) -> Mapping[str, int]:
        """How many references each gallery had when the parties last compared what they hold."""
        return self._holdings.galleries

    @property
    def comparing(self) -> list[int]:
        """Connected peers of which nobody knows yet whether they hold the same: a store may be an older one."""
        return [
            peer
            for peer in self._links.peers
            if self._links.connected(peer)
            and peer not in self._diverged
            and self._compared.get(peer) is not self._links.link(peer)
        ]

    @property
    def problem(self) -> str:
        """Why this party must not serve, or nothing."""
        if self._diverged:
            others = " and ".join(f"party {peer}" for peer in sorted(self._diverged))
            return f"its references are not those of {others}: run visard admin audit, then visard admin recover"
        if comparing := self.comparing:
            return f"it compares what it holds with {' and '.join(f'party {peer}' for peer in comparing)}"
        return ""

    def require_agreement(self) -> None:
        """Raise FailedPrecondition while a peer holds something else, Unavailable until that is known."""
        if self._diverged:
            raise FailedPrecondition(f"party {self._links.party}: {self.problem}")
        if self.comparing:
            raise Unavailable(f"party {self._links.party}: {self.problem}", retry_after=RETRY_SECONDS)

    def mended(self) -> None:
        """A party was restored from the two others: all three hold the same, and were told so by one run."""
        self._diverged.clear()
        for peer in self._links.peers:
            self._sets.forget(peer)
            if self._links.connected(peer):
                self._compared[peer] = self._links.link(peer)
        self._mended()

    async def holdings(self) -> Holdings:
        """What is stored now: hashed once, then brought up to date."""
        async with self._lock:
            taken = self._changes.take()  # before reading: what is written meanwhile is for the next call
            try:
                await self._bring_up_to_date(taken)
                found = [await self._store.entry(request_id) for request_id in await self._store.pending()]
                self._holdings.note_pending(entry for entry in found if entry is not None)
            except BaseException:
                self._changes.give_back(taken)
                raise
            return self._holdings

    async def _bring_up_to_date(self, taken: Changes) -> None:
        if taken.everything:
            names = await all_names(self._store)
            self._holdings = await asyncio.to_thread(Holdings.of, names, await self._store.log())
            del names
            give_back_small_pieces()
            self._read_at = time.monotonic()
        elif taken.writes:
            ids = sorted(taken.references)
            found = [row.name for row in await self._store.by_ids(ids)] if ids else []
            found += [right.name for right in await self._store.rights_by_ids(ids)] if ids else []
            self._holdings.update(taken.references, found, taken.writes)

    async def _read_anew(self) -> None:
        """What is in memory follows our own writes; what somebody else did to the database shows only here."""
        before = (await self.holdings()).references
        self._changes.forget()
        if (await self.holdings()).references != before:
            await self._writes.forget()

    async def look(self) -> None:
        """Tell the peers what is held here, and forget what none of them needs; puts it off while the store is away."""
        try:
            if time.monotonic() - self._read_at > _ANEW_SECONDS:
                await self._read_anew()
            await self._report()
            await self._forget()
        except StoreError as error:
            log.warning("the watch waits for the store", reason=str(error))

    async def _report(self) -> None:
        for peer in self._links.peers:
            if self._links.connected(peer):
                await self._tell(peer)
            else:
                self._sets.forget(peer)
                self._horizon.lost(peer)

    async def _tell(self, peer: int) -> None:
        """Say what is held here: every now and then, and as soon as a peer is connected."""
        own = await self._view()
        report = peer_pb2.SetReport(
            references=own.references,
            writes=own.writes,
            pending=own.pending,
            horizon=own.horizon,
            pending_expires=own.pending_expires,
        )
        if self._links.connected(peer):
            self._links.link(peer).send(peer_pb2.Frame(set=report))

    async def _view(self) -> View:
        holdings, horizon = await self.holdings(), self._horizon.at
        holdings.forget_writes(horizon)
        return View(holdings.references, holdings.writes, holdings.pending, horizon, holdings.pending_expires)

    async def _forget(self) -> None:
        """Of writes and tombstones whatever no party needs any more; nothing while the stores may differ."""
        if self.problem:
            return
        own, now = await self._view(), self._now_ms()
        self._horizon.move(own, now)
        if (before := self._horizon.due(own, now)) is not None:
            await self._store.prune(before, before - self._stones_ms)
            self._horizon.forgotten = before

    async def hear(self, peer: int, report: peer_pb2.SetReport) -> None:
        """Compare a peer's hashes with ours: it differs for certain when several reports in a row do. Raises StoreError."""
        other = View(report.references, report.writes, report.pending, report.horizon, report.pending_expires)
        self._horizon.hear(peer, other, self._now_ms())
        own = await self._view()
        if self._sets.compare(peer, own, other):
            if peer not in self._diverged:
                log.error("the parties hold different references", peer=peer)
            self._diverged.add(peer)
        elif own.holds_as(other):
            self._diverged.discard(peer)
            if self._links.connected(peer):
                self._compared[peer] = self._links.link(peer)

    async def audit(self, request: gateway_pb2.AuditRequest) -> gateway_pb2.PartyAudit:
        """Hashes below prefixes; raises InvalidArgument."""
        if not 1 <= len(request.prefixes) <= MAX_PREFIXES:
            raise InvalidArgument.of("prefixes", f"1 to {MAX_PREFIXES}")
        if any(len(prefix) > 32 or set(prefix) - set("0123456789abcdef") for prefix in request.prefixes):
            raise InvalidArgument.of("prefixes", "at most 32 hex digits each")
        if "" in request.prefixes:  # an audit begins
            await self._read_anew()
        holdings = await self.holdings()
        return gateway_pb2.PartyAudit(nodes=[node_message(holdings.node(prefix)) for prefix in request.prefixes])


def node_message(node: Node) -> gateway_pb2.AuditNode:
    """A node of the audit as the message that the gateway compares; its rows only where they are few."""
    rows = [
        gateway_pb2.AuditRow(
            reference_id=r.reference_id,
            subject=r.subject,
            model=r.model,
            version=r.version,
            enrolled_by=r.enrolled_by,
            gallery=r.gallery,
        )
        for r in node.rows
    ]
    return gateway_pb2.AuditNode(prefix=node.prefix, count=node.count, set_hash=node.hash, rows=rows)
