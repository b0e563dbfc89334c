"""Degree test: do the three shares that somebody else made lie on a line?

Functionality: shares (B, n) of B rows -> for each row, publicly, whether all its n sharings are of degree 1.
Cost: one round; a row sends 2 words, whatever its length.
Security: of a row of degree 1 a uniform line is opened, a random combination of its elements plus a dealt mask: nothing.
A row that is not passes with probability 1 / p: the combination's factors come from a coin that the parties toss once the
shares are handed in (visard_party.runs.agreement). What such a row opens depends on its deviation alone. A lying party can
have any row refused, and pass with a share of its own making: any two honest shares are on a line, and on this line all that
follows is verified.
Source: Z. Beerliova-Trubiniova, M. Hirt, "Perfectly-secure MPC with linear communication complexity", TCC 2008; the
random combination as in K. Chida et al., CRYPTO 2018.
"""

import numpy as np

from visard_engine.correlated import Dealing
from visard_engine.field import Bools, Elements, Field
from visard_engine.kernels import arithmetic
from visard_engine.protocols import sizes
from visard_engine.protocols.opening import exchange_elements
from visard_engine.session import Session


def arrays(field: Field, rows: int, _: int) -> sizes.Arrays:
    """What ``deal`` corrects: nothing."""
    return []


def deal(d: Dealing, rows: int, _: int) -> None:
    """Deal the masks of ``rows`` tests."""
    d.random(rows)


async def is_degree_1(s: Session, shares: Elements) -> Bools:
    """Whether each row of (B, n) is a degree-1 sharing, (B,)."""
    mask = s.kit.share(s.kit.random(len(shares)))
    factors = s.kit.public_elements(shares.shape[1])
    combined = await s.compute(shares.size, arithmetic.products, shares, factors)
    one, two, three = await exchange_elements(s, s.field.add(combined, mask), "degree")
    s.run.views.saw(np.concatenate([one, two, three]))
    found: Bools = s.field.subtract(two, one) == s.field.subtract(three, two)
    return found
