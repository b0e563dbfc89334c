"""Shamir secret sharing of degree 1 and 2 among three parties, on arrays.

Source: A. Shamir, "How to share a secret", CACM 1979. Party i (0, 1, 2) holds F(i + 1), as in mpyc.thresha. The value is
F(0): from a degree-2 sharing 3 F(1) - 3 F(2) + F(3); from a degree-1 sharing 2 F(1) - F(2).
"""

import os

from visard_engine.field import Elements, Field
from visard_engine.prf import KEY_BYTES, Prf


def share(field: Field, secret: Elements) -> tuple[Elements, Elements, Elements]:
    """Three fresh shares of degree 1, each in the shape of the secret."""
    slope = Prf(os.urandom(KEY_BYTES)).elements(0, secret.size, field).reshape(secret.shape)
    one = field.add(secret, slope)
    two = field.add(one, slope)
    return one, two, field.add(two, slope)


def reconstruct(field: Field, shares: tuple[Elements, ...] | list[Elements]) -> Elements:
    """The secret of a sharing of degree at most 2, from all three shares."""
    one, two, three = shares
    return field.add(field.scale(field.subtract(one, two), 3), three)


def is_degree_1(field: Field, shares: tuple[Elements, ...] | list[Elements]) -> bool:
    """Whether the three shares lie on a line."""
    one, two, three = shares
    return bool((field.subtract(two, one) == field.subtract(three, two)).all())
