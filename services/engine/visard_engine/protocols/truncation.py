"""Truncation: divide a shared value by a power of two.

Functionality: [[z]], |z| < 2^(q-3), -> [floor((2z + u) / 2^(drop+1))] with u uniform in [0, 2^(drop+1)): z / 2^drop
rounded up or down at random so that the mean is exact. (No half unit is added first: it would bias the mean by half.)
Cost: one round; an element sends 2 words (1 if z is of degree 1).
Security: the opened value is uniform; what it is used as is claimed (comparison.open_masked).
How: with g = drop + 1 and c' = c + 2^(q-2), w = msb(r) (1 - msb(c')): trunc(z) = (c' >> g) - (r >> g) + w 2^(q-g)
- (2^(q-2) >> g), linear in the dealt [r >> g] and [msb(r)].
Source: D. Escudero et al., "Improved primitives for MPC over mixed arithmetic-binary circuits", CRYPTO 2020 (the
wrap-around bit), with dealt shifts instead of edaBits.
"""

import numpy as np

from visard_engine.claims import Source
from visard_engine.correlated import Dealing, DealtValue, KitReader
from visard_engine.field import Elements, Field
from visard_engine.kernels import truncation as kernels
from visard_engine.protocols import sizes
from visard_engine.protocols.comparison import open_masked
from visard_engine.session import Session


def arrays(field: Field, n: int, drop: int) -> sizes.Arrays:
    """What ``deal`` corrects."""
    return sizes.values(field, n, 2)


def deal(d: Dealing, n: int, drop: int) -> None:
    """Deal n truncations by ``drop`` bits."""
    r = d.random(n)
    d.value(np.stack([r >> d.field.dtype.type(drop + 1), r >> d.field.dtype.type(d.field.q - 1)]))


async def truncate(s: Session, z: Elements, drop: int, source: Source | None) -> Elements:
    """Degree-1 shares of z / 2^drop from shares of z, shape (n,), as ``comparison.is_negative`` takes them."""
    r, values = s.kit.random(z.size), s.kit.values(2, z.size)
    c = await open_masked(s, z, r, source)
    return await s.compute(z.size, _finish, s.kit, c, values, drop)


def _finish(kit: KitReader, c: Elements, values: DealtValue, drop: int) -> Elements:
    public, wrap = kernels.public_part(c, drop + 1)
    shifted, msb = kit.share(values)
    return kernels.shift(public, wrap, shifted, msb)
