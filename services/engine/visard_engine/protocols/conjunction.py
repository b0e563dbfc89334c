"""AND of a row of shared bits.

Functionality: <b_1> .. <b_n> -> <AND of all>.
Cost: ceil(log4 n) rounds; a level sends 4 bits a gate. Dealt: 11 bits a gate.
Security: as gates.py.
"""

import numpy as np

from visard_engine.bits import pack, unpack, words_for, xor_public
from visard_engine.correlated import Dealing
from visard_engine.field import Field, Words
from visard_engine.protocols import gates, sizes
from visard_engine.protocols.gates import Gate
from visard_engine.session import Session

_FAN_IN = 4
_ALL = Gate(_FAN_IN, (((0, 1, 2, 3),),))


def levels(n: int) -> list[int]:
    """Gates at each level of the AND of n bits."""
    found = []
    while n > 1:
        n = -(-n // _FAN_IN)
        found.append(n)
    return found


def arrays(field: Field, n: int, _: int) -> sizes.Arrays:
    """What ``deal`` corrects."""
    return sizes.bits(len(_ALL.dealt), n)


def deal(d: Dealing, n: int, _: int) -> None:
    """Deal one level of n gates."""
    gates.deal(d, _ALL, words_for(n))


async def conjunction_of_all(s: Session, shared: Words, n: int) -> Words:
    """AND of the first n bits of (2, words), as bit 0 of (2, 1)."""
    bits = unpack(shared, n)
    for count in levels(n):
        # a gate of fewer bits is filled up with ones
        padded = np.pad(bits, ((0, 0), (0, _FAN_IN * count - bits.shape[1])))
        inputs = pack(padded.reshape(2, count, _FAN_IN).transpose(0, 2, 1))
        ones = np.zeros(_FAN_IN * count, np.bool_)
        ones[bits.shape[1] :] = True
        filled = xor_public(s.party, inputs, pack(ones.reshape(count, _FAN_IN).T))
        (out,) = await gates.evaluate(s, [(_ALL, filled, gates.read(s.kit, _ALL, count))], "conjunction")
        bits = unpack(out[:, 0], count)
    return pack(bits)
