"""Membership: is any row of a gallery within a threshold of the probe? The parties learn this bit and no other.

Functionality: [a] (D,), [b_j] (N, D), public t, as search.py takes them -> whether h_j <= t for some j, publicly; of a row that
lies beyond t by less than ``blocks.fuzz`` it may be said too. Of a match nobody is told with a probability of 2^-PARITIES.
Cost: ten rounds with the verification, whatever N is. A row sends 2 words and 6 bits; each of 14 gates 4 bits. Dealt: 76 bits a
row, as to a search, and 11 bits a gate.
Security: as search.py and gates.py; the bit is opened when all is verified.
How: the match bits of all rows are shared bits, so their parities over random public subsets are local. If a bit is set, each of
them is one with a chance of a half, and otherwise none is: the bit is their disjunction, by gates, because opened parities would
tell which rows match. Subsets come from the run's coin, which was tossed when the probe had been handed in.
Source: R. Freivalds, "Probabilistic machines can use less running time", IFIP 1977.
"""

from collections.abc import Sequence

import numpy as np

from visard_engine.bits import invert, pack, words_for
from visard_engine.field import Elements, Words
from visard_engine.protocols.conjunction import conjunction_of_all
from visard_engine.protocols.disjunction import PARITIES
from visard_engine.protocols.opening import agree, open_bits, open_lines
from visard_engine.protocols.search import compared
from visard_engine.protocols.verification import Check
from visard_engine.session import Session
from visard_engine.stack import Matrix


async def is_known(s: Session, sessions: Sequence[Session], probe: Elements, rows: Matrix, limit: int) -> bool:
    """Whether a row of (N, D), N > 0, is within the limit; ``sessions`` are of the kits of blocks, ``s`` of the last one.

    Raises KitError, CheckFailed, ViewsDiffer.
    """
    check = Check(s, probe.size)
    coin, within = await compared(s, sessions, check, probe, rows, [limit], probe[:0])
    parities = await s.compute(rows.size, _parities, s, within, len(rows))
    opened = await open_lines(s, await check.masked(coin), "triples")
    check.require(await open_lines(s, check.differences(opened), "differences"))
    none = await conjunction_of_all(s, invert(s.party, parities), PARITIES)
    word = await open_bits(s, invert(s.party, none), "answer")
    await agree(s)
    return bool(word[0] & np.uint64(1))


def _parities(s: Session, within: Sequence[Words], rows: int) -> Words:
    """This party's pieces (2, words) of the parities of the rows' bits over PARITIES random subsets; local."""
    bits = np.concatenate([block[0] for block in within], axis=1)
    bits[:, -1] &= ~np.uint64(0) >> np.uint64(64 * words_for(rows) - rows)
    subsets = (s.kit.public_words(bits.shape[1]) for _ in range(PARITIES))
    folded = np.stack([np.bitwise_xor.reduce(bits & subset, axis=1) for subset in subsets], axis=1)
    return pack((np.bitwise_count(folded) & 1).astype(np.bool_))
