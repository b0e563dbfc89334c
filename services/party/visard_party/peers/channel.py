"""MPyC's runtime inside a service: its parties, program counters and PRSS keys, over our transport.

One Runtime is built for each session, with a program counter of its own space, so that sessions started in different
orders at different parties cannot swap their messages. MPyC unpickles what peers send for its array types; here pickle
is taken away from it, and messages are raw words in frames of our authenticated links.
"""

import asyncio
import hashlib
import itertools
import sys
from argparse import Namespace
from collections.abc import Collection, Mapping
from functools import cache
from types import ModuleType
from typing import Any, NoReturn

from visard_engine.channel import PARTIES, Payload
from visard_engine.errors import RoundTimeout, ViewsDiffer
from visard_engine.prf import KEY_BYTES
from visard_engine.prss import PairKeys
from visard_engine.session import Run
from visard_engine.views import Views
from visard_wire.v1 import peer_pb2

from visard_party.peers.evidence import kind_of, note
from visard_party.peers.framing import pieces
from visard_party.peers.links import Link, PeerLinks
from visard_party.peers.mailbox import Mailbox

_OPTIONS = Namespace(
    threshold=1, no_log=True, no_prss=False, no_async=False, no_barrier=True, ssl=False, sec_param=30, mix32_64bit=False
)


class PickleRefused(Exception):
    """Something in MPyC wanted to pickle or unpickle a message."""


class _NoPickle:
    """Stands where MPyC imported pickle."""

    @staticmethod
    def dumps(*_: Any, **__: Any) -> NoReturn:
        """Refuse."""
        raise PickleRefused("messages between parties are raw words")

    loads = dumps


@cache
def mpyc_runtime() -> ModuleType:
    """mpyc.runtime, imported without its side effects: it parses sys.argv and takes over the loop's error handler."""
    argv, sys.argv = sys.argv, sys.argv[:1]
    loop = asyncio.get_running_loop()
    handler = loop.get_exception_handler()
    try:
        from mpyc import runtime  # noqa: PLC0415 -- needs the running loop
    finally:
        sys.argv = argv
        loop.set_exception_handler(handler)
    runtime.pickle = _NoPickle
    return runtime  # type: ignore[no-any-return]


class _Port:
    """MPyC's transport to one peer in one session: ``send(pc, payload)`` and ``receive(pc)``."""

    def __init__(self, link: Link, session: bytes, mailbox: Mailbox) -> None:
        self._link = link
        self._session = session
        self._mailbox = mailbox
        self.nbytes_sent = 0

    def send(self, counter: int, payload: Payload) -> None:
        """Queue a message labelled with the program counter."""
        for piece in pieces(self._session, counter, payload):
            self._link.send(piece)
        self.nbytes_sent += len(payload)

    def receive(self, counter: int) -> bytes | asyncio.Future[bytes]:
        """The peer's message with this label, or a future of it."""
        return self._mailbox.receive(self._link.peer, counter)


class SessionChannel:
    """One session's visard_engine.channel.Channel, on an MPyC runtime of its own."""

    def __init__(self, links: PeerLinks, session: bytes, round_seconds: float) -> None:
        self.party = links.party
        self.rounds = 0
        self._round_seconds = round_seconds
        self.waited_seconds = 0.0  # for the turn of what is done for this session in another one
        self._carried_bytes = 0
        self.kit_bytes = 0
        self._links = links
        self.session = session
        ends = {peer: links.link(peer) for peer in links.peers}  # raises PeerLost before anything is opened
        self._mailbox = links.sessions.open(session)
        self._ports = {peer: _Port(link, session, self._mailbox) for peer, link in ends.items()}
        self._runtime = self._build(ends)
        self.keys = self._session_keys()
        self.views = Views(self.keys, self.party)

    def _build(self, ends: Mapping[int, Link]) -> Any:
        module = mpyc_runtime()
        loop = asyncio.get_running_loop()
        handler = loop.get_exception_handler()
        parties = [module.Party(i) for i in range(PARTIES)]
        runtime = module.Runtime(self.party, parties, _OPTIONS)
        loop.set_exception_handler(handler)  # MPyC's would stop the loop when a coroutine of its own fails
        for peer, port in self._ports.items():
            runtime.parties[peer].protocol = port
        pairs = itertools.combinations(range(PARTIES), PARTIES - 1)
        runtime._prss_keys = {
            pair: ends[next(p for p in pair if p != self.party)].key for pair in pairs if self.party in pair
        }
        label = hashlib.blake2b(self.session, digest_size=8, person=b"visard pc").digest()
        runtime._program_counter = [int.from_bytes(label, "little") >> 2, 0]  # room to count below 2^63
        return runtime

    def _session_keys(self) -> PairKeys:
        def key(peer: int) -> bytes:
            pair = tuple(sorted((self.party, peer)))
            link_key = self._runtime._prss_keys[pair]
            return hashlib.blake2b(self.session, key=link_key, digest_size=KEY_BYTES, person=b"visard prss").digest()

        return PairKeys(own=key((self.party + 1) % PARTIES), previous=key((self.party + 2) % PARTIES))

    @property
    def sent_bytes(self) -> int:
        """Payload bytes sent to both peers."""
        return self._carried_bytes + sum(port.nbytes_sent for port in self._ports.values())

    def begin_engine(self) -> None:
        """Count rounds from here on: those before were said to come to an agreement."""
        self.rounds = 0

    def begin_run(self, *seen: bytes) -> Run:
        """The engine's one run over this session, whose views begin with what all three parties must see alike besides.

        What it sees is the session's evidence.
        """
        run = Run(self)
        run.views = self.views
        for part in seen:
            run.views.saw(part)
        return run

    async def compare(self, what: str, own: bytes) -> None:
        """One round: raise ViewsDiffer unless both peers say of ``what`` the same bytes as this party."""
        sent = dict.fromkeys(self._links.peers, own)
        messages = await self.exchange(sent, self._links.peers)
        self.views.round(what, sent, messages)
        for peer, theirs in messages.items():
            if theirs != own:
                raise ViewsDiffer(what, self.rounds, peer)

    def add_wait(self, seconds: float) -> None:
        """Note that this session has waited for its turn in another one."""
        self.waited_seconds += seconds

    def add_cost(self, rounds: int, sent_bytes: int, kit_bytes: int = 0) -> None:
        """Count what was done for this session in another one; ``kit_bytes`` of kits that are not this party's own."""
        self.rounds += rounds
        self._carried_bytes += sent_bytes
        self.kit_bytes += kit_bytes

    async def exchange(
        self, outgoing: Mapping[int, Payload], incoming: Collection[int], seconds: float | None = None
    ) -> dict[int, bytes]:
        """A round as visard_engine.channel.Channel has it; ``seconds`` to wait for the peers, where not as in other rounds."""
        seconds = self._round_seconds if seconds is None else seconds
        runtime = self._runtime
        runtime._program_counter[0] += 1
        self.rounds += 1
        for peer, payload in outgoing.items():
            runtime._send_message(peer, payload)
        expected = {peer: runtime._receive_message(peer) for peer in incoming}
        try:
            async with asyncio.timeout(seconds):
                return {peer: m if isinstance(m, bytes) else await m for peer, m in expected.items()}
        except TimeoutError as error:
            raise RoundTimeout(f"a peer sent nothing for {seconds:.0f} s") from error
        finally:
            for awaited in expected.values():
                if not isinstance(awaited, bytes) and not awaited.done():
                    awaited.cancel()
                elif not isinstance(awaited, bytes) and not awaited.cancelled():
                    awaited.exception()  # seen: a failed peer may fail several futures

    def abort(self, code: str, reason: str, retry_after: float | None = None, deviation: str = "") -> None:
        """Tell the peers that this session is given up, and why; ``deviation``: as evidence.told says it."""
        close = peer_pb2.Close(
            session=self.session, code=code, reason=reason, retry_after=retry_after or 0.0, deviation=deviation
        )
        for peer in self._links.peers:
            if self._links.connected(peer):
                self._links.link(peer).send(peer_pb2.Frame(close=close))

    def close(self, error: BaseException | None = None) -> None:
        """End the session here: late messages of it are dropped, and it cannot be opened again.

        If it ends because a party deviates, as ``error`` or a peer says, that is written down with the last rounds; if it
        ends well they are kept, as a peer may say so yet.
        """
        rounds = self.views.evidence()
        noted = note(self.session, self.party, rounds, error if kind_of(error) else self._mailbox.failure)
        self._links.sessions.close(self.session, () if noted else rounds)
