"""AND of replicated XOR-shared bits.

Functionality: <x>, <y> -> <x AND y>, on packed bits.
Cost: one round; each party sends 1 bit a gate (to the next party). No dealt value.
Security: the sent piece is masked by a fresh XOR sharing of zero from the parties' own keys.
Source: T. Araki et al., CCS 2016.
"""

import numpy as np

from visard_engine.field import Words
from visard_engine.kernels import bitslice
from visard_engine.protocols.opening import payload, words_from
from visard_engine.session import Session


def local_conjunction(s: Session, x: Words, y: Words) -> Words:
    """This party's new own piece, (..., words) from (2, ..., words): to be sent to the next party."""
    return bitslice.conjunction(x, y, s.prss.zero_bits(x[0].size))


async def conjunction(s: Session, x: Words, y: Words) -> Words:
    """<x AND y>: shapes (2, ..., words)."""
    own = await s.compute(x.size, local_conjunction, s, x, y)
    messages = await s.channel.exchange({s.next: payload(own)}, (s.previous,))
    return np.stack([own, words_from(messages[s.previous], own.size).reshape(own.shape)])
