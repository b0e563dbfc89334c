"""Tournament minimum: the smallest of N shared values and its position.

Functionality: [[z_j]] (N,) -> [[min_j z_j]] and <position of it>; of equal values the one at the later position wins.
Cost: for each of ceil(log2 N) levels the rounds of an exact ReLU (q = 31: 5; q = 61: 6); N - 1 comparisons in all and, for
the position, fewer than N log2 N AND gates, whose messages ride on a round that is there anyway.
Security: as maximum.py and conjunction.py.
How: min(a, b) = a - ReLU(a - b); b wins iff a - b >= 0. A winner's position is its path: at level l the new bit l is the
comparison's bit, and the lower bits are chosen by it (<i> = <i_a> ^ <w> (<i_a> ^ <i_b>)).
"""

import numpy as np

from visard_engine.bits import invert, pack, unpack
from visard_engine.correlated import Dealing
from visard_engine.field import Bools, Elements, Words
from visard_engine.protocols import comparison, maximum
from visard_engine.protocols.conjunction import local_conjunction
from visard_engine.protocols.opening import payload, words_from
from visard_engine.session import Session


def deal(d: Dealing, n: int) -> None:
    """Deal one level that compares n pairs."""
    maximum.deal(d, n)


def levels(n: int) -> list[int]:
    """Pairs compared at each level of a tournament of n."""
    out = []
    while n > 1:
        out.append(n // 2)
        n -= n // 2
    return out


async def minimum(s: Session, z: Elements) -> tuple[Elements, Bools]:
    """The least of (n,) shares of degree at most 2, as (1,), and its position's bits, (2, ceil(log2 n)) of one bool each."""
    path: Bools = np.zeros((2, 0, z.size), np.bool_)  # (pieces, bits so far, candidates)
    while z.size > 1:
        z, path = await _level(s, z, path)
    return z, path[:, :, 0]


async def _level(s: Session, z: Elements, path: Bools) -> tuple[Elements, Bools]:
    """Halve the candidates: neighbours 2j and 2j + 1 meet; a last odd one passes."""
    pairs = z.size // 2
    a, b, bye = np.ascontiguousarray(z[: 2 * pairs : 2]), np.ascontiguousarray(z[1 : 2 * pairs : 2]), z[2 * pairs :]
    dealt = await s.compute(pairs, maximum.read, s.kit, pairs)
    c, negative = await comparison.is_negative(s, s.field.subtract(a, b), dealt.mask)
    second = invert(s.party, negative)
    v, chosen = await _open_and_choose(s, second ^ dealt.beta_bits, second, path[:, :, : 2 * pairs])
    larger = await s.compute(pairs, maximum.finish, s.kit, c, v, dealt)
    winners = np.concatenate([s.field.subtract(a, larger), bye])
    new_bit = unpack(second, pairs)[:, None]
    met = np.concatenate([chosen, new_bit], axis=1)
    passed = np.concatenate([path[:, :, 2 * pairs :], np.zeros((2, 1, bye.size), np.bool_)], axis=1)
    return winners, np.concatenate([met, passed], axis=2)


async def _open_and_choose(s: Session, masked: Words, second: Words, path: Bools) -> tuple[Words, Bools]:
    """Open ``masked`` (2, words) and choose between the pairs' paths by ``second``, in one round."""
    first, other = path[:, :, 0::2], path[:, :, 1::2]
    gates = np.ascontiguousarray(np.broadcast_to(second[:, None], (2, path.shape[1], second.shape[1])))
    own = local_conjunction(s, gates, pack(first ^ other))
    outgoing = {s.previous: payload(masked[0]), s.next: payload(own)}
    messages = await s.channel.exchange(outgoing, (s.next, s.previous))
    v = masked[0] ^ masked[1] ^ words_from(messages[s.next], masked[0].size)
    flip = np.stack([own, words_from(messages[s.previous], own.size).reshape(own.shape)])
    return v, first ^ unpack(flip, first.shape[2])
