"""Sharing images and weights among three parties, and putting their answers together.

Shamir sharing of degree 1 over F_p, p = 2^q - 1 (q = 31 or 61): party i (0, 1, 2) holds F(i + 1), F(0) is the secret.
Any one share is uniform. Source: A. Shamir, "How to share a secret", CACM 1979.
"""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from visard_wire.v1 import common_pb2

from visard.errors import InconsistentAnswer

FIELDS = (31, 61)  # q: the fields that there are, by their Mersenne exponents
DEFAULT_FIELD_BITS = 31

Shares = tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]


def word_type(q: int) -> np.dtype[Any]:
    """How an element lies on the wire: 4 or 8 bytes, little-endian."""
    return np.dtype({31: "<u4", 61: "<u8"}[q])


def share(values: npt.NDArray[np.int64], q: int) -> Shares:
    """Shares of signed integers |x| < p / 2, each in the shape of ``values``."""
    p = (1 << q) - 1
    secret = np.where(values < 0, values + p, values).astype(np.uint64)
    slope = _uniform(values.size, q).reshape(values.shape)
    # below 2^62 + 2^63: no overflow of 64 bits for either field
    one = (secret + slope) % np.uint64(p)
    two = (one + slope) % np.uint64(p)
    three = (two + slope) % np.uint64(p)
    dtype = word_type(q)
    return one.astype(dtype), two.astype(dtype), three.astype(dtype)


def _uniform(n: int, q: int) -> npt.NDArray[np.uint64]:
    """Uniform elements: q random bits each, drawn again where they all are ones."""
    dtype, mask = word_type(q), (1 << q) - 1
    words: npt.NDArray[Any] = np.frombuffer(os.urandom(n * dtype.itemsize), dtype) & dtype.type(mask)
    while len(rejected := np.flatnonzero(words == mask)):
        words[rejected] = np.frombuffer(os.urandom(len(rejected) * dtype.itemsize), dtype) & dtype.type(mask)
    return words.astype(np.uint64)


def combine(shares: Sequence[npt.NDArray[Any]], q: int) -> npt.NDArray[np.int64]:
    """Signed integers from three shares of a sharing of degree 1: 2 F(1) - F(2). Raises InconsistentAnswer.

    Two parties that keep to the rules hold two points of the line: a third one that changes its share leaves it.
    """
    p = (1 << q) - 1
    one, two, three = (share.astype(np.uint64) for share in shares)
    if any((share >= p).any() for share in (one, two, three)):
        raise InconsistentAnswer("a party gave words that are no shares")
    # below 3 * 2^61: no overflow of 64 bits
    if ((2 * two + p - one) % np.uint64(p) != three).any():
        raise InconsistentAnswer("a party has changed its share of the output: the three do not lie on a line")
    signed = ((2 * one + p - two) % np.uint64(p)).astype(np.int64)
    return np.where(signed > p // 2, signed - p, signed)


def combine_bits(outcomes: Sequence[common_pb2.Outcome]) -> npt.NDArray[np.bool_]:
    """The bits of three parties' answers, in party order; raises InconsistentAnswer.

    A bit is b_0 ^ b_1 ^ b_2. Party i holds b_i and b_(i-1), so every piece comes twice.
    """
    count = outcomes[0].bits
    size = -(-count // 8)
    for i, outcome in enumerate(outcomes):
        if outcome.bits != count or len(outcome.piece_own) != size or len(outcome.piece_previous) != size:
            raise InconsistentAnswer("the parties' answers have different lengths")
        if outcome.piece_own != outcomes[(i + 1) % 3].piece_previous:
            raise InconsistentAnswer(f"parties {i} and {(i + 1) % 3} gave different pieces of the answer")
    pieces = [np.frombuffer(outcome.piece_own, np.uint8) for outcome in outcomes]
    bits = np.unpackbits(pieces[0] ^ pieces[1] ^ pieces[2], count=count, bitorder="little")
    return bits.astype(np.bool_)
