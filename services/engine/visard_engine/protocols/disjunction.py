"""Disjunction, opened: is any of a row of shared bits set?

Functionality: <b> (B, n) -> for each row, publicly, whether a bit is set.
Cost: one round; a row sends ``PARITIES`` bits.
Security: where no bit is set, zeros are opened: nothing. Otherwise parities of random subsets are, which tell something of
which bits are set: this is for alarms that never ring for whoever keeps to the rules, asked
once it is verified that no party has made them ring. One that should ring stays silent
with probability 2^-40: the subsets come from the run's coin, which was tossed when whoever caused it had handed in its shares.
Source: R. Freivalds, "Probabilistic machines can use less running time", IFIP 1977.
"""

import numpy as np

from visard_engine.bits import pack, unpack
from visard_engine.field import Bools, Words
from visard_engine.protocols.opening import open_bits
from visard_engine.session import Session

PARITIES = 40  # 2026-11: the statistical security parameter usual in MPC


async def any_set(s: Session, shared: Words, rows: int, length: int) -> Bools:
    """Whether a bit is set in each of ``rows`` rows of ``length`` bits, packed one after another in (2, words); (rows,)."""
    bits = unpack(shared, rows * length).reshape(2, rows, 1, length)
    subsets = unpack(s.kit.public_words(PARITIES * -(-length // 64)).reshape(PARITIES, -1), length)
    parities = np.bitwise_xor.reduce(bits & subsets, axis=-1).reshape(2, -1)
    opened = unpack(await open_bits(s, pack(parities), "alarms"), rows * PARITIES)
    found: Bools = np.logical_or.reduce(opened.reshape(rows, PARITIES), axis=1)
    return found
