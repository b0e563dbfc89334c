"""Making writes at all three parties or at none.

In a run: stage, tell the peers, and commit when both have staged as well. After a crash: the parties tell each other the
state of what is pending, and visard_party.consistency.recovery decides.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from typing import cast

import structlog
from visard_common.errors import Unavailable
from visard_wire.v1 import peer_pb2

from visard_party.consistency.changes import Changes
from visard_party.consistency.recovery import Decision, Recovery
from visard_party.errors import StoreError
from visard_party.gate import Gate
from visard_party.peers.channel import SessionChannel
from visard_party.peers.links import PeerLinks
from visard_party.store.base import Store
from visard_party.store.contents import State, Write

_STAGED = b"staged"
_RETRY_SECONDS = 2.0

log = structlog.get_logger()
Renew = Callable[[Collection[str] | None], Awaitable[None]]


class Writes:
    """The write log of this party in talk with those of its peers.

    ``renew`` is called with the models that have changed, None where nobody knows which. A write is made when this is done: what
    it says is then true here. It may raise StoreError.
    """

    def __init__(self, store: Store, links: PeerLinks, renew: Renew | None = None) -> None:
        self._renew = renew
        self._store = store
        self._links = links
        self._recovery = Recovery(links.party)
        self._changed = asyncio.Condition()
        self._wake = asyncio.Event()
        self._watching: list[Changes] = []
        self._committing = Gate()  # commits go on together, and none while somebody else reads the store
        self._uncertain: set[bytes] = set()  # commits that failed, and may have been made all the same
        links.on("up", self.report)
        links.on("log", self.hear)

    async def make(self, channel: SessionChannel, request_id: bytes, digest: bytes, write: Write, expires: int) -> int:
        """Stage here, wait until it is staged everywhere, commit; how many references it names.

        When a peer is lost in between the write stays pending, and recovery decides.
        """
        await self._store.stage(request_id, write, digest, expires)
        peers = self._links.peers
        await channel.exchange(dict.fromkeys(peers, _STAGED), peers)
        return await asyncio.shield(self._commit(request_id))

    async def _commit(self, request_id: bytes) -> int:
        async with self._committing.reading():
            try:
                done = await self._store.commit(request_id)
            except BaseException:
                self._uncertain.add(request_id)
                await self.forget()
                raise
            for watching in self._watching:
                watching.note(request_id, done.expires_unix_ms, done.references)
        await self._tell(done.models)
        return done.changes

    def still(self) -> AbstractAsyncContextManager[None]:
        """While the block lasts no commit is half done here: what the store has of a write is all of it, noted, or nothing."""
        return self._committing.writing()

    def watch(self) -> Changes:
        """What is committed here from now on; at first, everything."""
        self._watching.append(changes := Changes())
        return changes

    def unwatch(self, changes: Changes) -> None:
        """Note nothing more in these changes; nothing where they are not watched."""
        self._watching = [watching for watching in self._watching if watching is not changes]

    async def forget(self) -> None:
        """Whatever is kept in memory of the store must be read again."""
        for watching in self._watching:
            watching.forget()
        await self._tell(None)

    async def _tell(self, models: Collection[str] | None = ()) -> None:
        if self._renew is not None and (models is None or models):
            try:
                await self._renew(models)
            except StoreError as error:
                log.warning("the models are read again when they are asked for", reason=str(error))
        async with self._changed:
            self._changed.notify_all()

    @contextmanager
    def running(self, request_id: bytes) -> Iterator[None]:
        """While a run may still stage its write, the peers must wait with their decision."""
        self._recovery.running.add(request_id)
        try:
            yield
        except BaseException:
            self._wake.set()  # what it has staged is for recovery now
            raise
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

    async def quiet(self, request_id: bytes, seconds: float, *, alone: bool) -> None:
        """Wait until what is staged here does not stand in the way of this request; raises Unavailable.

        That is whatever a crash has left undecided; with ``alone`` also what other runs have staged.
        """
        try:
            async with asyncio.timeout(seconds), self._changed:
                while self._recovery.in_the_way(await self._store.pending(), request_id, alone=alone):
                    await self._changed.wait()
        except TimeoutError as error:
            raise Unavailable("another write is still pending: try again", retry_after=1.0) from error

    async def decide_pending(self) -> None:
        """Ask about what is still pending, when a run has failed and every now and then, for ever."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_RETRY_SECONDS):
                    await self._wake.wait()
            self._wake.clear()
            try:
                await self._make_certain()
                for peer in self._links.peers:
                    await self.report(peer)
            except StoreError as error:
                log.warning("recovery waits for the store", reason=str(error))

    async def _make_certain(self) -> None:
        """A commit that failed is finished if it was made; what is still pending is for recovery."""
        if not self._uncertain:
            return
        for request_id, state in (await self._store.states(list(self._uncertain))).items():
            if state is State.COMMITTED:
                await self._commit(request_id)
            if state is not State.PENDING:
                self._uncertain.discard(request_id)
                await self.forget()

    async def finish(self, request_id: bytes, decision: Decision) -> None:
        """Carry out what was decided about a pending write; raises StoreError, RequestConflict where it was decided otherwise."""
        if decision is Decision.COMMIT:
            await self._commit(request_id)
        else:
            await self._store.drop(request_id)
            await self._tell()
        log.info("recovered a write", request=request_id.hex(), decision=decision.value)

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
            await self.finish(request_id, decision)

    async def _shown(self, ids: list[bytes]) -> dict[bytes, State]:
        return self._recovery.shown(await self._store.states(ids))

    def _send(self, peer: int, states: dict[bytes, State], *, want_reply: bool) -> None:
        entries = [
            peer_pb2.LogEntry(request_id=i, state=cast("peer_pb2.LogEntry.State.ValueType", int(state)))
            for i, state in states.items()
        ]
        self._links.link(peer).send(peer_pb2.Frame(log=peer_pb2.LogReport(entries=entries, want_reply=want_reply)))
