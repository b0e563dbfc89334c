"""Peer links: one authenticated stream to each of the two other parties, kept up for ever.

The party with the higher number calls. Both ends check that the certificate says who the peer is; a second stream of a
live peer is refused. A link's PRSS key is made by its lower-numbered end and lives as long as the stream.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Literal, get_args, overload

import grpc
import structlog
from visard_common.background import FAILURES
from visard_common.deadline import within
from visard_common.errors import AlreadyExists, FailedPrecondition, InvalidArgument, PermissionDenied
from visard_common.limits import HELLO_SECONDS, LEADER
from visard_common.tls import Tls
from visard_engine.errors import PeerLost, ProtocolError
from visard_engine.prf import KEY_BYTES
from visard_wire.v1 import peer_pb2
from visard_wire.version import PROTOCOL, __version__

from visard_party.errors import StoreError
from visard_party.kits.ledger import MAX_NUMBER
from visard_party.peers.evidence import given_up, note
from visard_party.peers.framing import Incoming, Joiner, Message, Outgoing, exchange
from visard_party.peers.sessions import Sessions

_BACKOFF = (0.1, 2.0)

log = structlog.get_logger()
Frames = AsyncIterator[Incoming]
Kind = Literal["up", "log", "set", "model_set"]
_Stream = grpc.aio.StreamStreamCall[Outgoing, Incoming]


class Link:
    """A live stream to a peer: what to send, and the key."""

    def __init__(self, peer: int, key: bytes) -> None:
        self.peer = peer
        self.key = key
        self.outgoing: asyncio.Queue[Outgoing | None] = asyncio.Queue()
        self.incoming = Joiner()

    def send(self, frame: Outgoing) -> None:
        """Queue a frame, without waiting; frames keep their order."""
        self.outgoing.put_nowait(frame)

    def send_end(self) -> None:
        """End the stream after what is queued."""
        self.outgoing.put_nowait(None)

    def __repr__(self) -> str:
        return f"<Link to party {self.peer}>"


class PeerLinks:
    """Both links of a party, and the sessions that go over them."""

    def __init__(
        self, party: int, addresses: tuple[str, str, str], tls: Tls, first_kit: int = 1, worker: int = 0
    ) -> None:
        self.party = party
        self.worker = worker  # 0 for the party itself, k + 1 for its worker k: each has links to its like alone
        self.peers = tuple(peer for peer in range(3) if peer != party)
        self.called = range(party)  # by this one
        self.sessions = Sessions()
        self.versions: dict[int, str] = {}  # of the peers, as they said last
        self.refusals: dict[int, str] = {}  # peers with whom there will be no link, and why
        self.first_kit = first_kit  # where the numbers of new plans begin: party 0 says it, the others hear it
        self._addresses = addresses
        self._tls = tls
        self._links: dict[int, Link] = {}
        self._told: dict[Kind, list[Callable[..., Awaitable[None]]]] = {kind: [] for kind in get_args(Kind)}
        self._tasks: set[asyncio.Task[None]] = set()

    @overload
    def on(self, kind: Literal["up"], told: Callable[[int], Awaitable[None]]) -> None: ...

    @overload
    def on(self, kind: Literal["log"], told: Callable[[int, peer_pb2.LogReport], Awaitable[None]]) -> None: ...

    @overload
    def on(self, kind: Literal["set"], told: Callable[[int, peer_pb2.SetReport], Awaitable[None]]) -> None: ...

    @overload
    def on(self, kind: Literal["model_set"], told: Callable[[int, peer_pb2.ModelSet], Awaitable[None]]) -> None: ...

    def on(self, kind: Kind, told: Callable[..., Awaitable[None]]) -> None:
        """Whom to tell, from now on: "up" that a link to a peer is up; else what a peer says in a Frame of that kind.

        Each call is a task of its own; what it raises is logged, and the link stays up.
        """
        self._told[kind].append(told)

    def up(self) -> bool:
        """Whether there are live links to both peers now."""
        return len(self._links) == len(self.peers)

    def connected(self, peer: int) -> bool:
        """Whether there is a live link to this peer now."""
        return peer in self._links

    def link(self, peer: int) -> Link:
        """The live link to a peer; raises PeerLost."""
        if peer not in self._links:
            raise PeerLost(f"party {peer} is unavailable")
        return self._links[peer]

    async def keep_calling_all(self) -> None:
        """Keep up the links to all lower-numbered peers, for ever."""
        async with asyncio.TaskGroup() as group:
            for peer in self.called:
                group.create_task(self.keep_calling(peer))

    def close(self) -> None:
        """End both streams: the server would wait for them when it stops."""
        for link in self._links.values():
            link.send_end()

    async def serve(self, peer: int, frames: Frames) -> AsyncIterator[Outgoing]:
        """The server's end of a peer's stream: ``peer`` is who its certificate says."""
        if peer <= self.party:
            raise PermissionDenied("the party with the higher number calls the one with the lower number")
        if peer in self._links:
            raise AlreadyExists(f"party {peer} is connected already")
        async with within(HELLO_SECONDS, "hello"):
            hello = await anext(aiter(frames), None)
        if not isinstance(hello, peer_pb2.Frame) or hello.hello.party != peer:
            raise InvalidArgument.of("hello.party", f"{peer}, as the certificate says")
        if not self._speaks_ours(peer, hello.hello):
            raise FailedPrecondition(self.refusals[peer])
        if peer in self._links:  # another stream was faster
            raise AlreadyExists(f"party {peer} is connected already")
        link = Link(peer, os.urandom(KEY_BYTES))
        yield self._hello(link.key)
        reader = self._connect(link, frames)
        try:
            while (frame := await link.outgoing.get()) is not None:
                yield frame
        finally:
            reader.cancel()
            self._disconnect(link)

    async def keep_calling(self, peer: int) -> None:
        """Keep up the link to one of them, for ever."""
        pause = _BACKOFF[0]
        while True:
            channel = self._tls.channel(self._addresses[peer], f"party/{peer}")
            try:
                await self._call(peer, exchange(channel)())  # type: ignore[call-arg]  # write() serves as well as an iterator
                pause = _BACKOFF[0]
            except (grpc.aio.AioRpcError, TimeoutError, PeerLost) as error:
                log.info("no link", peer=peer, reason=self._why(peer, error))
            finally:
                await channel.close(None)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _BACKOFF[1])

    async def _call(self, peer: int, call: _Stream) -> None:
        """One stream to a peer, from hello to its end."""
        try:
            async with asyncio.timeout(HELLO_SECONDS):
                await call.write(self._hello(b""))
                answer = await call.read()
            if not isinstance(answer, peer_pb2.Frame) or len(answer.hello.prss_key) != KEY_BYTES:
                await call.code()
                raise PeerLost(f"party {peer} did not say hello")
            if answer.hello.party != peer:
                raise PeerLost(f"party {peer} says it is another one")
            if not self._speaks_ours(peer, answer.hello):
                raise PeerLost(self.refusals[peer])
            await self._converse(call, Link(peer, answer.hello.prss_key))
        finally:
            call.cancel()

    async def _converse(self, call: _Stream, link: Link) -> None:
        reader = self._connect(link, _frames(call))
        try:
            while (frame := await link.outgoing.get()) is not None:
                await call.write(frame)
        except asyncio.InvalidStateError as error:  # the stream has ended under a write
            raise PeerLost(f"party {link.peer} is unavailable") from error
        finally:
            reader.cancel()
            self._disconnect(link)

    def _hello(self, key: bytes) -> peer_pb2.Frame:
        hello = peer_pb2.Hello(
            party=self.party,
            version=__version__,
            prss_key=key,
            protocol=PROTOCOL,
            first_kit=self.first_kit,
            worker=self.worker,
        )
        return peer_pb2.Frame(hello=hello)

    def _speaks_ours(self, peer: int, hello: peer_pb2.Hello) -> bool:
        """Whether runs with this peer make sense; if not, ``refusals`` says why."""
        self.versions[peer] = hello.version
        if hello.protocol == PROTOCOL and hello.worker != self.worker:
            self.refusals[peer] = f"at the address of party {peer}'s {_who(self.worker)} is its {_who(hello.worker)}"
            log.error("link refused", peer=peer, reason=self.refusals[peer])
            return False
        if hello.protocol == PROTOCOL:
            self.refusals.pop(peer, None)
            if peer == LEADER:
                self.first_kit = min(max(hello.first_kit, 1), MAX_NUMBER)
            return True
        theirs, ours = f"{hello.version!r} (protocol {hello.protocol})", f"{__version__!r} (protocol {PROTOCOL})"
        self.refusals[peer] = f"party {peer} runs version {theirs}, this party {ours}: run one version at all three"
        log.error("link refused", peer=peer, reason=self.refusals[peer])
        return False

    def _why(self, peer: int, error: Exception) -> str:
        """Why a call ended; a peer that refuses us for our version is remembered."""
        if not isinstance(error, grpc.aio.AioRpcError):
            return str(error) or type(error).__name__
        if error.code() is grpc.StatusCode.FAILED_PRECONDITION:
            self.refusals[peer] = f"party {peer} refuses the link: {error.details()}"
        else:
            self.refusals.pop(peer, None)  # away, or a new one: what it said before is history
        return f"{error.code().name}: {error.details()}"

    def _connect(self, link: Link, frames: Frames) -> asyncio.Task[None]:
        """Make a link live and start to read from it."""
        self._links[link.peer] = link
        log.info("link up", peer=link.peer)
        reader = self._spawn(self._read(link, frames))
        for told in self._told["up"]:
            self._spawn(told(link.peer))
        return reader

    def _disconnect(self, link: Link) -> None:
        if self._links.get(link.peer) is link:
            del self._links[link.peer]
            self.sessions.lost(link.peer)
            log.info("link down", peer=link.peer)

    async def _read(self, link: Link, frames: Frames) -> None:
        """Hand every frame to where it belongs; the end of the stream ends the link."""
        try:
            async for frame in frames:
                await self._dispatch(link, frame)
        except grpc.aio.AioRpcError as error:
            log.info("stream ended", peer=link.peer, reason=error.code().name)
        except ProtocolError as error:
            note(b"", self.party, (), ProtocolError(f"from party {link.peer}: {error}"))
        finally:
            self._disconnect(link)
            link.send_end()

    async def _dispatch(self, link: Link, frame: Incoming) -> None:
        if isinstance(frame, Message):
            if (whole := link.incoming.add(frame)) is not None:
                self.sessions.deliver(whole.session, link.peer, whole.counter, whole.payload)
            return
        kind = frame.WhichOneof("kind")
        if kind == "close":
            given_up(self.sessions, self.party, link.peer, frame.close)
        elif kind in ("log", "set", "model_set"):
            for told in self._told[kind]:
                self._spawn(told(link.peer, getattr(frame, kind)))

    def _spawn(self, work: Awaitable[None]) -> asyncio.Task[None]:
        """A task that is kept until it ends, and whose failure is logged and no more."""

        async def body() -> None:
            try:
                await work
            except StoreError as error:  # what was to be told or compared comes again
                log.warning("a peer is not heard: this party's store is unavailable", reason=str(error))
            except Exception:
                log.exception("a task of the peer links failed")
                FAILURES.labels("link").inc()

        task = asyncio.get_running_loop().create_task(body())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _who(worker: int) -> str:
    return f"worker {worker - 1}" if worker else "own service"


async def _frames(call: _Stream) -> Frames:
    """What the server sends, to the end of the stream."""
    while isinstance(frame := await call.read(), peer_pb2.Frame | Message):
        yield frame
