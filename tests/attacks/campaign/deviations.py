"""What a liar does in one run: lies about messages, other shares than it should work with, other pieces for the client."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pytest
from visard_engine import describe
from visard_engine.field import Bools, Elements, Field
from visard_engine.protocols import degree
from visard_engine.session import Session
from visard_wire.v1 import common_pb2

from tests.engine import liar as lies
from tests.engine.liar import AGREEMENT, Lie, Message

WORDS = {"masked product", "masked line", "degree", "coin", "triples", "differences"}  # the others are bits
Rng = np.random.Generator


@dataclass(frozen=True)
class Place:
    """A round of a question: in which session, which from 0, and its kind."""

    session: str
    number: int
    kind: str


# -- lies about messages -----------------------------------------------------------------------------------------------
@dataclass
class At:
    """A lie in one round of a session, to some receivers; the truth elsewhere."""

    number: int
    receivers: Collection[int]
    lie: Lie

    def __call__(self, message: Message) -> Sequence[bytes]:
        """The lie or the truth; a lie that remembers hears everything."""
        meant = message.number == self.number and message.receiver in self.receivers
        found = self.lie(message) if meant else [message.payload]
        if isinstance(self.lie, lies.OfLastRound):
            self.lie.hears(message)
        return found


@dataclass
class Held:
    """A message that comes after the next one to the same receiver."""

    number: int
    receivers: Collection[int]
    held: dict[int, bytes] = field(default_factory=dict)

    def __call__(self, message: Message) -> Sequence[bytes]:
        """Nothing, then both."""
        if message.number == self.number and message.receiver in self.receivers:
            self.held[message.receiver] = message.payload
            return []
        late = self.held.pop(message.receiver, None)
        return [message.payload] if late is None else [message.payload, late]


@dataclass
class Often:
    """In each round another lie, or none, by chance."""

    rng: Rng
    field: Field

    def __call__(self, message: Message) -> Sequence[bytes]:
        """A lie in about one round of four."""
        return [message.payload] if self.rng.integers(4) else changed(message, self.rng, self.field)


def changed(message: Message, rng: Rng, field: Field) -> Sequence[bytes]:
    """A well-formed message of which something is another: some elements, or some bits."""
    if message.kind == AGREEMENT or not message.opened:
        return lies.flipped(int(rng.integers(8 * max(1, len(message.payload)))))(message)
    if message.kind not in WORDS:
        data = np.frombuffer(message.opened, np.uint8)
        bits = rng.integers(0, 256, data.size, dtype=np.uint8) & rng.integers(0, 256, data.size, dtype=np.uint8)
        some = data ^ (bits if rng.integers(2) else np.where(np.arange(data.size) == rng.integers(data.size), bits, 0))
        return [message.with_opened(some.astype(np.uint8).tobytes())]
    words = np.frombuffer(message.opened, field.dtype).astype(object)
    places = rng.choice(words.size, int(rng.integers(1, words.size + 1)) if rng.integers(2) else 1, replace=False)
    for place in places:
        words[place] = (words[place] + _error(rng, field)) % field.p
    return [message.with_opened(words.astype(field.dtype).tobytes())]


def _error(rng: Rng, field: Field) -> int:
    return [1, field.p - 1, 2, int(rng.integers(1, field.p))][int(rng.integers(4))]


def noise(message: Message, rng: Rng) -> Sequence[bytes]:
    """As long, and random: hash and all."""
    return [rng.bytes(len(message.payload))]


def alike(rng: Rng, field: Field) -> Lie:
    """The same change in all messages of a round, so that both others hear the same."""
    seed = int(rng.integers(1 << 60))
    return lambda message: changed(message, np.random.default_rng([seed, message.number]), field)


LIES: dict[str, Callable[[Rng, Field], Lie]] = {
    "changed": lambda rng, field: lambda message: changed(message, rng, field),
    "changed alike": alike,
    "flipped": lambda rng, field: lies.flipped(int(rng.integers(64))),
    "invalid": lambda rng, field: lies.invalid,
    "dropped": lambda rng, field: lies.dropped,
    "repeated": lambda rng, field: lies.repeated,
    "swapped": lambda rng, field: lies.swapped,
    "shortened": lambda rng, field: lies.shortened,
    "lengthened": lambda rng, field: lies.lengthened,
    "emptied": lambda rng, field: lies.emptied,
    "of the last round": lambda rng, field: lies.OfLastRound(),
    "other view": lambda rng, field: lies.other_view,
    "noise": lambda rng, field: partial(noise, rng=rng),
}
HELD = "reordered"
ALL_LIES = (*LIES, HELD)


def lie_at(place: Place, name: str, receivers: Collection[int], rng: Rng, field: Field) -> Lie:
    """A lie of some name in one round."""
    if name == HELD:
        return Held(place.number, receivers)
    return At(place.number, receivers, LIES[name](rng, field))


# -- other shares ------------------------------------------------------------------------------------------------------
def other(share: Elements, place: int, rng: Rng, field: Field) -> Elements:
    """A share of which one element is another."""
    out = share.copy()
    flat = out.reshape(-1)
    flat[place % flat.size] = (int(flat[place % flat.size]) + _error(rng, field)) % field.p
    return out


@contextmanager
def hidden(party: int, images: Elements) -> Iterator[None]:
    """The liar passes the degree test with the shares that it should have, and goes on with those that it has."""

    async def tested(s: Session, shares: Elements) -> Bools:
        true = images.reshape(shares.shape) if s.party == party else shares
        return await degree.is_degree_1(s, true)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(describe, "degree", _With(tested))
        yield


@dataclass(frozen=True)
class _With:
    is_degree_1: Any


# -- other pieces ------------------------------------------------------------------------------------------------------
def other_pieces(found: common_pb2.Outcome, rng: Rng) -> str:
    """Change something in what a party answers the client; what it was."""
    names = [d.name for d, _ in found.ListFields()]
    name = names[int(rng.integers(len(names)))]
    value = getattr(found, name)
    if isinstance(value, bytes):
        sort = int(rng.integers(4))
        places = bytearray(value)
        if sort < 3:
            places[int(rng.integers(len(places)))] ^= 1 << int(rng.integers(8)) if sort else 1
        setattr(found, name, bytes(places) if sort < 3 else value[:-1])
    elif isinstance(value, int):
        setattr(found, name, max(0, value + int(rng.choice([-1, 1]))))
    elif name == "row_subjects":
        rest = list(value)
        del found.row_subjects[:]
        found.row_subjects.extend(rest[::-1] if rng.integers(2) and len(rest) > 1 else [*rest[1:], "somebody else"])
    else:
        rest = list(value)
        del value[:]
        value.extend(rest[::-1] if rng.integers(2) else rest[:-1])
    return name
