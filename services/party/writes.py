"""Making writes at all three parties or at none.

In a run: stage, tell the peers, and commit when both have staged as well. After a crash: the parties tell each other the
state of what is pending, and services.party.recovery decides.
"""

import asyncio
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import structlog
from visard.v1 import peer_pb2

from services.party.errors import Divergence, StoreError
from services.party.links import PeerLinks
from services.party.recovery import Decision, decide
from services.party.runtime import SessionChannel
from services.party.store.base import State, Store, Write

_STAGED = b"staged"
_RETRY_SECONDS = 2.0

log = structlog.get_logger()


class Writes:
    """The write log of this party in talk with those of its peers."""

    def __init__(self, store: Store, links: PeerLinks) -> None:
        self._store = store
        self._links = links
        self._running: set[bytes] = set()
        self._heard: dict[bytes, dict[int, State]] = {}
        links.on_up = self.report
        links.on_log = self.hear

    async def make(self, channel: SessionChannel, request_id: bytes, context_digest: bytes, write: Write) -> int:
        """Stage here, wait until it is staged everywhere, commit; how many references changed.

        When a peer is lost in between the write stays pending, and recovery decides.
        """
        await self._store.stage(request_id, write, hashlib.sha256(context_digest).digest())
        peers = self._links.peers
        await channel.exchange(dict.fromkeys(peers, _STAGED), peers)
        return await asyncio.shield(self._store.commit(request_id))

    @contextmanager
    def running(self, request_id: bytes) -> Iterator[None]:
        """While a run may still stage its write, the peers must wait with their decision."""
        self._running.add(request_id)
        try:
            yield
        finally:
            self._running.discard(request_id)

    async def run(self) -> None:
        """Ask again about what is still pending, for ever."""
        while True:
            await asyncio.sleep(_RETRY_SECONDS)
            try:
                for peer in self._links.peers:
                    await self.report(peer)
            except StoreError as error:
                log.warning("recovery waits for the store", reason=str(error))

    async def report(self, peer: int) -> None:
        """Tell a peer what is pending here, and ask how it stands there."""
        pending = [request for request in await self._store.pending() if request not in self._running]
        if pending and self._links.connected(peer):
            self._send(peer, await self._states(pending), want_reply=True)

    async def hear(self, peer: int, report: peer_pb2.LogReport) -> None:
        """A peer's report: note it, answer it, decide what can be decided."""
        ids = [entry.request_id for entry in report.entries]
        if report.want_reply and self._links.connected(peer):
            self._send(peer, await self._states(ids), want_reply=False)
        for entry in report.entries:
            self._heard.setdefault(entry.request_id, {})[peer] = State(entry.state)
        own = await self._states(ids)
        for request_id, state in own.items():
            if state is State.PENDING:
                await self._resolve(request_id)
            else:
                self._heard.pop(request_id, None)

    async def _resolve(self, request_id: bytes) -> None:
        states = self._heard.get(request_id, {}) | {self._links.party: State.PENDING}
        try:
            decision = decide(states)
        except Divergence:
            log.exception("the parties' logs contradict each other", request=request_id.hex())
            return
        if decision is Decision.COMMIT:
            await self._store.commit(request_id)
        elif decision is Decision.DROP:
            await self._store.drop(request_id)
        if decision is not Decision.WAIT:
            log.info("recovered a write", request=request_id.hex(), decision=decision.value)
            self._heard.pop(request_id, None)

    async def _states(self, ids: list[bytes]) -> dict[bytes, State]:
        states = await self._store.states(ids)
        # a run in progress may still stage, or commit, what the store does not show yet
        return {i: State.RUNNING if i in self._running and s is not State.COMMITTED else s for i, s in states.items()}

    def _send(self, peer: int, states: dict[bytes, State], *, want_reply: bool) -> None:
        entries = [
            peer_pb2.LogEntry(request_id=i, state=cast("peer_pb2.LogEntry.State.ValueType", int(state)))
            for i, state in states.items()
        ]
        self._links.link(peer).send(peer_pb2.Frame(log=peer_pb2.LogReport(entries=entries, want_reply=want_reply)))
