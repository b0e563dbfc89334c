"""Opening: make a shared value public.

Functionality: [[m]] -> m for all (degree at most 2), and <b> -> b for all.
Cost: one round; an element sends 2 words (to both others), a bit sends 1 bit (each party's own piece, to the previous).
Security: nothing is hidden. The caller masks first: with a uniform dealt value and a fresh zero sharing.
"""

import numpy as np

from visard_engine.channel import Payload
from visard_engine.errors import ProtocolError
from visard_engine.field import Elements, Field, Words
from visard_engine.kernels import opening as kernels
from visard_engine.session import Session


async def open_elements(s: Session, share: Elements) -> Elements:
    """The values of a sharing of degree at most 2, shape (n,)."""
    return await s.compute(share.size, kernels.recombine, *await exchange_elements(s, share))


async def exchange_elements(s: Session, share: Elements) -> tuple[Elements, Elements, Elements]:
    """All three shares of a sharing, (n,) each, in the parties' order."""
    others = (s.next, s.previous)
    messages = await s.channel.exchange(dict.fromkeys(others, payload(share)), others)
    shares = {peer: _elements(s.field, messages[peer], share.size) for peer in others} | {s.party: share}
    return shares[0], shares[1], shares[2]


async def open_bits(s: Session, shared: Words) -> Words:
    """The packed bits of a replicated sharing (2, words): the missing piece comes from the next party."""
    messages = await s.channel.exchange({s.previous: payload(shared[0])}, (s.next,))
    mine: Words = shared[0] ^ shared[1]
    return mine ^ words_from(messages[s.next], shared[0].size)


def fresh_share(s: Session, share: Elements) -> Elements:
    """A share, shape (n,), of the same values in a fresh random sharing of degree 2: what may leave the engine.

    The three shares together are as random as any sharing of the values, whatever the old ones were made of.
    """
    return s.field.add(share, s.prss.zero_sharing(s.field, share.size))


def payload(words: Elements | Words) -> Payload:
    """The raw little-endian words of an array, without a copy where it is contiguous."""
    return np.ascontiguousarray(words).data.cast("B") if words.size else b""


def words_from(message: bytes, n: int) -> Words:
    """n words of packed bits from a peer; raises ProtocolError."""
    if len(message) != 8 * n:
        raise ProtocolError(f"a peer sent {len(message)} bytes where {8 * n} belong")
    return np.frombuffer(message, np.uint64)


def _elements(field: Field, message: bytes, n: int) -> Elements:
    if len(message) != field.itemsize * n:
        raise ProtocolError(f"a peer sent {len(message)} bytes where {field.itemsize * n} belong")
    elements = np.frombuffer(bytearray(message), field.dtype)
    if not field.is_reduced(elements):
        raise ProtocolError("a peer sent a word that is no field element")
    return elements
