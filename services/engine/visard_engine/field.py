"""Prime fields F_p with a Mersenne prime p = 2^q - 1, as native unsigned arrays.

An element is a word below p: ``uint32`` for q = 31, ``uint64`` for q = 61. The storage type names the field everywhere
in the engine, so that one kernel source serves both (see visard_engine.kernels.arithmetic). A signed integer x with
|x| < p / 2 is represented by x mod p.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from visard_engine.kernels import arithmetic

Elements = npt.NDArray[Any]  # uint32 (q = 31) or uint64 (q = 61), every word below p
Words = npt.NDArray[np.uint64]  # packed bits, 64 a word, lowest first
Bools = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Field:
    """F_p for p = 2^q - 1."""

    q: int

    @cached_property
    def p(self) -> int:
        """The prime."""
        return (1 << self.q) - 1

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """Storage type of an element, little-endian on the wire."""
        return np.dtype("<u4") if self.q == 31 else np.dtype("<u8")

    @property
    def itemsize(self) -> int:
        """Bytes of an element."""
        return self.dtype.itemsize

    def element(self, x: int) -> Any:
        """The scalar x mod p, in the storage type."""
        return self.dtype.type(x % self.p)

    def inverse(self, x: int) -> Any:
        """The scalar 1 / x."""
        return self.element(pow(x, -1, self.p))

    def encode(self, x: npt.ArrayLike) -> Elements:
        """Signed integers (|x| < p / 2) to elements, same shape."""
        integers = np.asarray(x, dtype=np.int64)
        return np.where(integers < 0, integers + self.p, integers).astype(self.dtype)

    def decode(self, x: Elements) -> Integers:
        """Elements to the signed integers of least absolute value, same shape."""
        integers = x.astype(np.int64)
        return np.where(integers > self.p // 2, integers - self.p, integers)

    def add(self, a: Elements, b: Elements) -> Elements:
        """a + b, elementwise; shapes must be equal."""
        return arithmetic.add(a, b)

    def subtract(self, a: Elements, b: Elements) -> Elements:
        """a - b, elementwise; shapes must be equal."""
        return arithmetic.subtract(a, b)

    def multiply(self, a: Elements, b: Elements) -> Elements:
        """a * b, elementwise; shapes must be equal."""
        return arithmetic.multiply(a, b)

    def scale(self, a: Elements, factor: int) -> Elements:
        """a times a public integer."""
        return arithmetic.scale(a, self.element(factor))

    def is_reduced(self, a: Elements) -> bool:
        """Whether every word is below p."""
        return bool((a < self.dtype.type(self.p)).all())


M31 = Field(31)
M61 = Field(61)


def field_of(q: int) -> Field:
    """The field with Mersenne exponent q (31 or 61)."""
    if q not in (31, 61):
        raise ValueError(f"the field exponent must be 31 or 61, not {q}")
    return M31 if q == 31 else M61
