"""A position, shown only where a bit allows it.

Functionality: <a> (one bit), <i> (k bits) -> <a AND i>, bit by bit.
Cost: one round; each party sends 1 + k bits (in whole words each). Dealt: k bits.
Security: as gates.py.
"""

import numpy as np

from visard_engine.bits import words_for
from visard_engine.correlated import Dealing
from visard_engine.field import Field, Words
from visard_engine.protocols import gates, sizes
from visard_engine.protocols.gates import Gate
from visard_engine.session import Session


def gate(k: int) -> Gate:
    """Input 0 with each of the k others."""
    return Gate(1 + k, tuple(((0, i),) for i in range(1, 1 + k)))


def arrays(field: Field, n: int, k: int) -> sizes.Arrays:
    """What ``deal`` corrects."""
    return sizes.bits(k, n)


def deal(d: Dealing, n: int, k: int) -> None:
    """Deal n choices of k bits."""
    gates.deal(d, gate(k), words_for(n))


async def allowed(s: Session, allow: Words, bits: Words) -> Words:
    """``bits`` (2, k, words) where ``allow`` (2, words) is set, else zeros; of 64 words bits."""
    chosen = gate(bits.shape[1])
    dealt = gates.read(s.kit, chosen, 1)
    (out,) = await gates.evaluate(s, [(chosen, np.concatenate([allow[:, None], bits], axis=1), dealt)], "choice")
    return out
