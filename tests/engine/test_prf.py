"""The PRF is AES-128 in counter mode, its elements are uniform below p, and streams of different labels differ."""

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from visard_engine import prf as prf_module
from visard_engine.field import M31, M61, Field
from visard_engine.prf import Prf

from tests.engine.statistics import looks_uniform

KEY = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")


def stream__should_be_aes_in_counter_mode() -> None:
    key, label = bytes(range(16)), 0x0011223344556677
    ecb = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    blocks = [ecb.update(label.to_bytes(8, "big") + i.to_bytes(8, "big")) for i in range(3)]
    assert Prf(key).stream(label, 48).tobytes() == b"".join(blocks)


def streams__should_differ_by_label_and_agree_by_prefix() -> None:
    prf = Prf(KEY)
    assert prf.stream(1, 64).tobytes() != prf.stream(2, 64).tobytes()
    assert prf.stream(1, 3 << 20)[:100].tobytes() == prf.stream(1, 100).tobytes()


@pytest.mark.parametrize("field", [M31, M61], ids=["q31", "q61"])
def elements__should_be_uniform_and_reduced(field: Field) -> None:
    elements = Prf(KEY).elements(7, 50_000, field)
    assert field.is_reduced(elements)
    assert looks_uniform(elements, field.q)


def words_equal_to_p__should_be_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    prf, real = Prf(KEY), Prf(KEY)
    labels: list[int] = []

    def stream(label: int, size: int) -> np.ndarray:
        labels.append(label)
        out = real.stream(label, size)
        if len(labels) <= 2:  # first draw, and the first second draw: all words are rejected
            out[:] = 0xFF
        return out

    monkeypatch.setattr(prf, "stream", stream)
    elements = prf.elements(3, 5, M31)
    assert M31.is_reduced(elements)
    assert len(set(labels)) == 3
    assert len(set(elements.tolist())) == 5


def wrong_key_size__should_be_refused() -> None:
    with pytest.raises(ValueError, match=str(prf_module.KEY_BYTES)):
        Prf(b"short")
