"""A pseudorandom function with long outputs: AES-128 in counter mode (NIST SP 800-38A).

The label is the upper half of the counter block, so that streams under one key never overlap; a stream is at most
2^64 blocks. About 8 GB/s a core where the processor has AES instructions.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from visard_engine.field import Elements, Field, Words
from visard_engine.kernels import arithmetic

KEY_BYTES = 16
_BLOCK = 16
ROOM_BYTES = _BLOCK  # behind what is filled
_ZEROS = bytes(1 << 20)
_REDRAW = 1 << 63  # labels of second draws have the top bit set; callers use the others


class Prf:
    """AES-CTR under one 16-byte key; of one thread at a time, for it keeps one context whose nonce it sets anew."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a PRF key has {KEY_BYTES} bytes")
        self._encryptor = Cipher(algorithms.AES(key), modes.CTR(bytes(_BLOCK))).encryptor()

    def stream(self, label: int, size: int) -> npt.NDArray[np.uint8]:
        """The first ``size`` pseudorandom bytes under a label below 2^64."""
        out = np.empty(size + ROOM_BYTES, np.uint8)
        self.fill(label, out, size)
        return out[:size]

    def fill(self, label: int, out: npt.NDArray[Any], size: int) -> None:
        """Write them to the beginning of ``out``, which must be ROOM_BYTES longer: the library wants room for a block."""
        encryptor, view = self._encryptor, out.data.cast("B")
        encryptor.reset_nonce(label.to_bytes(8, "big") + bytes(8))
        for start in range(0, size, len(_ZEROS)):
            n = min(len(_ZEROS), size - start)
            encryptor.update_into(memoryview(_ZEROS)[:n], view[start:])

    def words(self, label: int, n: int) -> Words:
        """n uniform 64-bit words."""
        return self.stream(label, 8 * n).view(np.uint64)

    def elements(self, label: int, n: int, field: Field) -> Elements:
        """n uniform elements of F_p, exactly: the word 2^q - 1, which is no element, is drawn again.

        Without the second draw zero would come twice as often: a distance of n / 2^31 for q = 31.
        """
        out = self.stream(label, field.itemsize * n).view(field.dtype)
        mask = field.dtype.type(field.p)
        label |= _REDRAW
        rejected = np.flatnonzero(out == mask) if arithmetic.mask_words(out, mask) else ()
        while len(rejected):
            fresh = self.stream(label, field.itemsize * len(rejected)).view(field.dtype) & mask
            out[rejected] = fresh
            rejected = rejected[fresh == mask]
            label = (label + (1 << 40)) | _REDRAW
        return out
