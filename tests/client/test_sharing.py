"""Images and weights are shared so that any two parties have everything and any one nothing; answers are checked."""

import numpy as np
import pytest
from visard.errors import InconsistentAnswer
from visard.sharing import combine, combine_bits, share
from visard_engine.field import field_of
from visard_engine.shamir import is_degree_1, reconstruct
from visard_wire.v1 import common_pb2

from tests.engine.statistics import looks_uniform

FIELDS = pytest.mark.parametrize("q", [31, 61])


@FIELDS
def shares__should_lie_on_a_line_through_the_secret(q: int) -> None:
    values = np.array([[0, 1, -1], [255, -(2**28), 2**28]], np.int64)
    field = field_of(q)
    shares = share(values, q)
    assert [part.dtype for part in shares] == [field.dtype] * 3
    assert is_degree_1(field, shares)
    assert field.decode(reconstruct(field, shares)).tolist() == values.tolist()
    assert all(field.is_reduced(part) for part in shares)


@FIELDS
@pytest.mark.parametrize("secret", [0, 255, -1])
def one_share__should_be_uniform(q: int, secret: int) -> None:
    assert all(looks_uniform(part, q) for part in share(np.full(20_000, secret), q))


def uniform_words__should_be_drawn_again_where_they_are_no_element(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [b"\xff" * 8, b"\xff" * 4 + b"\1\0\0\0", b"\2\0\0\0"]
    monkeypatch.setattr("visard.sharing.os.urandom", lambda n: answers.pop(0)[:n])
    one, two, _ = share(np.zeros(2, np.int64), 31)
    assert (two - one).tolist() == [2, 1]


@FIELDS
def combination__should_give_the_secret(q: int) -> None:
    values = np.array([0, 1, -1, 12345, -(2 ** (q - 2)), 2 ** (q - 2)], np.int64)
    assert combine(share(values, q), q).tolist() == values.tolist()


@FIELDS
@pytest.mark.parametrize("liar", [0, 1, 2])
@pytest.mark.parametrize("error", [1, -1, 1 << 30])
def share_that_a_party_has_changed__should_be_noticed(q: int, liar: int, error: int) -> None:
    p, shares = (1 << q) - 1, [part.copy() for part in share(np.arange(-50, 50), q)]
    shares[liar][70] = (int(shares[liar][70]) + error) % p
    with pytest.raises(InconsistentAnswer, match="do not lie on a line"):
        combine(shares, q)


@FIELDS
@pytest.mark.parametrize("liar", [0, 1, 2])
def words_that_are_no_elements__should_be_refused(q: int, liar: int) -> None:
    shares = [part.copy() for part in share(np.zeros(3, np.int64), q)]
    shares[liar][1] = (1 << q) - 1  # 0 mod p: another name of a share that fits
    with pytest.raises(InconsistentAnswer, match="no shares"):
        combine(shares, q)


def outcomes(bits: list[int]) -> list[common_pb2.Outcome]:
    pieces = [0b1011, 0b0110]
    pieces.append(sum(b << k for k, b in enumerate(bits)) ^ pieces[0] ^ pieces[1])
    return [
        common_pb2.Outcome(bits=4, piece_own=bytes([pieces[i]]), piece_previous=bytes([pieces[i - 1]]))
        for i in range(3)
    ]


def bits__should_be_put_together() -> None:
    assert combine_bits(outcomes([1, 0, 1, 1])).tolist() == [True, False, True, True]


@pytest.mark.parametrize("liar", [0, 1, 2])
@pytest.mark.parametrize("name", ["piece_own", "piece_previous"])
def one_lying_party__should_be_found_out(liar: int, name: str) -> None:
    answers = outcomes([1, 0, 1, 1])
    setattr(answers[liar], name, bytes([getattr(answers[liar], name)[0] ^ 1]))
    with pytest.raises(InconsistentAnswer):
        combine_bits(answers)


@pytest.mark.parametrize("change", [{"bits": 3}, {"piece_own": b""}, {"piece_previous": b"\0\0"}])
def answers_of_different_lengths__should_be_refused(change: dict[str, object]) -> None:
    answers = outcomes([1, 0, 1, 1])
    for name, value in change.items():
        setattr(answers[1], name, value)
    with pytest.raises(InconsistentAnswer):
        combine_bits(answers)
