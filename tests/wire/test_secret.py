"""A secret shows its size and nothing else, wherever it is put."""

import pickle

import pytest
from visard_wire.secret import Secret

VALUE = b"correct horse battery"


def secret__should_show_its_size_only() -> None:
    secret = Secret(VALUE)
    for shown in (repr(secret), str(secret), f"{secret}", f"{[secret]}", "%s" % secret):  # noqa: UP031
        assert "horse" not in shown
        assert "21 bytes" in shown
    assert secret.reveal() == VALUE
    assert len(secret) == 21


def secret__should_not_be_pickled_or_hashed() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(Secret(VALUE))
    with pytest.raises(TypeError):
        hash(Secret(VALUE))


def secrets__should_be_compared_by_value() -> None:
    assert Secret(VALUE) == Secret(bytearray(VALUE))
    assert Secret(VALUE) != Secret(b"other")
    assert Secret(VALUE) != VALUE
