"""Which sessions exist, and where a message for a session goes: pure bookkeeping between links and runs.

A message may come before its session is opened here (its sender was told earlier): it waits, within limits. A message of
a finished session is dropped. A session is bound to the links that were up when it was opened.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from visard_common.limits import SESSION_BYTES
from visard_engine.errors import PeerLost

from visard_party.peers.mailbox import Mailbox, SessionAborted

Rounds = Sequence[Mapping[str, object]]  # as Views.evidence has them
MAX_EARLY_SESSIONS = 256
MAX_EARLY_BYTES = 64 << 20
_REMEMBERED = 4096  # finished sessions whose late messages are recognised


@dataclass
class Sessions:
    """The table of sessions at one party."""

    mailboxes: dict[bytes, Mailbox] = field(default_factory=dict)
    early: OrderedDict[bytes, Mailbox] = field(default_factory=OrderedDict)
    finished: OrderedDict[bytes, Rounds] = field(default_factory=OrderedDict)  # with their evidence, until it is taken

    def open(self, session: bytes) -> Mailbox:
        """Begin a session; raises ValueError if it is open or was open."""
        if session in self.mailboxes or session in self.finished:
            raise ValueError("a session is opened once")
        mailbox = self.early.pop(session) if session in self.early else Mailbox()
        self.mailboxes[session] = mailbox
        return mailbox

    def close(self, session: bytes, rounds: Rounds = ()) -> None:
        """End a session and recognise its late messages from now on; ``rounds`` are its last, as evidence."""
        self.mailboxes.pop(session, None)
        if session in self.early:
            del self.early[session]
        self.finished[session] = rounds
        while len(self.finished) > _REMEMBERED:
            self.finished.popitem(last=False)

    def deliver(self, session: bytes, peer: int, counter: int, payload: bytes) -> None:
        """Hand a peer's message to its session, or keep it for one to come; dropped where the session has ended."""
        if session in self.finished or len(session) != SESSION_BYTES:
            return
        (self.mailboxes.get(session) or self._early(session)).deliver(peer, counter, payload)
        self._trim()

    def abort(self, session: bytes, why: SessionAborted) -> None:
        """A peer gave up on a session."""
        if session not in self.finished and len(session) == SESSION_BYTES:
            (self.mailboxes.get(session) or self._early(session)).fail(why)
            self._trim()

    def take_evidence(self, session: bytes) -> Rounds:
        """The last rounds of a session that has ended here, once; nothing of any other."""
        rounds = self.finished.get(session, ())
        if rounds:
            self.finished[session] = ()
        return rounds

    def lost(self, peer: int) -> None:
        """The link to a peer ended: its open sessions fail, and what waits for sessions to come is worthless."""
        for mailbox in self.mailboxes.values():
            mailbox.fail(PeerLost(f"party {peer} is unavailable"))
        self.early.clear()

    def _early(self, session: bytes) -> Mailbox:
        return self.early.setdefault(session, Mailbox())

    def _trim(self) -> None:
        """Keep early messages within their limits; the oldest sessions give way."""
        while len(self.early) > MAX_EARLY_SESSIONS or sum(m.size for m in self.early.values()) > MAX_EARLY_BYTES:
            self.early.popitem(last=False)
