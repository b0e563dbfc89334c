"""The fold of a search: rows that match, XORed into the cells of small tables (visard_wire.cells says which, and why)."""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

Array = npt.NDArray[Any]

CHECK_WORDS = 2
PART_BITS = 5  # of a hash that choose a cell of a part


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _fold(bits: Array, labels: Array, keys: Array, parts: int, out: Array) -> None:
    """Rows are added up by which of the bits they have set: out[m] (parts << PART_BITS, words) is that of those with just m."""
    words, low = labels.shape[1], np.uint64(0xFFFFFFFF)
    for i in range(labels.shape[0]):
        chosen = 0
        for b in range(bits.shape[0]):
            chosen |= int((bits[b, i >> 6] >> np.uint64(i & 63)) & np.uint64(1)) << b
        if not chosen:
            continue
        one, two = np.uint64(0), np.uint64(0)
        for w in range(words):
            left, right = labels[i, w] & low, labels[i, w] >> np.uint64(32)
            one += ((left + keys[0, 2 * w]) & low) * ((right + keys[0, 2 * w + 1]) & low)
            two += ((left + keys[1, 2 * w]) & low) * ((right + keys[1, 2 * w + 1]) & low)
        mixed = one ^ (one >> np.uint64(33))
        mixed *= np.uint64(0xFF51AFD7ED558CCD)
        mixed ^= mixed >> np.uint64(33)
        for part in range(parts):
            cell = (part << PART_BITS) + int((mixed >> np.uint64(8 * part)) & np.uint64((1 << PART_BITS) - 1))
            row = out[chosen, cell]
            for w in range(words):
                row[w] ^= labels[i, w]
            row[words] ^= one
            row[words + 1] ^= two


def fold(bits: Array, labels: Array, keys: Array, parts: int) -> Array:
    """For each of B planes of bits (B, ceil(N / 64)) the table of the rows that it has set, (B, cells, W + 2).

    ``labels`` (N, W) are words, ``keys`` (2, 2 W) numbers of 32 bits. All planes are folded in one pass: a random bit decides
    which of 2^B tables a row goes to, without a branch for each.
    """
    planes = len(bits)
    out = np.zeros((1 << planes, parts << PART_BITS, labels.shape[1] + CHECK_WORDS), np.uint64)
    _fold(bits, labels, keys, parts, out)
    sets = np.arange(1 << planes)
    return np.stack([np.bitwise_xor.reduce(out[(sets >> b & 1).astype(np.bool_)]) for b in range(planes)])
