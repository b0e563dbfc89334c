"""Shares of one deployment's parties become shares of another's, and nobody holds more than one of either. Pure.

Functionality: source party i holds F(i + 1), of degree 1; destination party j gets H(j + 1) with H(0) = F(0), of degree 1.
How: source party i takes a fresh line G_i with G_i(0) = F(i + 1) and gives G_i(j + 1) to j, who takes 2 G_0(j + 1) - G_1(j + 1).
Security: what j sees is uniform. Together with one source party, even its own operator's, it knows F at one point and lines of
the two others at one point each: nothing of F(0).
Check: F is a line, so G_0 - 2 G_1 + G_2 is one through the origin, and its slope is the same at all three j. The parties of the
destination compare it. A source party that gives pieces which are on no line, or another line's than that of its share, makes
the slopes differ; what it can do unseen is to choose its line's slope, which changes no secret. The slope is known to each of
them anyway, and says nothing of F: it is that of three fresh lines.
Source: Desmedt and Jajodia, "Redistributing secret shares to new access structures", 1997; the check follows from degree 1.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from visard_engine.field import Elements, Field
from visard_engine.kernels import arithmetic
from visard_engine.nn.program import Program
from visard_engine.prf import KEY_BYTES, Prf

FINGERPRINT = 2  # elements: two networks have the same with probability 1 / p each
_PART = 1 << 20  # weights at a time


def split(field: Field, share: Elements, stream: Prf) -> list[Elements]:
    """A share (n,) shared anew: a piece (n,) for each of three parties. The stream's key is used for nothing else."""
    slope = stream.elements(0, share.size, field)
    return [field.add(share, field.scale(slope, at)) for at in (1, 2, 3)]


def joined(field: Field, pieces: Sequence[Elements]) -> Elements:
    """A destination party's share (n,) of what three source parties have split, given their pieces for it, in order."""
    first, second, _ = pieces
    return field.subtract(field.scale(first, 2), second)


def slope(field: Field, pieces: Sequence[Elements], party: int) -> Elements:
    """What must be the same at all three destination parties (n,) if each source party has split its own share."""
    first, second, third = pieces
    line = field.add(field.subtract(first, field.scale(second, 2)), third)
    return field.scale(line, int(field.inverse(party + 1)))


def network_digest(program: Program) -> bytes:
    """SHA-256 of a program but for what its owner may set anew: descriptors of equal networks can be compared.

    The weights are not part of it: see ``fingerprint``.
    """
    bare = Program(
        program.q,
        program.input_shape,
        program.input_scale,
        program.operations,
        {"default": 1.0},
        purpose=program.purpose,
        chip=program.chip,
    )
    return hashlib.sha256(b"visard network v1" + bare.to_json()).digest()


def fingerprint(field: Field, network: bytes, weights: Elements) -> Elements:
    """This party's share (FINGERPRINT,) of random public combinations of a network's weights (n,), the same for equal networks.

    It is never opened: a source splits it with a page, and the destination finds out whether it is that of its own weights.
    That finds mistakes, not malice: the coefficients are public and always the same, so whoever makes weights can make others
    with equal sums.
    """
    found = np.zeros(FINGERPRINT, field.dtype)
    for row in range(FINGERPRINT):
        key = hashlib.blake2b(network + bytes([row]), digest_size=KEY_BYTES, person=b"visard weights").digest()
        stream = Prf(key)
        for label, start in enumerate(range(0, weights.size, _PART)):
            part = weights[start : start + _PART]
            product = arithmetic.products(part[None], stream.elements(label, part.size, field))
            found[row : row + 1] = field.add(found[row : row + 1], product)
    return found


def difference(field: Field, theirs: Elements, own: Elements, party: int) -> Elements:
    """What must be the same at all three parties if a fingerprint that has come is that of the own weights; else it is not.

    The difference is a line through the origin then, whose slope a fresh line hides.
    """
    return field.scale(field.subtract(theirs, own), int(field.inverse(party + 1)))
