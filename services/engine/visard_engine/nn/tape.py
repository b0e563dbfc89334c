"""What a run of a program keeps to be verified: its narrow values, and where each opened value came from.

Every opened value of degree 2 is linear in products of narrow ones, by way of the program's own local operations. So a claim
about it is a claim about these products, found by going through the program backwards with random factors
(cotangents.py), as one does for derivatives; operations say how they pass factors on (``Operation.pull``).
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from typing_extensions import override

from visard_engine.claims import Folded, Source, Stream
from visard_engine.field import Elements, Field
from visard_engine.kernels import arithmetic
from visard_engine.nn import cotangents
from visard_engine.nn.cotangents import Cotangent, Outer
from visard_engine.nn.operations.base import Operation, Place, Value, Weights


@dataclass
class Tape:
    """The shares that one session's run of a program keeps, by number of value: narrow values, and what operations keep."""

    operations: Sequence[Operation]
    values: Sequence[Value]
    weights: Callable[[int], Weights]
    field: Field
    batch: int
    shares: dict[int, Elements] = dataclasses.field(default_factory=dict)
    kept: dict[int, tuple[Elements, ...]] = dataclasses.field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<Tape: {len(self.shares)} secret values>"

    def at(self, index: int) -> "Traced":
        """For operation ``index`` of the program."""
        return Traced(self, index)

    def pull(self, number: int, g: Cotangent, into: Folded) -> None:
        """Add "the sum of g times value ``number``" to a combination of claims."""
        pending = {number: g}
        for k in range(number, -1, -1):
            if (found := pending.pop(k, None)) is None:
                continue
            if not self.values[k].wide:
                into.rest = self.field.add(into.rest, cotangents.total(found, self.shares[k]))
            else:
                self.operations[k - 1].pull(found, Pull(self, k, pending, into))


@dataclass(frozen=True)
class Traced:
    """What an operation says while it runs of what it opens, and of what is to be kept (``operations.base.Trace``)."""

    tape: Tape
    index: int

    @property
    def _x(self) -> int:
        return self.tape.operations[self.index].x

    @property
    def source(self) -> Source | None:
        """Where its first operand came from, if it is wide."""
        return Used(self.tape, self._x) if self.tape.values[self._x].wide else None

    def picked(self, plus: Sequence[Place], minus: Sequence[Place], offset: Elements) -> Source | None:
        """Likewise for differences of picked places of it, (B, len(plus), C, H', W') with an offset of degree 1 beside."""
        return Picked(self.tape, self._x, plus, minus, offset) if self.tape.values[self._x].wide else None

    def keep(self, *shares: Elements) -> None:
        """Shares of degree 1 that ``pull`` will need."""
        self.tape.kept[self.index + 1] = shares


@dataclass(frozen=True)
class Pull:
    """One operation's part of going backwards: what it reads, and where factors and pairs go (``operations.base.Puller``)."""

    tape: Tape
    number: int
    pending: dict[int, Cotangent]
    into: Folded

    @property
    def field(self) -> Field:
        """The program's."""
        return self.tape.field

    @property
    def values(self) -> Sequence[Value]:
        """All values' shapes."""
        return self.tape.values

    @property
    def weights(self) -> Weights:
        """The operation's."""
        return self.tape.weights(self.number - 1)

    @property
    def kept(self) -> tuple[Elements, ...]:
        """What the operation has kept."""
        return self.tape.kept[self.number]

    def share(self, number: int) -> Elements:
        """A narrow value that the operation reads."""
        return self.tape.shares[number]

    def give(self, number: int, g: Cotangent) -> None:
        """Factors of a value that it reads."""
        before = self.pending.get(number)
        self.pending[number] = g if before is None else cotangents.merged(self.field, before, g)

    def pair(self, left: Elements, right: Elements) -> None:
        """An inner product of two shared vectors (n,)."""
        self.into.left.append(left)
        self.into.right.append(right)

    def known(self, g: Cotangent, index: int = 0) -> None:
        """Factors of what the operation has kept, of degree 1."""
        self._add(cotangents.total(g, self.kept[index]))

    def constant(self, per_channel: Elements, g: Cotangent) -> None:
        """Factors of a number (C,), or (1,) of degree at most 1, that stands at every place of a channel."""
        factors = cotangents.count(self.field, g)
        numbers = np.ascontiguousarray(np.broadcast_to(per_channel, factors.shape))
        self._add(arithmetic.products(numbers[None], factors))

    def _add(self, share: Elements) -> None:
        self.into.rest = self.field.add(self.into.rest, share)


@dataclass(frozen=True)
class Used(Source):
    """A value of the program as it is."""

    tape: Tape
    number: int

    def __repr__(self) -> str:
        return f"<Used: value {self.number}>"

    @override
    def fold(self, opened: Elements, stream: Stream, into: Folded) -> None:
        tape, number = self.tape, unflattened(self.tape, self.number)
        value = tape.values[number]
        g = cotangents.drawn(stream, value.shape, tape.batch)
        part = opened.reshape(tape.batch, *value.shape)
        into.rest = stream.field.subtract(into.rest, cotangents.total(g, part))
        tape.pull(number, g, into)


@dataclass(frozen=True)
class Picked(Source):
    """Of a picture its elements at some places, minus those at others, plus an offset of degree 1: (B, n, C, H', W')."""

    tape: Tape
    number: int
    plus: Sequence[Place]
    minus: Sequence[Place]
    offset: Elements

    def __repr__(self) -> str:
        return f"<Picked: of value {self.number}>"

    @override
    def fold(self, opened: Elements, stream: Stream, into: Folded) -> None:
        field, value = stream.field, self.tape.values[self.number]
        batch, _, channels, *size = self.offset.shape
        rho = stream.elements(channels)
        places = np.zeros((batch, *value.shape[1:]), rho.dtype)
        known = field.subtract(self.offset, opened.reshape(self.offset.shape))
        for plus, minus, part in zip(self.plus, self.minus, known.swapaxes(0, 1), strict=True):
            g = Outer(rho, stream.elements(batch * int(np.prod(size))).reshape(batch, *size))
            into.rest = field.add(into.rest, cotangents.total(g, part))
            cotangents.spread(field, g.places, plus, places)
            cotangents.spread(field, field.scale(g.places, -1), minus, places)
        self.tape.pull(self.number, Outer(rho, places), into)


def unflattened(tape: Tape, number: int) -> int:
    """The value that a wide one is a mere reshaping of: factors are drawn for its channels and places."""
    while tape.values[number].wide and tape.operations[number - 1].only_reshapes:
        number = tape.operations[number - 1].x
    return number


def pairs(operations: Sequence[Operation], values: Sequence[Value], field: Field) -> int:
    """How many pairs all claims about one image's run come to: exactly, for batches at most so many an image."""
    counting = _Counting(operations, values, lambda index: Weights(), field, 1)
    for op in operations:
        number = unflattened(counting, op.x)
        x = values[number]
        g = Outer(np.zeros(x.shape[0], field.dtype), np.zeros((1, *x.shape[1:]), field.dtype))
        for _ in range(op.claims(values[op.x])):
            counting.pull(number, g, Folded(field.encode([]), field.encode([])))
    return counting.pairs


@dataclass
class _Counting(Tape):
    """Goes backwards with factors alone, and counts the pairs."""

    pairs: int = 0

    @override
    def pull(self, number: int, g: Cotangent, into: Folded) -> None:
        pending = {number: g}
        for k in range(number, -1, -1):
            if (found := pending.pop(k, None)) is None or not self.values[k].wide:
                continue
            _Counted(self, k, pending, into).go(found)


class _Counted(Pull):
    """Only factors matter, and how many pairs there would be."""

    def go(self, g: Cotangent) -> None:
        """One operation's part."""
        assert isinstance(self.tape, _Counting)
        op = self.tape.operations[self.number - 1]
        if op.multiplies:
            self.tape.pairs += op.pairs(self.values, outer=isinstance(g, Outer))
        else:
            op.pull(g, self)

    @override
    def known(self, g: Cotangent, index: int = 0) -> None:
        pass

    @override
    def constant(self, per_channel: Elements, g: Cotangent) -> None:
        pass
