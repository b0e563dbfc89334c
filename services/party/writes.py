"""Making writes at all three parties or at none.

In a run: stage, tell the peers, and commit when both have staged as well. After a crash: the parties tell each other the
state of what is pending, and services.party.recovery decides.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

import structlog
from visard.v1 import peer_pb2

from services.party.errors import StoreError
from services.party.links import PeerLinks
from services.party.recovery import Decision, Recovery
from services.party.runtime import SessionChannel
from services.party.store.base import State, Store, Write

_STAGED = b"staged"
_RETRY_SECONDS = 2.0

log = structlog.get_logger()


class Writes:
    """The write log of this party in talk with those of its peers."""

    def __init__(self, store: Store, links: PeerLinks) -> None:
        self.revision = 0  # grows with every commit here
        self.on_recovered: Callable[[], None] | None = None
        self._store = store
        self._links = links
        self._recovery = Recovery(links.party)
        self._changed = asyncio.Condition()
        links.on_up = self.report
        links.on_log = self.hear

    async def make(self, channel: SessionChannel, request_id: bytes, digest: bytes, write: Write) -> int:
        """Stage here, wait until it is staged everywhere, commit; how many references it names.

        When a peer is lost in between the write stays pending, and recovery decides.
        """
        await self._store.stage(request_id, write, digest)
        peers = self._links.peers
        await channel.exchange(dict.fromkeys(peers, _STAGED), peers)
        return await asyncio.shield(self._commit(request_id))

    async def _commit(self, request_id: bytes) -> int:
        try:
            return await self._store.commit(request_id)
        finally:  # also when the store fails: it may have done its work all the same
            await self.changed()

    async def changed(self) -> None:
        """Say that what is stored has changed."""
        self.revision += 1
        async with self._changed:
            self._changed.notify_all()

    @contextmanager
    def running(self, request_id: bytes) -> Iterator[None]:
        """While a run may still stage its write, the peers must wait with their decision."""
        self._recovery.running.add(request_id)
        try:
            yield
        finally:
            self._recovery.running.discard(request_id)

    async def settled(self, request_id: bytes, seconds: float) -> State:
        """The state of a write, when recovery has decided or the time is over."""
        try:
            async with asyncio.timeout(seconds), self._changed:
                while (state := (await self._store.states([request_id]))[request_id]) is State.PENDING:
                    await self._changed.wait()
        except TimeoutError:
            return State.PENDING
        return state

    async def quiet(self, request_id: bytes, seconds: float) -> bool:
        """Whether, within the time, nothing but this request is staged here."""
        try:
            async with asyncio.timeout(seconds), self._changed:
                while set(await self._store.pending()) - {request_id}:
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True

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
        pending = self._recovery.due(await self._store.pending())
        if pending and self._links.connected(peer):
            self._send(peer, await self._shown(pending), want_reply=True)

    async def hear(self, peer: int, report: peer_pb2.LogReport) -> None:
        """A peer's report: note it, answer it, decide what can be decided."""
        heard = {entry.request_id: State(entry.state) for entry in report.entries}
        if report.want_reply and self._links.connected(peer):
            self._send(peer, await self._shown(list(heard)), want_reply=False)
        decisions = self._recovery.hear(peer, heard, await self._store.states(list(heard)))
        for request_id, decision in decisions.items():
            if decision is Decision.COMMIT:
                await self._store.commit(request_id)
            else:
                await self._store.drop(request_id)
            log.info("recovered a write", request=request_id.hex(), decision=decision.value)
        if decisions:
            if self.on_recovered is not None:
                self.on_recovered()
            await self.changed()

    async def _shown(self, ids: list[bytes]) -> dict[bytes, State]:
        return self._recovery.shown(await self._store.states(ids))

    def _send(self, peer: int, states: dict[bytes, State], *, want_reply: bool) -> None:
        entries = [
            peer_pb2.LogEntry(request_id=i, state=cast("peer_pb2.LogEntry.State.ValueType", int(state)))
            for i, state in states.items()
        ]
        self._links.link(peer).send(peer_pb2.Frame(log=peer_pb2.LogReport(entries=entries, want_reply=want_reply)))
