"""Shares of one deployment become shares of another: of the same secrets, seen by nobody, and a lie shows."""

from typing import Any

import numpy as np
import pytest
from visard_engine.field import M31, M61, Elements, Field
from visard_engine.nn.program import Program
from visard_engine.prf import Prf
from visard_party.operations import crossing

from tests.party.deployments import PROGRAM


def of_field(field: Field, size: int, seed: int) -> Elements:
    return np.random.default_rng(seed).integers(0, field.p, size, dtype=np.uint64).astype(field.dtype)


def crossed(field: Field, secret: Elements) -> tuple[list[Elements], list[list[Elements]]]:
    """The source's shares, and the pieces of each source party, by recipient."""
    line = of_field(field, secret.size, 7)
    shares = [field.add(secret, field.scale(line, at)) for at in (1, 2, 3)]
    return shares, [crossing.split(field, share, Prf(bytes([k]) * 16)) for k, share in enumerate(shares)]


@pytest.mark.parametrize("field", [M31, M61])
def new_shares__should_be_of_the_same_secret(field: Field) -> None:
    """Against Python's own integers."""
    secret = of_field(field, 50, 1)
    shares, pieces = crossed(field, secret)
    for share, own in zip(shares, pieces, strict=True):  # each a line through the share that it splits
        for at_zero, first, second, third in zip(*(part.tolist() for part in (share, *own)), strict=True):
            assert ((2 * first - second) % field.p, (2 * second - first) % field.p) == (at_zero, third)
    new = [crossing.joined(field, [of_one[j] for of_one in pieces]) for j in range(3)]
    for numbers in zip(*(part.tolist() for part in (secret, *new)), strict=True):
        wanted, first, second, third = numbers
        assert (2 * first - second) % field.p == wanted
        assert (3 * second - 2 * third) % field.p == wanted
    slopes = [crossing.slope(field, [of_one[j] for of_one in pieces], j) for j in range(3)]
    assert np.array_equal(slopes[0], slopes[1])
    assert np.array_equal(slopes[0], slopes[2])


@pytest.mark.parametrize("liar", [0, 1, 2])
@pytest.mark.parametrize("told", [(1, 0, 0), (0, 5, 0), (0, 0, 9), (1, 1, 1), (1, 2, 4)])
def source_party_that_changes_pieces__should_make_slopes_differ(liar: int, told: tuple[int, int, int]) -> None:
    """Whatever it adds to its three pieces, but for another line through its own share: that changes no secret."""
    secret = of_field(M31, 9, 2)
    _, pieces = crossed(M31, secret)
    for j, lie in enumerate(told):
        pieces[liar][j] = M31.add(pieces[liar][j], np.full(9, lie, M31.dtype))
    slopes = [crossing.slope(M31, [of_one[j] for of_one in pieces], j).tobytes() for j in range(3)]
    assert len({*slopes}) > 1


@pytest.mark.parametrize("liar", [0, 1, 2])
def another_slope__should_change_no_secret(liar: int) -> None:
    secret = of_field(M31, 9, 2)
    _, pieces = crossed(M31, secret)
    for j in range(3):
        pieces[liar][j] = M31.add(pieces[liar][j], np.full(9, 11 * (j + 1), M31.dtype))
    slopes = [crossing.slope(M31, [of_one[j] for of_one in pieces], j).tobytes() for j in range(3)]
    new = [crossing.joined(M31, [of_one[j] for of_one in pieces]) for j in range(3)]
    assert len({*slopes}) == 1
    assert np.array_equal(M31.subtract(M31.scale(new[0], 2), new[1]), secret)


@pytest.mark.parametrize("corrupt", [0, 1, 2])
@pytest.mark.parametrize("recipient", [0, 1, 2])
def one_party_of_each__should_see_what_any_secret_would_show(corrupt: int, recipient: int) -> None:
    """In a small field, counted: what one destination party gets together with one source party's share and line.

    For each secret every view comes equally often, over all lines of the source and of its three parties.
    """
    p = 5
    seen: list[dict[tuple[int, ...], int]] = []
    for secret in range(p):
        views = dict[tuple[int, ...], int]()
        for a in range(p):
            shares = [(secret + a * at) % p for at in (1, 2, 3)]
            for lines in np.ndindex(p, p, p):
                got = [(share + line * (recipient + 1)) % p for share, line in zip(shares, lines, strict=True)]
                view = (*got, shares[corrupt], int(lines[corrupt]))
                views[view] = views.get(view, 0) + 1
        seen.append(views)
    assert all(views == seen[0] for views in seen)


@pytest.mark.parametrize("field", [M31, M61])
def fingerprint__should_be_linear_and_tell_networks_apart(field: Field) -> None:
    n, network = (1 << 20) + 3, b"n" * 32
    one, other = of_field(field, n, 3), of_field(field, n, 4)
    both = crossing.fingerprint(field, network, field.add(one, other))
    parts = field.add(crossing.fingerprint(field, network, one), crossing.fingerprint(field, network, other))
    assert np.array_equal(both, parts)
    changed = one.copy()
    changed[-1] = field.add(changed[-1:], np.ones(1, field.dtype))[0]
    assert (crossing.fingerprint(field, network, changed) != crossing.fingerprint(field, network, one)).all()


def network_digest__should_be_that_of_the_network_alone() -> None:
    points = Program(**{**vars_of(PROGRAM), "operating_points": {"default": 0.5, "strict": 0.25}})
    scaled = Program(**{**vars_of(PROGRAM), "input_scale": 1})
    digests = [crossing.network_digest(one) for one in (PROGRAM, points, scaled)]
    assert digests[0] == digests[1] != digests[2]


def vars_of(program: Program) -> dict[str, Any]:
    return {
        name: getattr(program, name) for name in ("q", "input_shape", "input_scale", "operations", "operating_points")
    }
