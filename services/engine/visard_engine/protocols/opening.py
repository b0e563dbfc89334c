"""Opening: make a shared value public, so that all three parties have seen the same.

Functionality: [m] -> m for all, <b> -> b for all.
Cost: one round. An element of degree 1 sends one word (to the previous party), one of degree 2 two words (to both others), a
bit one bit (each party's own piece, to the previous party). Every message to the previous party carries VIEW_BYTES more.
Security: nothing is hidden. The caller masks first: with a uniform dealt value, and a fresh zero sharing where the degree is 2.
Whatever is opened is public, so all three must have seen the same: each party says what it has opened so far (a hash) to the
previous party with the next message. That is the direction in which missing pieces travel: of two honest parties one hears the
other. It looks at what it has heard before it sends anything more, so that nobody hears the hash of a view that depends on
two honest parties' different ones. What is wrong alike for both, which only an opening of degree 2 can be, is found at the end
(verification.py).
"""

from collections.abc import Mapping

import numpy as np

from visard_engine.channel import Payload
from visard_engine.errors import ProtocolError, ViewsDiffer
from visard_engine.field import Elements, Field, Words
from visard_engine.kernels import opening as kernels
from visard_engine.session import Session
from visard_engine.views import VIEW_BYTES

AGREED = b"agreed"


async def open_lines(s: Session, share: Elements, kind: str) -> Elements:
    """The values of a sharing of degree 1, shape (n,): the next party's share is enough."""
    messages = await _exchange(s, {s.previous: payload(share)}, kind)
    theirs = _elements(s.field, messages[s.next], share.size)
    value = kernels.line(share, theirs, *line_factors(s.field, s.party))
    s.run.views.saw(value)
    return value


async def open_parabolas(s: Session, share: Elements, kind: str) -> Elements:
    """The values of a sharing of degree at most 2, shape (n,); what depends on them is to be verified."""
    one, two, three = await exchange_elements(s, share, kind)
    value = await s.compute(share.size, kernels.recombine, one, two, three)
    s.run.views.saw(value)
    return value


async def exchange_elements(s: Session, share: Elements, kind: str) -> tuple[Elements, Elements, Elements]:
    """All three shares of a sharing, (n,) each, in the parties' order. Whoever asks says what was seen (``Views.saw``)."""
    message = payload(share)
    messages = await _exchange(s, {s.previous: message, s.next: message}, kind)
    shares = {peer: _elements(s.field, messages[peer], share.size) for peer in (s.next, s.previous)} | {s.party: share}
    return shares[0], shares[1], shares[2]


async def open_bits(s: Session, shared: Words, kind: str) -> Words:
    """The packed bits of a replicated sharing (2, words): the missing piece comes from the next party."""
    messages = await _exchange(s, {s.previous: payload(shared[0])}, kind)
    mine: Words = shared[0] ^ shared[1]
    value: Words = mine ^ _words(messages[s.next], shared[0].size)
    s.run.views.saw(value)
    return value


async def open_lines_and_bits(s: Session, share: Elements, shared: Words, kind: str) -> tuple[Elements, Words]:
    """The values (n,) of a sharing of degree 1 and the packed bits of a replicated one (2, words), in one round."""
    message = b"".join((payload(share), payload(shared[0])))
    theirs = (await _exchange(s, {s.previous: message}, kind))[s.next]
    lines, bits = theirs[: share.nbytes], theirs[share.nbytes :]
    value = kernels.line(share, _elements(s.field, lines, share.size), *line_factors(s.field, s.party))
    planes: Words = shared[0] ^ shared[1] ^ _words(bits, shared[0].size)
    s.run.views.saw(value)
    s.run.views.saw(planes)
    return value, planes


async def agree(s: Session) -> None:
    """The end of a run: all three have seen the same to the last, and have said so; two rounds. Raises ViewsDiffer.

    First the views, in their one direction: a party to which a third has lied may say the hash of what it has seen to the other
    honest one alone, who tells it to stop. Then each hears from both others that they go on.
    """
    if (await _exchange(s, {s.previous: b""}, "last views"))[s.next]:
        raise ProtocolError("a peer said more than what it has seen")
    await confirm(s)


async def confirm(s: Session) -> None:
    """All three have said that they go on; one round.

    It is the whole end where what was opened last is known beforehand, and who sees something else stops: then everybody who
    gets here has seen the same in that round, and views of all rounds before went with its messages.
    """
    others = (s.next, s.previous)
    messages = await s.channel.exchange(dict.fromkeys(others, AGREED), others)
    s.run.views.round("agreement", dict.fromkeys(others, AGREED), messages)
    if any(message != AGREED for message in messages.values()):
        raise ProtocolError("a peer did not say that it agrees")


async def _exchange(s: Session, outgoing: Mapping[int, Payload], kind: str) -> dict[int, memoryview]:
    """One round in which every message to the previous party says what this one has seen; the messages without that."""
    own = s.run.views.digest
    sent = dict(outgoing)
    sent[s.previous] = b"".join((own, outgoing[s.previous]))
    incoming = (s.next, s.previous) if s.next in outgoing else (s.next,)
    messages = await s.channel.exchange(sent, incoming)
    s.run.views.round(kind, sent, messages)
    found = {peer: memoryview(message) for peer, message in messages.items()}
    if messages[s.next][:VIEW_BYTES] != own:
        raise ViewsDiffer(kind, s.channel.rounds, s.next)
    found[s.next] = found[s.next][VIEW_BYTES:]
    return found


def line_factors(field: Field, party: int) -> tuple[int, int]:
    """What a party's own share and the next party's are multiplied with to give a line's value at 0."""
    own, theirs = party + 1, (party + 1) % 3 + 1
    inverse = pow(theirs - own, -1, field.p)
    return field.element(theirs * inverse), field.element(-own * inverse)


def fresh_share(s: Session, share: Elements) -> Elements:
    """A share, shape (n,), of the same values in a fresh random sharing of degree 1: what may leave the engine.

    The slope is public among the parties, and uniform to whoever gets the shares: it comes from the run's coin. Who gets all
    three sees that they lie on a line, so a party that changes its own is noticed.
    """
    slope = s.kit.public_elements(share.size)
    return s.field.add(share, s.field.scale(slope, s.party + 1))


def payload(words: Elements | Words) -> Payload:
    """The raw little-endian words of an array, without a copy where it is contiguous."""
    return np.ascontiguousarray(words).data.cast("B") if words.size else b""


def _words(message: memoryview, n: int) -> Words:
    """n words of packed bits from a peer; raises ProtocolError."""
    if len(message) != 8 * n:
        raise ProtocolError(f"a peer sent {len(message)} bytes where {8 * n} belong")
    return np.frombuffer(message, np.uint64)


def _elements(field: Field, message: memoryview, n: int) -> Elements:
    if len(message) != field.itemsize * n:
        raise ProtocolError(f"a peer sent {len(message)} bytes where {field.itemsize * n} belong")
    elements = np.frombuffer(bytearray(message), field.dtype)
    if not field.is_reduced(elements):
        raise ProtocolError("a peer sent a word that is no field element")
    return elements
