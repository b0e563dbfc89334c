"""Sums, products with public and secret numbers, and what only moves elements; all of it local."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from typing_extensions import override

from visard_engine.field import Elements, Field
from visard_engine.kernels import channels
from visard_engine.nn import cotangents
from visard_engine.nn.cotangents import Cotangent, Dense, Outer
from visard_engine.nn.operations.base import (
    MAX_SHIFT,
    Binary,
    Local,
    Pair,
    Puller,
    Trace,
    Value,
    Weights,
    offset,
    picture,
    require,
)
from visard_engine.session import Session


@dataclass(frozen=True)
class Add(Binary):
    """x + y, of one shape and scale; wide if one of them is."""

    kind = "add"

    def infer(self, values: Sequence[Value]) -> Value:
        """Shape and scale stay; wide if one of them is."""
        x, y = values[self.x], values[self.y]
        require(x.shape == y.shape and x.scale == y.scale, "two values of one shape and scale")
        return Value(x.shape, x.scale, x.wide or y.wide)

    def local(self, field: Field, operands: list[Elements], weights: Weights) -> Elements:
        """Two of (B, ...) to the same shape."""
        return field.add(*operands)

    async def run(self, s: Session, operands: list[Elements], weights: Weights, trace: Trace) -> Elements:
        """``local`` as it stands: one pass over memory is not worth a change of thread."""
        return self.local(s.field, operands, weights)

    @override
    def pull(self, g: Cotangent, to: Puller) -> None:
        for source in self.sources:
            to.give(source, g)


@dataclass(frozen=True)
class Product(Binary):
    """x times y, both secret and narrow, to wide.

    y has the shape of x, or one number for each channel of a picture, (C, 1, 1) or (C,), or for all of a flat x, (1,).
    """

    kind = "product"
    multiplies = True

    def infer(self, values: Sequence[Value]) -> Value:
        """The shape of x; scales add up."""
        x, y = values[self.x], values[self.y]
        require(not x.wide and not y.wide, "two narrow values")
        count = x.shape[0]
        fewer = ((count, 1, 1), (count,)) if len(x.shape) == 3 else ((1,),)
        require(y.shape in (x.shape, *fewer), "a second value of the same shape, or one number a channel")
        return Value(x.shape, x.scale + y.scale, wide=True)

    def multiply_adds(self, values: Sequence[Value]) -> int:
        """One an element of x."""
        return values[self.x].size

    def local(self, field: Field, operands: list[Elements], weights: Weights) -> Elements:
        """Of degree 2, in the shape of x."""
        x, y = operands
        if x.shape == y.shape:
            return field.multiply(x, y)
        return channels.affine(x, y.reshape(len(y), -1))  # one number a channel, or one in all

    @override
    def pairs(self, values: Sequence[Value], *, outer: bool) -> int:
        """As many as y has numbers."""
        return values[self.y].size

    @override
    def pull(self, g: Cotangent, to: Puller) -> None:
        x, y = to.share(self.x), to.share(self.y)
        if x.shape == y.shape:
            weighted = to.field.multiply(x, g.dense().factors)
        else:
            weighted = cotangents.by_image_and_channel(g, x)
            if len(to.values[self.x].shape) == 1:  # a flat x has one number for all of its features
                weighted = np.concatenate([cotangents.added(row) for row in weighted])
        to.pair(weighted.reshape(-1), y.reshape(-1))


@dataclass(frozen=True)
class Align(Local):
    """The same real numbers with ``bits`` more fractional bits: integers times 2^bits."""

    kind = "align"
    bits: int

    def infer(self, values: Sequence[Value]) -> Value:
        """Shape and width stay; the scale grows by ``bits``."""
        x = values[self.x]
        require(1 <= self.bits <= 60, "1 to 60 bits")
        return Value(x.shape, x.scale + self.bits, x.wide)

    def local(self, field: Field, operands: list[Elements], weights: Weights) -> Elements:
        """(B, ...) to the same shape."""
        return field.scale(operands[0], 1 << self.bits)

    @override
    def pull(self, g: Cotangent, to: Puller) -> None:
        to.give(self.x, g.scaled(to.field, 1 << self.bits))


@dataclass(frozen=True)
class Times(Local):
    """A public factor: real numbers times factor / 2^bits, integers times factor."""

    kind = "times"
    factor: int
    bits: int

    def infer(self, values: Sequence[Value]) -> Value:
        """Shape and width stay; the scale grows by ``bits``."""
        x = values[self.x]
        require(0 <= self.bits <= MAX_SHIFT, f"0 to {MAX_SHIFT} bits")
        return Value(x.shape, x.scale + self.bits, x.wide)

    def local(self, field: Field, operands: list[Elements], weights: Weights) -> Elements:
        """(B, ...) to the same shape."""
        return field.scale(operands[0], self.factor)

    @override
    def pull(self, g: Cotangent, to: Puller) -> None:
        to.give(self.x, g.scaled(to.field, self.factor))


@dataclass(frozen=True)
class Offset(Local):
    """A public summand: integers plus value * 2^shift."""

    kind = "offset"
    value: int
    shift: int

    def infer(self, values: Sequence[Value]) -> Value:
        """Nothing changes but the values."""
        require(0 <= self.shift <= MAX_SHIFT, f"0 to {MAX_SHIFT} bits to shift")
        return values[self.x]

    @property
    def integer(self) -> int:
        """What is added to each integer."""
        return self.value << self.shift

    def local(self, field: Field, operands: list[Elements], weights: Weights) -> Elements:
        """(B, ...) to the same shape."""
        return offset(field, operands[0], self.integer)

    @override
    def pull(self, g: Cotangent, to: Puller) -> None:
        to.give(self.x, g)
        to.constant(to.field.encode([0]) + to.field.element(self.integer), g)


@dataclass(frozen=True)
class Concat(Binary):
    """The channels (or features) of x, then those of y; one scale; wide if one of them is."""

    kind = "concat"

    def infer(self, values: Sequence[Value]) -> Value:
        """Channels add up; the scale stays, and it is wide if one of them is."""
        x, y = values[self.x], values[self.y]
        require(x.shape[1:] == y.shape[1:] and len(x.shape) == len(y.shape), "two values of one height and width")
        require(x.scale == y.scale, "two values of one scale")
        return Value((x.shape[0] + y.shape[0], *x.shape[1:]), x.scale, x.wide or y.wide)

    def local(self, field: Field, operands: list[Elements], weights: Weights) -> Elements:
        """(B, C, ...) and (B, C', ...) to (B, C + C', ...)."""
        return np.concatenate(operands, axis=1)

    @override
    def pull(self, g: Cotangent, to: Puller) -> None:
        first = to.values[self.x].shape[0]
        if isinstance(g, Outer):
            to.give(self.x, Outer(g.channels[:first], g.places))
            to.give(self.y, Outer(g.channels[first:], g.places))
        else:
            to.give(self.x, Dense(np.ascontiguousarray(g.factors[:, :first])))
            to.give(self.y, Dense(np.ascontiguousarray(g.factors[:, first:])))


@dataclass(frozen=True)
class Pad(Local):
    """Zeros after the last channel, row and column, and before the first row and column.

    With ``fill`` the channels that are added hold that public integer at every place, and nothing else is added.
    """

    kind = "pad"
    channels: int
    rows: int
    columns: int
    top: int = 0
    left: int = 0
    fill: int = 0

    def infer(self, values: Sequence[Value]) -> Value:
        """(C, H, W) grows by what is added; scale and width stay."""
        x = picture(values[self.x])
        around = self.rows, self.columns, self.top, self.left
        require(min(self.channels, *around) >= 0, "no negative padding")
        require(not self.fill or not any(around), "zeros around rows and columns")
        c, h, w = x.shape
        shape = (c + self.channels, self.top + h + self.rows, self.left + w + self.columns)
        return Value(shape, x.scale, x.wide)

    @property
    def widths(self) -> tuple[Pair, Pair, Pair, Pair]:
        """What is added before and after each axis of (B, C, H, W), as numpy.pad takes it."""
        return (0, 0), (0, self.channels), (self.top, self.rows), (self.left, self.columns)

    def local(self, field: Field, operands: list[Elements], weights: Weights) -> Elements:
        """(B, C, H, W) to the larger shape; a public number has itself as every party's share."""
        return np.pad(operands[0], self.widths, constant_values=field.element(self.fill))

    @override
    def pull(self, g: Cotangent, to: Puller) -> None:
        c, h, w = to.values[self.x].shape
        rows, columns = slice(self.top, self.top + h), slice(self.left, self.left + w)
        if isinstance(g, Outer):
            to.give(self.x, Outer(g.channels[:c], np.ascontiguousarray(g.places[:, rows, columns])))
            added: Cotangent = Outer(g.channels[c:], g.places)
        else:
            to.give(self.x, Dense(np.ascontiguousarray(g.factors[:, :c, rows, columns])))
            added = Dense(np.ascontiguousarray(g.factors[:, c:]))
        if self.fill and self.channels:
            to.constant(to.field.encode([self.fill]), added)


@dataclass(frozen=True)
class Flatten(Local):
    """All axes of an image's value into one, in the order that it has in memory."""

    kind = "flatten"
    only_reshapes = True

    def infer(self, values: Sequence[Value]) -> Value:
        """Any shape to (D,); scale and width stay."""
        x = values[self.x]
        return Value((x.size,), x.scale, x.wide)

    def local(self, field: Field, operands: list[Elements], weights: Weights) -> Elements:
        """(B, ...) to (B, D): a view, not a copy."""
        return operands[0].reshape(len(operands[0]), -1)

    @override
    def pull(self, g: Cotangent, to: Puller) -> None:
        factors = g.dense().factors
        to.give(self.x, Dense(factors.reshape(len(factors), *to.values[self.x].shape)))
