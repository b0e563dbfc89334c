"""Activations, and truncation, which drops the bits that products have added; all of them take rounds."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from typing_extensions import override

from visard_engine.field import Elements
from visard_engine.kernels import channels
from visard_engine.nn import cotangents
from visard_engine.nn.cotangents import Cotangent
from visard_engine.nn.operations.base import (
    Interactive,
    Puller,
    Shape,
    Trace,
    Value,
    Weights,
    offset,
    picture,
    require,
    require_weight_bits,
)
from visard_engine.protocols import maximum, relu, truncation
from visard_engine.sections import Section
from visard_engine.session import Session


@dataclass(frozen=True)
class Dropping(Interactive):
    """Compares x with zero, and drops its lowest ``drop`` bits in the same opening."""

    truncates = True
    drop: int

    def bound(self, q: int) -> float:
        """It is opened as 2x + r (protocols/truncation.py)."""
        return 2.0 ** (q - 3)

    def sections(self, x: Value, batch: int) -> Iterator[Section]:
        """A ReLU an element, exact where nothing is dropped."""
        n = batch * x.size
        yield Section("relu", n, self.drop) if self.drop else Section("max", n)


@dataclass(frozen=True)
class Relu(Dropping):
    """max(0, x), dropping the lowest ``drop`` bits (0: exact); the result is narrow."""

    kind = "relu"

    def infer(self, values: Sequence[Value]) -> Value:
        """The shape stays; the scale shrinks by what is dropped."""
        return _dropped(values[self.x], self.drop, 0)

    async def run(self, s: Session, operands: list[Elements], weights: Weights, trace: Trace) -> Elements:
        """Any shape to the same; rounds and bytes of protocols/relu.py."""
        z = operands[0].reshape(-1)
        found = await (
            relu.relu(s, z, self.drop, trace.source) if self.drop else maximum.exact_relu(s, z, trace.source)
        )
        return found.reshape(operands[0].shape)


@dataclass(frozen=True)
class Rectify(Dropping):
    """For each channel max(0, t), then min(0, t), for t = x without its lowest ``drop`` bits: twice the channels, narrow.

    A PReLU is linear in these two, so the convolution after it can do that part.
    """

    kind = "rectify"

    def infer(self, values: Sequence[Value]) -> Value:
        """(C, H, W) to (2 C, H, W); the scale shrinks by what is dropped."""
        x = picture(values[self.x])
        kept = _dropped(x, self.drop, 1 if x.wide else 0)
        return Value((2 * x.shape[0], *x.shape[1:]), kept.scale, wide=False)

    async def run(self, s: Session, operands: list[Elements], weights: Weights, trace: Trace) -> Elements:
        """(B, C, H, W) to (B, 2 C, H, W); rounds and bytes of protocols/relu.py."""
        x = operands[0]
        positive, kept = await _both(s, x, self.drop, trace)
        return np.stack([positive, s.field.subtract(kept, positive)], axis=2).reshape(len(x), -1, *x.shape[2:])


@dataclass(frozen=True)
class Prelu(Dropping):
    """max(0, t) + a min(0, t) for t = x without its lowest ``drop`` bits and a secret slope a for each channel; wide.

    One comparison and one opening give both t and max(0, t), so it costs what a ReLU costs and a truncation later.
    """

    kind = "prelu"
    multiplies = True
    weight_bits: int

    def infer(self, values: Sequence[Value]) -> Value:
        """The shape stays; the scale shrinks by what is dropped and grows by the slopes' bits."""
        x = values[self.x]
        require_weight_bits(self.weight_bits)
        kept = _dropped(x, self.drop, 1 if x.wide else 0)
        return Value(x.shape, kept.scale + self.weight_bits, wide=True)

    def weight_shapes(self, values: Sequence[Value]) -> tuple[Shape, ...]:
        """Slopes (C,), one a channel or feature."""
        return ((values[self.x].shape[0],),)

    def multiply_adds(self, values: Sequence[Value]) -> int:
        """One an element."""
        return values[self.x].size

    async def run(self, s: Session, operands: list[Elements], weights: Weights, trace: Trace) -> Elements:
        """(B, C, ...) to the same shape, of degree 2; rounds and bytes of protocols/relu.py."""
        assert weights.factor is not None
        x = operands[0]
        positive, kept = await _both(s, x, self.drop, trace)
        trace.keep(positive, s.field.subtract(kept, positive))
        unit = s.field.element(1 << self.weight_bits)
        return await s.compute(x.size, channels.lean, kept, positive, weights.factor, unit)

    @override
    def pairs(self, values: Sequence[Value], *, outer: bool) -> int:
        """A slope and the sum of what it multiplies, for each channel."""
        return values[self.x].shape[0]

    @override
    def pull(self, g: Cotangent, to: Puller) -> None:
        assert to.weights.factor is not None
        _, negative = to.kept
        to.pair(to.weights.factor, cotangents.by_channel(g, negative))
        to.known(g.scaled(to.field, 1 << self.weight_bits))


@dataclass(frozen=True)
class Truncate(Dropping):
    """Drop the lowest ``drop`` bits; the result is narrow."""

    kind = "truncate"

    def infer(self, values: Sequence[Value]) -> Value:
        """The shape stays; the scale shrinks by what is dropped."""
        return _dropped(values[self.x], self.drop, 1)

    def sections(self, x: Value, batch: int) -> Iterator[Section]:
        """A truncation an element: nothing is compared."""
        yield Section("truncate", batch * x.size, self.drop)

    async def run(self, s: Session, operands: list[Elements], weights: Weights, trace: Trace) -> Elements:
        """Any shape to the same; one round (protocols/truncation.py)."""
        return (await truncation.truncate(s, operands[0].reshape(-1), self.drop, trace.source)).reshape(
            operands[0].shape
        )


@dataclass(frozen=True)
class Clip(Interactive):
    """min(x, limit): exact."""

    kind = "clip"
    limit: int

    def infer(self, values: Sequence[Value]) -> Value:
        """Nothing changes but the values."""
        x = values[self.x]
        require(not x.wide, "a narrow input")
        return x

    def bound(self, q: int) -> float:
        """The difference to the limit is compared."""
        return 2.0 ** (q - 4)

    def sections(self, x: Value, batch: int) -> Iterator[Section]:
        """An exact ReLU an element."""
        yield Section("max", batch * x.size)

    async def run(self, s: Session, operands: list[Elements], weights: Weights, trace: Trace) -> Elements:
        """x - max(0, x - limit), any shape to the same; rounds and bytes of protocols/maximum.py."""
        x = operands[0]
        above = await maximum.exact_relu(s, offset(s.field, x, -self.limit).reshape(-1), None)
        return s.field.subtract(x, above.reshape(x.shape))


def _dropped(x: Value, drop: int, least: int) -> Value:
    """The narrow result of dropping bits."""
    require(least <= drop <= min(x.scale, 57), f"{least} to {min(x.scale, 57)} bits to drop")
    return Value(x.shape, x.scale - drop, wide=False)


async def _both(s: Session, x: Elements, drop: int, trace: Trace) -> tuple[Elements, Elements]:
    """max(0, t) and t, for t = x without its lowest bits, in the shape of x."""
    if not drop:
        return (await maximum.exact_relu(s, x.reshape(-1), trace.source)).reshape(x.shape), x
    positive, kept = await relu.relu_and_truncated(s, x.reshape(-1), drop, trace.source)
    return positive.reshape(x.shape), kept.reshape(x.shape)
