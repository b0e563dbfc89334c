"""A party that keeps to the protocol but for what it says: it may change, drop, repeat, shorten, lengthen or swap messages.

How to use it: run a question honestly (``harness.play``), which gives the kinds of its rounds in order, then once more with a
``Liar`` that takes them. A ``Lie`` is a function of one message; ``Told`` says which messages it is told in place of.

    honest = await play(plan, part)
    for kind in set(honest.kinds):
        outcome = await play(plan, part, liar=Liar(1, Told(flipped(), kind), honest.kinds))
        outcome.honest       # what the two others return, or raise

What is wrong alike for both others, in an opening of degree 2, is no lie about a message but another share: ``other_shares``.
The liar here is as strong as can be: it believes whatever it hears and never stops by itself, and where ``flatters`` is set it
always says that it has seen what its receiver wants to hear, which a real one could know of one party at most.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from typing_extensions import override
from visard_engine.channel import Channel, Payload
from visard_engine.field import Elements, Words
from visard_engine.in_process import LocalChannel
from visard_engine.protocols import comparison, search
from visard_engine.protocols import opening as openings
from visard_engine.session import Run, Session
from visard_engine.views import VIEW_BYTES, Views

from tests.engine.wires import Wires

LAST_VIEWS, AGREEMENT = "last views", "agreement"  # the rounds at the end in which nothing is opened
UNKNOWN = "unknown"  # a round after the last one of the honest run


@dataclass(frozen=True)
class Message:
    """One message that is about to be sent: in which round (from 0) and kind of opening, to whom, and what.

    ``beside`` is what goes to the other party in the same round, if anything does, ``heard`` what has come in it by sender:
    the liar listens before it speaks.
    """

    kind: str
    number: int
    sender: int
    receiver: int
    payload: bytes
    beside: bytes | None
    heard: Mapping[int, bytes]

    @property
    def start(self) -> int:
        """Bytes before what is opened: the hash of what was seen, in messages to the previous party but the agreement's."""
        return VIEW_BYTES if carries_view(self.sender, self.receiver) and self.kind != AGREEMENT else 0

    @property
    def view(self) -> bytes:
        """The hash of what its sender has seen."""
        return self.payload[: self.start]

    @property
    def opened(self) -> bytes:
        """The shares or bits, without the hash; nothing in the round of the last views, a word in the agreement."""
        return self.payload[self.start :]

    def with_opened(self, opened: bytes) -> bytes:
        """The payload with something else opened."""
        return self.payload[: self.start] + opened


Lie = Callable[[Message], Sequence[bytes]]  # what is sent instead: no message, one, or more


def carries_view(sender: int, receiver: int) -> bool:
    """Whether messages between these two carry a hash: those to the previous party."""
    return receiver == (sender + 2) % 3


# -- lies about one message --------------------------------------------------------------------------------------------
def dropped(message: Message) -> Sequence[bytes]:
    """Nothing."""
    return []


def repeated(message: Message) -> Sequence[bytes]:
    """The message twice."""
    return [message.payload] * 2


def shortened(message: Message) -> Sequence[bytes]:
    """Without its last byte."""
    return [message.payload[:-1]]


def lengthened(message: Message) -> Sequence[bytes]:
    """With a byte more."""
    return [message.payload + bytes(1)]


def emptied(message: Message) -> Sequence[bytes]:
    """A message of no bytes."""
    return [b""]


def swapped(message: Message) -> Sequence[bytes]:
    """What goes to the other party; for a message that goes alone the two halves of what is opened change places."""
    if message.beside is not None:
        return [message.beside]
    half = len(message.opened) // 2
    return [message.with_opened(message.opened[half:] + message.opened[:half])]


def invalid(message: Message) -> Sequence[bytes]:
    """Words that are no field elements: all bits set."""
    return [message.with_opened(b"\xff" * len(message.opened))]


def flipped(bit: int = 0) -> Lie:
    """One bit of what is opened is another, counted from the lowest of the first byte; of the hash where that is all."""

    def lie(message: Message) -> Sequence[bytes]:
        return [_flip(message.payload, 8 * message.start + bit)]

    return lie


def other_view(message: Message) -> Sequence[bytes]:
    """The hash of what was seen is another."""
    return [_flip(message.payload, 0)]


class OfLastRound:
    """What was opened in the last round to the same party, as far as it goes, in place of what belongs here."""

    def __init__(self) -> None:
        self._last: dict[int, bytes] = {}

    def hears(self, message: Message) -> None:
        """Remember what is said in truth."""
        self._last[message.receiver] = message.opened

    def __call__(self, message: Message) -> Sequence[bytes]:
        """The lie."""
        before = self._last.get(message.receiver, b"")
        return [message.with_opened((before + message.opened)[: len(message.opened)])]


def _flip(payload: bytes, bit: int) -> bytes:
    out = bytearray(payload)
    out[bit // 8 % len(out)] ^= 1 << bit % 8
    return bytes(out)


@dataclass
class Told:
    """A lie that is told in place of some messages, and the truth in place of the others.

    ``kind`` and ``receivers`` say of which (no kind: of all), ``nth`` in the how manyth round of these; None: in all of them.
    ``told`` counts those that were no truth.
    """

    lie: Lie
    kind: str | None = None
    receivers: Collection[int] = (0, 1, 2)
    nth: int | None = 0
    told: int = 0
    _rounds: list[int] = field(default_factory=list)

    def __call__(self, message: Message) -> Sequence[bytes]:
        """The lie or the truth."""
        found = self.lie(message) if self._meant(message) else [message.payload]
        if isinstance(self.lie, OfLastRound):
            self.lie.hears(message)
        self.told += list(found) != [message.payload]
        return found

    def _meant(self, message: Message) -> bool:
        if self.kind not in (None, message.kind) or message.receiver not in self.receivers:
            return False
        if message.number not in self._rounds:
            self._rounds.append(message.number)
        return self.nth in (None, self._rounds.index(message.number))


# -- the party ---------------------------------------------------------------------------------------------------------
class RecordedViews(Views):
    """Views that keep the kinds of the rounds in order."""

    def __init__(self, channel: Channel) -> None:
        super().__init__(channel.keys, channel.party)
        self.kinds: list[str] = []

    @override
    def round(self, kind: str, sent: Mapping[int, Payload], received: Mapping[int, Payload]) -> None:
        self.kinds.append(kind)
        super().round(kind, sent, received)


class Credulous(bytes):
    """A hash that no other differs from."""

    @override
    def __ne__(self, other: object) -> bool:
        return False

    __eq__ = bytes.__eq__
    __hash__ = bytes.__hash__


class CredulousViews(RecordedViews):
    """Those of a party that goes on whatever it hears."""

    @override
    def saw(self, opened: Elements | Words | bytes) -> None:
        super().saw(opened)
        self.digest = Credulous(self.digest)


@dataclass
class Liar:
    """Which party lies, how, and the kinds of the rounds of an honest run, in order."""

    party: int
    lie: Lie
    kinds: Sequence[str]
    flatters: bool = False

    def __post_init__(self) -> None:
        self.honest = tuple(i for i in range(3) if i != self.party)


class LyingChannel(LocalChannel):
    """The liar's channel: whatever goes out passes through its lie."""

    def __init__(self, channel: LocalChannel, liar: Liar, wires: Wires, runs: Sequence[Run]) -> None:
        super().__init__(channel.party, channel.keys, wires.queues)
        self._liar, self._wires, self._runs = liar, wires, runs

    @override
    async def exchange(self, outgoing: Mapping[int, Payload], incoming: Collection[int]) -> dict[int, bytes]:
        number, heard = self.rounds, await super().exchange({}, incoming)  # they speak without waiting for us
        kind = self._liar.kinds[number] if number < len(self._liar.kinds) else UNKNOWN
        truth = {peer: bytes(payload) for peer, payload in outgoing.items()}
        for peer, payload in truth.items():
            beside = next((other for receiver, other in truth.items() if receiver != peer), None)
            message = Message(kind, number, self.party, peer, payload, beside, heard)
            for told in self._liar.lie(message):
                self.sent_bytes += len(told)
                self._wires[self.party, peer].put_nowait(self._flattering(message, told))
        return heard

    def _flattering(self, message: Message, told: bytes) -> bytes | Callable[[], bytes]:
        """With the hash that the receiver has when it reads the message, where this liar flatters and has not lied of it."""
        if not self._liar.flatters or not message.view or told[: len(message.view)] != message.view:
            return told
        views = self._runs[message.receiver].views
        return lambda: bytes(views.digest) + told[len(message.view) :]


@contextmanager
def instead(place: Any, name: str, wrap: Callable[[Any], Any]) -> Iterator[None]:
    """A function of the engine, by the module or class that has it, wrapped: it may do something else for the liar."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(place, name, wrap(getattr(place, name)))
        yield


@contextmanager
def other_shares(party: int, errors: Mapping[int, int], nth: int = 0, openings_: Collection[str] = ()) -> Iterator[Any]:
    """Party ``party`` opens other shares in the nth opening of degree 2: those of some elements, by place, plus something.

    Both others hear the same, and the liar works with what it has told: nothing but a claim is wrong. ``openings_`` are the
    kinds that count (none: all). Gives a list of what has been spoilt: (kind, elements).
    """
    spoilt: list[tuple[str, int]] = []
    count = 0

    async def lying(s: Session, share: Elements, kind: str) -> Elements:
        nonlocal count
        if s.party == party and (not openings_ or kind in openings_):
            if count == nth:
                share = plus(s, share, errors)
                spoilt.append((kind, share.size))
            count += 1
        return await openings.open_parabolas(s, share, kind)

    with instead(comparison, "open_parabolas", lambda _: lying), instead(search, "open_parabolas", lambda _: lying):
        yield spoilt


def plus(s: Session, share: Elements, errors: Mapping[int, int]) -> Elements:
    """A copy with something added to some elements."""
    out = share.copy()
    places = [place % share.size for place in errors]
    out[places] = s.field.add(out[places], np.array([s.field.element(e) for e in errors.values()], share.dtype))
    return out
