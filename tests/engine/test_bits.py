"""Packing, transposition and replicated sharings keep every bit where it belongs."""

import numpy as np
import pytest
from visard_engine.bits import ReplicatedBits, invert, pack, unpack, xor_public
from visard_engine.kernels import bitslice


def packing__should_be_undone_by_unpacking() -> None:
    rng = np.random.default_rng(0)
    for n in (1, 63, 64, 65, 200):
        bits = rng.integers(0, 2, (2, 3, n)).astype(np.bool_)
        assert (unpack(pack(bits), n) == bits).all()


@pytest.mark.parametrize("q", [31, 61])
def transpose__should_move_bit_b_of_word_i_to_row_b_bit_i(q: int) -> None:
    x = np.random.default_rng(1).integers(0, 1 << q, 150, dtype=np.uint64).astype(np.uint32 if q == 31 else np.uint64)
    planes = unpack(bitslice.transpose(x, 0, q), 150)
    assert (unpack(bitslice.transpose(x, 5, q - 1), 150) == planes[5 : q - 1]).all()
    for b in (0, 1, 17, q - 1):
        assert planes[b].tolist() == [bool(int(word) >> b & 1) for word in x]


def shared_with(party: int, pieces: list[np.ndarray]) -> np.ndarray:
    return np.stack([pieces[party], pieces[party - 1]])


def opened(shared: list[np.ndarray]) -> np.ndarray:
    assert all((shared[i][0] == shared[(i + 1) % 3][1]).all() for i in range(3))
    return np.asarray(shared[0][0] ^ shared[1][0] ^ shared[2][0])


def public_constants__should_change_the_value_once() -> None:
    rng = np.random.default_rng(2)
    pieces = list(rng.integers(0, 1 << 63, (3, 4), dtype=np.uint64))
    public = rng.integers(0, 1 << 63, 4, dtype=np.uint64)
    secret = pieces[0] ^ pieces[1] ^ pieces[2]
    shared = [shared_with(i, pieces) for i in range(3)]
    assert (opened([xor_public(i, shared[i], public) for i in range(3)]) == secret ^ public).all()
    assert (opened([invert(i, shared[i]) for i in range(3)]) == ~secret).all()


def pieces__should_be_packed_lowest_bit_first_without_stray_bits() -> None:
    bits = ReplicatedBits(np.array([[0b1101], [~0 & 0xFFFFFFFFFFFFFFFF]], np.uint64), 3)
    assert bits.pieces() == (bytes([0b101]), bytes([0b111]))
    assert repr(bits) == "<ReplicatedBits: 3 secret bits>"
