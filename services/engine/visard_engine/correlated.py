"""Correlated randomness: what the dealer writes and a party reads, value for value in the same order.

Everything is derived from three pairwise seeds (Cramer, Damgard, Ishai 2005; compare the pseudorandom correlation
generators of MP-SPDZ's and SecureNN's dealers). Where a value must be special, the dealer corrects what the seeds give: it
adds the difference to the part of one pair, and only this pair needs it. The pair changes within each value, a third of the
elements each, so that a party stores two thirds of the corrections. They are independent of every secret: each is masked by
the seed that its reader does not have.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from typing_extensions import override

from visard_engine.bits import words_for
from visard_engine.channel import PARTIES
from visard_engine.errors import KitError
from visard_engine.field import Elements, Field, Words
from visard_engine.kernels import arithmetic, bitslice
from visard_engine.kernels import correlated as kernels
from visard_engine.prf import KEY_BYTES, ROOM_BYTES, Prf
from visard_engine.prss import PairKeys, share_factors

_ALIGNED = 8  # bytes to which the part of a pair is rounded up: words can be read where they lie


def pair_bytes(n: int, itemsize: int) -> int:
    """Bytes of corrections of n dealt items that one pair holds; a party, in two pairs, holds twice as many."""
    return -(-_third(n) * itemsize // _ALIGNED) * _ALIGNED


def _third(n: int) -> int:
    return -(-n // PARTIES)


def _part(pair: int, n: int) -> slice:
    """Which of n items are corrected at a pair."""
    third = _third(n)
    return slice(min(pair * third, n), min((pair + 1) * third, n))


class Dealing:
    """The dealer's half: draws from all three seeds and appends corrections, for each pair into a buffer of its own.

    Whatever is in the buffers before.
    """

    def __init__(self, field: Field, seeds: tuple[bytes, bytes, bytes], corrections: Sequence[memoryview]) -> None:
        self.field = field
        self._prfs = [Prf(seed) for seed in seeds]
        self._corrections = corrections
        self._used = 0
        self._label = 0

    def _next_label(self) -> int:
        self._label += 1
        return self._label

    def _append(self, differences: Elements | Words) -> None:
        """What is to be added to the seeds' values, (n,), to each pair its part."""
        n, itemsize = differences.size, differences.dtype.itemsize
        size = pair_bytes(n, itemsize)
        for pair, buffer in enumerate(self._corrections):
            part = differences[_part(pair, n)]
            if self._used + size > len(buffer):
                raise KitError("the plan is larger than the space for its corrections")
            end = self._used + part.nbytes
            buffer[self._used : end] = part.data.cast("B") if part.size else b""
            buffer[end : self._used + size] = bytes(self._used + size - end)
        self._used += size

    def random(self, n: int) -> Elements:
        """n uniform elements, as the parties' seeds give them; no correction."""
        label = self._next_label()
        return kernels.sum3(*(prf.elements(label, n, self.field) for prf in self._prfs))

    def value(self, x: Elements) -> None:
        """Deal a degree-1 sharing of x, any shape."""
        label = self._next_label()
        self._append(kernels.difference(x.reshape(-1), [prf.elements(label, x.size, self.field) for prf in self._prfs]))

    def random_bits(self, words: int) -> Words:
        """Uniform packed bits, as the seeds give them; no correction."""
        label = self._next_label()
        a, b, c = (prf.words(label, words) for prf in self._prfs)
        return a ^ b ^ c

    def bits(self, planes: Words) -> None:
        """Deal a replicated XOR sharing of packed bits, any shape."""
        self._append(planes.reshape(-1) ^ self.random_bits(planes.size))

    def finish(self) -> None:
        """Check that the plan's space is filled exactly."""
        if any(self._used != len(buffer) for buffer in self._corrections):
            raise KitError("the plan is smaller than the space for its corrections")


@dataclass(frozen=True)
class DealtValue:
    """A dealt degree-1 sharing before it is combined: the summands of the party's two pairs, corrected, of one shape."""

    own: Elements
    previous: Elements

    def __getitem__(self, part: slice) -> "DealtValue":
        """Some of its elements."""
        return DealtValue(self.own[part], self.previous[part])

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
    def values(self, rows: int, n: int) -> DealtValue:
        """A sharing of rows of n dealt elements, (rows, n)."""

    def value(self, n: int) -> DealtValue:
        """A sharing of n dealt elements."""
        both = self.values(1, n)
        return DealtValue(both.own[0], both.previous[0])

    @abstractmethod
    def random_bits(self, rows: int, n: int) -> Words:
        """A replicated sharing of rows of n uniform bits, (2, rows, words)."""

    @abstractmethod
    def bits(self, rows: int, n: int) -> Words:
        """A replicated sharing of rows of n dealt bits, (2, rows, words)."""

    @property
    def count(self) -> int:
        """How many kits it joins: what is dealt once a kit comes as often."""
        return 1

    @property
    @abstractmethod
    def left(self) -> int:
        """Bytes of corrections not yet used."""

    def share(self, value: DealtValue) -> Elements:
        """This party's degree-1 shares of a dealt value, in its shape."""
        return arithmetic.combine(value.own, value.previous, *self.factors)


class SeededReader(KitReader):
    """Of one kit: two seeds, and the corrections of the two pairs, one pair's after the other's."""

    def __init__(self, field: Field, keys: PairKeys, party: int, tag: bytes, corrections: memoryview) -> None:
        super().__init__(field, party)
        self.tag = tag
        self._own, self._previous = Prf(keys.own), Prf(keys.previous)
        half = len(corrections) // 2
        self._corrections = (corrections[:half], corrections[half:])
        self._pairs = (party, (party + 2) % PARTIES)
        self._used = 0
        self._label = 0

    def _next_label(self) -> int:
        self._label += 1
        return self._label

    def _corrected(self, n: int, itemsize: int) -> Iterator[tuple[int, slice, memoryview]]:
        """Of the next n dealt items: for each of the two pairs its index here, which items, and their corrections."""
        size, start = pair_bytes(n, itemsize), self._used
        if start + size > len(self._corrections[0]):
            raise KitError("the kit ended before the run did")
        self._used += size
        for index, pair in enumerate(self._pairs):
            part = _part(pair, n)
            yield index, part, self._corrections[index][start : start + (part.stop - part.start) * itemsize]

    def _elements(self, n: int) -> tuple[Elements, Elements]:
        label = self._next_label()
        return self._own.elements(label, n, self.field), self._previous.elements(label, n, self.field)

    @override
    def random(self, n: int) -> DealtValue:
        return DealtValue(*self._elements(n))

    @override
    def values(self, rows: int, n: int) -> DealtValue:
        summands = self._elements(rows * n)
        for index, part, data in self._corrected(rows * n, self.field.itemsize):
            kernels.add_to(summands[index][part], np.frombuffer(data, self.field.dtype))
        return DealtValue(*(one.reshape(rows, n) for one in summands))

    @override
    def random_bits(self, rows: int, n: int) -> Words:
        return self._words(rows * words_for(n)).reshape(2, rows, -1)

    def _words(self, count: int) -> Words:
        label = self._next_label()
        out = np.empty(2 * count + ROOM_BYTES // 8, np.uint64)
        for pair, prf in enumerate((self._own, self._previous)):
            prf.fill(label, out[pair * count :], 8 * count)
        return out[: 2 * count].reshape(2, count)

    @override
    def bits(self, rows: int, n: int) -> Words:
        words = words_for(n)
        out = self._words(rows * words)
        for index, part, data in self._corrected(rows * words, out.itemsize):
            out[index, part] ^= np.frombuffer(data, np.uint64)
        return out.reshape(2, rows, words)

    @property
    @override
    def left(self) -> int:
        return sum(len(buffer) - self._used for buffer in self._corrections)

    @property
    @override
    def public_seed(self) -> bytes:
        # the tag makes it another one for each kit of a run
        if self._coin is None:
            raise KitError("no coin was tossed for this kit")
        return hashlib.blake2b(self._coin + self.tag, digest_size=KEY_BYTES, person=b"visard public").digest()


class JoinedReader(KitReader):
    """Of several kits of one plan, used in one run: each gives the same part of whatever is asked for.

    Which element of a section goes to which value of a run makes no difference, so the kits of single images serve for a
    batch of them.
    """

    def __init__(self, kits: Sequence[KitReader]) -> None:
        super().__init__(kits[0].field, kits[0].party)
        self._kits = kits

    @property
    @override
    def count(self) -> int:
        return len(self._kits)

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
    def values(self, rows: int, n: int) -> DealtValue:
        each = self._each(n)
        return _joined([kit.values(rows, each) for kit in self._kits])

    @override
    def random_bits(self, rows: int, n: int) -> Words:
        each = self._each(n)
        return bitslice.join([kit.random_bits(rows, each) for kit in self._kits], each)

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
    return DealtValue(
        *(np.concatenate(parts, axis=-1) for parts in zip(*((v.own, v.previous) for v in values), strict=True))
    )


def joined(kits: Sequence[KitReader]) -> KitReader:
    """Kits of one plan as one of as many times its elements."""
    return kits[0] if len(kits) == 1 else JoinedReader(kits)
