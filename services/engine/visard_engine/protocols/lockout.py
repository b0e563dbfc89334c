"""Failures in a row: a counter that goes on by a shared bit, and is never opened; only whether it has reached its end.

Functionality: <b> one bit, [h] (n,) one-hot: h_k = 1 where k verifications have failed since the last success -> [h'] (n + 1,):
h'_0 = b, h'_(k+1) = (1 - b) h_k. A success sets it back, a failure shifts it, and h'_n = 1 says that it has come to its end.
Whether it has: opened by ``is_over``, of a counter as it is stored, before anything else of the next run.
Cost: one round; a party sends n elements and one word to the previous one. ``is_over``: one round, one element. Dealt: n + 1
elements; n more and a bit are free.
Security: h is opened masked by a dealt r, b by a dealt beta; both are uniform and used once, and the other two shares of a line
fix each, so that a lie makes the views of two honest parties differ (opening.py). Nothing is left to be verified. What comes out
has the slopes of what was dealt: fresh, and independent of the shares that were stored before.
How: with v = b ^ beta and c = h + r open, b = v + (1 - 2v) beta, and b h_k = v h_k + (1 - 2v) (c_k beta - beta r_k): linear in
what was dealt, among it the products of beta.
Source: relu.py (a dealt daBit: Rotaru, Wood 2019); the rule: NIST SP 800-63B, section 5.2.2.
"""

import numpy as np

from visard_engine.correlated import Dealing
from visard_engine.field import Elements, Field, Words
from visard_engine.kernels import bitslice
from visard_engine.kernels.channels import summed
from visard_engine.protocols import sizes
from visard_engine.protocols.opening import open_lines, open_lines_and_bits
from visard_engine.session import Session


def arrays(field: Field, n: int, extent: int) -> sizes.Arrays:
    """What ``deal`` corrects."""
    return sizes.values(field, n + 1, 1)


def deal(d: Dealing, n: int, extent: int) -> None:
    """Deal one counter of n places."""
    r, beta = d.random(n), d.random_bits(1)
    bit = bitslice.spread(beta, 1, d.field.element(1))
    d.value(np.concatenate([bit, r if bit[0] else np.zeros_like(r)]))


def nothing(field: Field, n: int) -> Elements:
    """The counter (n,) of which no failure is counted: public, and so the same share at every party."""
    return field.encode([1, *[0] * (n - 1)])


def folded(field: Field, counter: Elements, n: int) -> Elements:
    """Shares (n + 1,) of a counter of whatever length, as it is under a limit of n: what lies beyond it is at its end."""
    own = np.zeros(n + 1, field.dtype)
    kept = min(n, counter.size)
    own[:kept], own[n:] = counter[:kept], summed(counter[n:])
    return own


async def is_over(s: Session, counter: Elements) -> bool:
    """Whether n failures are counted, open to the parties: of ``counter``, shares (n + 1,)."""
    return bool((await open_lines(s, counter[-1:], "lockout"))[0])


async def counted(s: Session, found: Words, counter: Elements) -> Elements:
    """The counter afterwards, (n + 1,), of one that has not come to its end, shares (n,); ``found`` (2, 1) is the bit."""
    field, n = s.field, counter.size
    r, beta, dealt = s.kit.share(s.kit.random(n)), s.kit.random_bits(1, 1)[:, 0], s.kit.share(s.kit.value(n + 1))
    c, v = await open_lines_and_bits(s, field.add(counter, r), found ^ beta, "failures")
    bit, products = dealt[:1], dealt[1:]
    crossed = field.subtract(_times(field, c, bit), products)  # beta h: of c = h + r, and beta r
    if v[0] & np.uint64(1):  # b = 1 - beta
        return np.concatenate([field.subtract(field.encode([1]), bit), crossed])
    return np.concatenate([bit, field.subtract(field.subtract(c, r), crossed)])


def _times(field: Field, public: Elements, share: Elements) -> Elements:
    """Public elements (n,), each times one share (1,)."""
    return field.scale(public, int(share[0]))
