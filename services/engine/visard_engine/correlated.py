"""Correlated randomness: what the dealer writes and a party reads, value for value in the same order.

Everything is derived from three pairwise seeds (Cramer, Damgard, Ishai 2005; compare the pseudorandom correlation
generators of MP-SPDZ's and SecureNN's dealers). Where a value must be special, the dealer adds one public correction an
element, the same for all parties: the value minus what the seeds give. So a kit is two seeds for each party and
corrections that are independent of every secret (each is masked by the seed that its reader does not have).
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from typing_extensions import override

from visard_engine.bits import PUBLIC_PIECE, words_for
from visard_engine.errors import KitError
from visard_engine.field import Elements, Field, Words
from visard_engine.kernels import arithmetic, bitslice
from visard_engine.kernels import correlated as kernels
from visard_engine.prf import KEY_BYTES, Prf
from visard_engine.prss import PairKeys, share_factors

HASHED = 4096  # bytes of corrections that are hashed: they depend on all three seeds from the first on


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


class KitReader(ABC):
    """A party's half: what the party can know of the same values, in the same order."""

    def __init__(self, field: Field, party: int) -> None:
        self.field = field
        self.party = party
        self.factors = share_factors(field, party)
        self._public_label = 0
        self._coin: bytes | None = None

    def toss(self, coin: bytes) -> None:
        """The run's coin: bytes that the three parties have drawn together after its inputs were handed in."""
        self._coin = coin

    @property
    @abstractmethod
    def public_seed(self) -> bytes:
        """16 bytes, the same at all three parties, that depend on the coin; raises KitError before it is tossed."""

    def public_elements(self, n: int) -> Elements:
        """n uniform elements, the same at all three parties, that nobody knew before the inputs were handed in."""
        return self._public.elements(self._next_public(), n, self.field)

    def public_words(self, n: int) -> Words:
        """n uniform words, likewise."""
        return self._public.words(self._next_public(), n)

    def _next_public(self) -> int:
        self._public_label += 1
        return self._public_label

    @cached_property
    def _public(self) -> Prf:
        return Prf(self.public_seed)

    @abstractmethod
    def random(self, n: int) -> DealtValue:
        """A sharing of n uniform elements."""

    @abstractmethod
    def value(self, n: int) -> DealtValue:
        """A sharing of n dealt elements."""

    @abstractmethod
    def random_bits(self, n: int) -> Words:
        """A replicated sharing of n uniform bits, (2, words)."""

    @abstractmethod
    def bits(self, rows: int, n: int) -> Words:
        """A replicated sharing of rows of n dealt bits, (2, rows, words)."""

    @property
    @abstractmethod
    def left(self) -> int:
        """Bytes of corrections not yet used."""

    def share(self, value: DealtValue) -> Elements:
        """This party's degree-1 shares of a dealt value."""
        if value.correction is None:
            return arithmetic.combine(value.own, value.previous, *self.factors)
        return kernels.shares(value.own, value.previous, value.correction, self.factors)


class SeededReader(KitReader):
    """Of one kit: two seeds and corrections."""

    def __init__(self, field: Field, keys: PairKeys, party: int, corrections: memoryview) -> None:
        super().__init__(field, party)
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

    @override
    def random(self, n: int) -> DealtValue:
        return DealtValue(*self._elements(n), None)

    @override
    def value(self, n: int) -> DealtValue:
        return DealtValue(*self._elements(n), np.frombuffer(self._take(n * self.field.itemsize), self.field.dtype))

    @override
    def random_bits(self, n: int) -> Words:
        return self._words(words_for(n))

    def _words(self, count: int) -> Words:
        label = self._next_label()
        return np.stack([self._own.words(label, count), self._previous.words(label, count)])

    @override
    def bits(self, rows: int, n: int) -> Words:
        words = words_for(n)
        out = self._words(rows * words)
        correction = np.frombuffer(self._take(8 * rows * words), np.uint64)
        index = (self.party - PUBLIC_PIECE) % 3
        if index < 2:
            out[index] ^= correction
        return out.reshape(2, rows, words)

    @property
    @override
    def left(self) -> int:
        return len(self._corrections) - self._used

    @property
    @override
    def public_seed(self) -> bytes:
        # the kit's own corrections make it another one for each kit of a run
        if self._coin is None:
            raise KitError("no coin was tossed for this kit")
        some = self._coin + self._corrections[:HASHED]
        return hashlib.blake2b(some, digest_size=KEY_BYTES, person=b"visard public").digest()


class JoinedReader(KitReader):
    """Of several kits of one plan, used in one run: each gives the same part of whatever is asked for.

    Which element of a section goes to which value of a run makes no difference, so the kits of single images serve for a
    batch of them.
    """

    def __init__(self, kits: Sequence[KitReader]) -> None:
        super().__init__(kits[0].field, kits[0].party)
        self._kits = kits

    def _each(self, n: int) -> int:
        each, rest = divmod(n, len(self._kits))
        if rest:
            raise KitError(f"{len(self._kits)} kits cannot give {n} elements in equal parts")
        return each

    @override
    def random(self, n: int) -> DealtValue:
        each = self._each(n)
        return _joined([kit.random(each) for kit in self._kits])

    @override
    def value(self, n: int) -> DealtValue:
        each = self._each(n)
        return _joined([kit.value(each) for kit in self._kits])

    @override
    def random_bits(self, n: int) -> Words:
        each = self._each(n)
        return bitslice.join([kit.random_bits(each) for kit in self._kits], each)

    @override
    def bits(self, rows: int, n: int) -> Words:
        each = self._each(n)
        return bitslice.join([kit.bits(rows, each) for kit in self._kits], each)

    @property
    @override
    def left(self) -> int:
        return sum(kit.left for kit in self._kits)

    @property
    @override
    def public_seed(self) -> bytes:
        seeds = b"".join(kit.public_seed for kit in self._kits)
        return hashlib.blake2b(seeds, digest_size=KEY_BYTES, person=b"visard joined").digest()


def _joined(values: list[DealtValue]) -> DealtValue:
    corrections = [value.correction for value in values if value.correction is not None]
    own, previous = (np.concatenate(parts) for parts in zip(*((v.own, v.previous) for v in values), strict=True))
    return DealtValue(own, previous, np.concatenate(corrections) if corrections else None)


def joined(kits: Sequence[KitReader]) -> KitReader:
    """Kits of one plan as one of as many times its elements."""
    return kits[0] if len(kits) == 1 else JoinedReader(kits)
