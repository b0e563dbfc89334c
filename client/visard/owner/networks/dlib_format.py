"""A reader of dlib's serialisation, as far as the face recognition network needs it.

Integers are one control byte (bit 7 the sign, the low 4 bits the number of bytes) and little-endian bytes; floats an
integer mantissa and an integer exponent of 2; strings a length and bytes; booleans the characters '0' and '1'; tensors
version 2, four integers n, k, nr, nc and n k nr nc little-endian float32.
Source: dlib, serialize.h, float_details.h and cuda/tensor.h (Boost licence); written from the format.
"""

import numpy as np
import numpy.typing as npt

MAX_ELEMENTS = 1 << 26


class WeightFileError(Exception):
    """A file of weights is not of the kind expected; the text says where it stopped making sense."""


class Reader:
    """A cursor over a serialised network; every read is bounds-checked and raises WeightFileError."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def fail(self, what: str) -> WeightFileError:
        """An error at the present position."""
        return WeightFileError(f"dlib weight file, byte {self._at}: {what}")

    def take(self, size: int) -> bytes:
        """The next bytes."""
        part = self._data[self._at : self._at + size]
        if len(part) != size:
            raise self.fail(f"{size} bytes expected, the file ends")
        self._at += size
        return part

    def integer(self) -> int:
        """A signed integer."""
        control = self.take(1)[0]
        size = control & 0x0F
        if size > 8:
            raise self.fail("an integer of more than 8 bytes")
        value = int.from_bytes(self.take(size), "little")
        return -value if control & 0x80 else value

    def number(self) -> float:
        """A floating-point number."""
        mantissa, exponent = self.integer(), self.integer()
        if abs(exponent) > 2000:
            return float("inf") if exponent == 32000 else float("nan")
        return mantissa * 2.0**exponent

    def text(self) -> str:
        """A string."""
        size = self.integer()
        if not 0 <= size <= 1 << 16:
            raise self.fail("a string of impossible length")
        return self.take(size).decode("latin-1")

    def expect(self, *allowed: str) -> str:
        """A string that must be one of a few."""
        found = self.text()
        if found not in allowed:
            raise self.fail(f"{' or '.join(allowed)} expected, found {found!r:.40}")
        return found

    def boolean(self) -> bool:
        """A truth value."""
        character = self.take(1)
        if character not in (b"0", b"1"):
            raise self.fail("a boolean expected")
        return character == b"1"

    def tensor(self) -> npt.NDArray[np.float32]:
        """A tensor (n, k, nr, nc)."""
        if self.integer() != 2:
            raise self.fail("a tensor of version 2 expected")
        shape = [self.integer() for _ in range(4)]
        count = int(np.prod(shape, dtype=object))
        if min(shape) < 0 or count > MAX_ELEMENTS:
            raise self.fail("a tensor of impossible size")
        return np.frombuffer(self.take(4 * count), "<f4").reshape(shape)
