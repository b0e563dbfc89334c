"""Pairwise keys give consistent sharings without a message, in the convention of mpyc.thresha."""

import numpy as np
import pytest
from mpyc import finfields, thresha
from visard_engine.field import M31, M61, Field
from visard_engine.kernels import arithmetic
from visard_engine.prss import PairKeys, Prss, share_factors
from visard_engine.shamir import is_degree_1, reconstruct, share

from tests.engine.statistics import looks_uniform

FIELDS = pytest.mark.parametrize("field", [M31, M61], ids=["q31", "q61"])
SEEDS = [bytes([i]) * 16 for i in range(3)]


def parties() -> list[Prss]:
    return [Prss(PairKeys(SEEDS[i], SEEDS[i - 1]), i) for i in range(3)]


@FIELDS
def share_factors__should_equal_mpyc_polynomials(field: Field) -> None:
    mpyc_field = finfields.GF(field.p)
    for i in range(3):
        own, previous = tuple(sorted((i, (i + 1) % 3))), tuple(sorted((i, (i + 2) % 3)))
        expected = [int(thresha._f_S_i(mpyc_field, 3, i, pair)) for pair in (own, previous)]
        assert [int(f) for f in share_factors(field, i)] == expected


@FIELDS
def pseudorandom_values__should_share_their_sum(field: Field) -> None:
    u = [np.arange(5, dtype=field.dtype) * 1000 + i for i in range(3)]
    shares = [arithmetic.combine(u[i], u[i - 1], *share_factors(field, i)) for i in range(3)]
    assert is_degree_1(field, shares)
    assert reconstruct(field, shares).tolist() == (u[0] + u[1] + u[2]).tolist()


@FIELDS
def zero_sharing__should_be_zero_of_full_degree_and_fresh(field: Field) -> None:
    prss = parties()
    first = [p.zero_sharing(field, 20_000) for p in prss]
    second = [p.zero_sharing(field, 20_000) for p in prss]
    for shares in (first, second):
        assert not reconstruct(field, shares).any()
        assert not is_degree_1(field, shares)
        assert all(looks_uniform(one, field.q) for one in shares)
    assert (first[0] != second[0]).mean() > 0.99


@FIELDS
def shares__should_be_readable_by_mpyc(field: Field) -> None:
    secret = field.encode([5, -7, 0])
    shares = share(field, secret)
    points = [(i + 1, [int(x) for x in shares[i]]) for i in (0, 2)]
    assert [x % field.p for x in thresha.recombine(finfields.GF(field.p), points)] == secret.tolist()


@FIELDS
def one_share__should_say_nothing(field: Field) -> None:
    for secret in (0, field.p - 1):
        shares = share(field, np.full(20_000, secret, field.dtype))
        assert all(looks_uniform(one, field.q) for one in shares)
        assert reconstruct(field, shares).tolist() == [secret] * 20_000


def keys__should_not_be_printed() -> None:
    keys = PairKeys(b"A" * 16, b"B" * 16)
    assert "AAAA" not in repr(keys)
    assert "BBBB" not in f"{keys}"
