"""Correlated randomness: what the dealer writes and a party reads, value for value in the same order.

Everything is derived from three pairwise seeds (Cramer, Damgard, Ishai 2005; compare the pseudorandom correlation
generators of MP-SPDZ's and SecureNN's dealers). Where a value must be special, the dealer adds one public correction an
element, the same for all parties: the value minus what the seeds give. So a kit is two seeds for each party and
corrections that are independent of every secret (each is masked by the seed that its reader does not have).
"""

from dataclasses import dataclass

import numpy as np

from services.mpc.bits import PUBLIC_PIECE
from services.mpc.errors import KitError
from services.mpc.field import Elements, Field, Words
from services.mpc.kernels import arithmetic
from services.mpc.kernels import correlated as kernels
from services.mpc.prf import Prf
from services.mpc.prss import PairKeys, share_factors


class Dealing:
    """The dealer's half: draws from all three seeds and appends corrections."""

    def __init__(self, field: Field, seeds: tuple[bytes, bytes, bytes], corrections: memoryview) -> None:
        self.field = field
        self._prfs = [Prf(seed) for seed in seeds]
        self._corrections = corrections
        self._used = 0
        self._label = 0

    def _next_label(self) -> int:
        self._label += 1
        return self._label

    def _reserve(self, size: int) -> memoryview:
        part = self._corrections[self._used : self._used + size]
        if len(part) != size:
            raise KitError("the plan is larger than the space for its corrections")
        self._used += size
        return part

    def random(self, n: int) -> Elements:
        """n uniform elements, as the parties' seeds give them; no correction."""
        label = self._next_label()
        return kernels.sum3(*(prf.elements(label, n, self.field) for prf in self._prfs))

    def value(self, x: Elements) -> None:
        """Deal a degree-1 sharing of x, shape (n,)."""
        label = self._next_label()
        out = np.frombuffer(self._reserve(x.nbytes), x.dtype)
        kernels.correct(x, [prf.elements(label, x.size, self.field) for prf in self._prfs], out)

    def random_bits(self, words: int) -> Words:
        """Uniform packed bits, as the seeds give them; no correction."""
        label = self._next_label()
        a, b, c = (prf.words(label, words) for prf in self._prfs)
        return a ^ b ^ c

    def bits(self, planes: Words) -> None:
        """Deal a replicated XOR sharing of packed bits, any shape."""
        label = self._next_label()
        out = np.frombuffer(self._reserve(planes.nbytes), np.uint64)
        a, b, c = (prf.words(label, planes.size) for prf in self._prfs)
        np.bitwise_xor(planes.reshape(-1), a, out=out)
        out ^= b
        out ^= c

    def finish(self) -> None:
        """Check that the plan's space is filled exactly."""
        if self._used != len(self._corrections):
            raise KitError("the plan is smaller than the space for its corrections")


@dataclass(frozen=True)
class DealtValue:
    """A dealt degree-1 sharing before it is combined: what the two seeds give and the public correction, (n,) each."""

    own: Elements
    previous: Elements
    correction: Elements | None

    def __repr__(self) -> str:
        return f"<DealtValue: {self.own.size} secret elements>"


class KitReader:
    """A party's half: what the party can know of the same values, in the same order."""

    def __init__(self, field: Field, keys: PairKeys, party: int, corrections: memoryview) -> None:
        self.field = field
        self.party = party
        self.factors = share_factors(field, party)
        self._own, self._previous = Prf(keys.own), Prf(keys.previous)
        self._corrections = corrections
        self._used = 0
        self._label = 0

    def _next_label(self) -> int:
        self._label += 1
        return self._label

    def _take(self, size: int) -> memoryview:
        part = self._corrections[self._used : self._used + size]
        if len(part) != size:
            raise KitError("the kit ended before the run did")
        self._used += size
        return part

    def _elements(self, n: int) -> tuple[Elements, Elements]:
        label = self._next_label()
        return self._own.elements(label, n, self.field), self._previous.elements(label, n, self.field)

    def random(self, n: int) -> DealtValue:
        """A sharing of n uniform elements."""
        return DealtValue(*self._elements(n), None)

    def value(self, n: int) -> DealtValue:
        """A sharing of n dealt elements."""
        return DealtValue(*self._elements(n), np.frombuffer(self._take(n * self.field.itemsize), self.field.dtype))

    def random_bits(self, words: int) -> Words:
        """A replicated sharing of uniform bits, (2, words)."""
        label = self._next_label()
        return np.stack([self._own.words(label, words), self._previous.words(label, words)])

    def bits(self, rows: int, words: int) -> Words:
        """A replicated sharing of dealt bits, (2, rows, words)."""
        out = self.random_bits(rows * words)
        correction = np.frombuffer(self._take(8 * rows * words), np.uint64)
        index = (self.party - PUBLIC_PIECE) % 3
        if index < 2:
            out[index] ^= correction
        return out.reshape(2, rows, words)

    def share(self, value: DealtValue) -> Elements:
        """This party's degree-1 shares of a dealt value."""
        if value.correction is None:
            return arithmetic.combine(value.own, value.previous, *self.factors)
        return kernels.shares(value.own, value.previous, value.correction, self.factors)

    @property
    def left(self) -> int:
        """Bytes of corrections not yet used."""
        return len(self._corrections) - self._used
