"""Packed bits, and replicated XOR sharings of them.

Bits lie 64 a word, lowest first, one plane (a row of words) a bit position. A replicated sharing of planes is an array
``(2, ..., words)``: b = b_0 ^ b_1 ^ b_2, and party i holds b_i (index 0, "own") and b_(i-1) (index 1, "previous").
Source: T. Araki et al., "High-throughput semi-honest secure three-party computation with an honest majority", CCS 2016.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from visard_engine.field import Words

PUBLIC_PIECE = 0  # public constants are added to piece b_0, which parties 0 and 1 hold


def words_for(n: int) -> int:
    """Words that n bits take."""
    return -(-n // 64)


def pack(bits: npt.NDArray[np.bool_]) -> Words:
    """Booleans (..., n) to words (..., words_for(n)); the bits beyond n are zero."""
    n = bits.shape[-1]
    padded = np.zeros((*bits.shape[:-1], words_for(n) * 64), np.bool_)
    padded[..., :n] = bits
    return np.packbits(padded, axis=-1, bitorder="little").view(np.uint64)


def unpack(words: Words, n: int) -> npt.NDArray[np.bool_]:
    """Words (..., w) to the first n booleans (..., n)."""
    octets = np.ascontiguousarray(words).view(np.uint8)
    return np.unpackbits(octets, axis=-1, count=n, bitorder="little").astype(np.bool_)


def xor_public(party: int, shared: Words, public: Words) -> Words:
    """Sharing of shared ^ public."""
    out = shared.copy()
    index = (party - PUBLIC_PIECE) % 3  # own piece of party 0, previous piece of party 1
    if index < 2:
        out[index] ^= public
    return out


def invert(party: int, shared: Words) -> Words:
    """Sharing of the opposite bits."""
    return xor_public(party, shared, np.full(shared.shape[1:], ~np.uint64(0)))


@dataclass(frozen=True)
class ReplicatedBits:
    """A vector of secret bits: this party's two pieces, ``(2, words)``."""

    shared: Words
    count: int

    def pieces(self) -> tuple[bytes, bytes]:
        """Own and previous piece, packed into bytes, lowest bit first; bits beyond ``count`` are zero."""
        kept = pack(unpack(self.shared, self.count))
        size = -(-self.count // 8)
        return kept[0].tobytes()[:size], kept[1].tobytes()[:size]

    def __repr__(self) -> str:
        return f"<ReplicatedBits: {self.count} secret bits>"
