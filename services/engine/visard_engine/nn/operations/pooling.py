"""Pooling: the largest of each window, its mean, its sum; windows without padding."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from typing_extensions import override

from visard_engine.field import Elements, Field
from visard_engine.nn import cotangents
from visard_engine.nn.cotangents import Cotangent, Dense, Outer
from visard_engine.nn.operations.base import (
    Interactive,
    Local,
    Pair,
    Puller,
    Trace,
    Value,
    Weights,
    picture,
    require,
    window,
)
from visard_engine.protocols import maximum
from visard_engine.sections import Section
from visard_engine.session import Session


@dataclass(frozen=True)
class MaxPool(Interactive):
    """The largest of each window, without padding.

    ``spare`` says that the lowest bits of its result are dropped by whoever reads it: then elements need not be told apart
    that differ by a few last places of what is left (protocols/comparison.py).
    """

    kind = "max_pool"
    kernel: Pair
    stride: Pair
    spare: int = 0

    def infer(self, values: Sequence[Value]) -> Value:
        """(C, H, W) to (C, H', W'); scale and width stay."""
        require(0 <= self.spare <= min(values[self.x].scale, 57), "no more spare bits than the scale has")
        return _pooled(values[self.x], self.kernel, self.stride, 0)

    def bound(self, q: int) -> float:
        """Differences of two elements are compared."""
        return 2.0 ** (q - 4)

    def sections(self, x: Value, batch: int) -> Iterator[Section]:
        """A comparison a pair, at each stage along rows and then along columns."""
        for pairs in maximum.pool_comparisons((batch, *x.shape), self.kernel, self.stride):
            yield Section("max", pairs, self.spare)

    async def run(self, s: Session, operands: list[Elements], weights: Weights, trace: Trace) -> Elements:
        """(B, C, H, W) to (B, C, H', W'); the rounds of an exact ReLU a stage (protocols/maximum.py)."""
        pooled = await maximum.max_pool(s, operands[0], self.kernel, self.stride, self.spare, trace.picked)
        trace.keep(pooled.offset)
        return pooled.share

    @override
    def claims(self, x: Value) -> int:
        """One a stage."""
        return len(maximum.pool_comparisons((1, *x.shape), self.kernel, self.stride)) if x.wide else 0

    @override
    def pull(self, g: Cotangent, to: Puller) -> None:
        """Each result is one element of its window, always the same, plus what is known with degree 1."""
        to.known(g)
        rows, columns = maximum.last_place(to.values[self.x].shape, self.kernel, self.stride)
        to.give(self.x, _spread(to, self.x, g, [rows], [columns]))


@dataclass(frozen=True)
class AveragePool(Local):
    """The mean of each window of 2^m elements: their sum, m more fractional bits."""

    kind = "average_pool"
    kernel: Pair
    stride: Pair

    def infer(self, values: Sequence[Value]) -> Value:
        """(C, H, W) to (C, H', W'), m more fractional bits; width stays."""
        count = prod(self.kernel)
        require(count > 0 and count & (count - 1) == 0, "a window of 1, 2, 4, 8, ... elements")
        return _pooled(values[self.x], self.kernel, self.stride, count.bit_length() - 1)

    def local(self, field: Field, operands: list[Elements], weights: Weights) -> Elements:
        """(B, C, H, W) to (B, C, H', W')."""
        return _sums(field, operands[0], self.kernel, self.stride)

    @override
    def pull(self, g: Cotangent, to: Puller) -> None:
        to.give(self.x, _unsummed(to, self.x, g, self.kernel, self.stride))


@dataclass(frozen=True)
class SumPool(Local):
    """The sum of each window, without padding."""

    kind = "sum_pool"
    kernel: Pair
    stride: Pair

    def infer(self, values: Sequence[Value]) -> Value:
        """(C, H, W) to (C, H', W'); scale and width stay."""
        return _pooled(values[self.x], self.kernel, self.stride, 0)

    def local(self, field: Field, operands: list[Elements], weights: Weights) -> Elements:
        """(B, C, H, W) to (B, C, H', W')."""
        return _sums(field, operands[0], self.kernel, self.stride)

    @override
    def pull(self, g: Cotangent, to: Puller) -> None:
        to.give(self.x, _unsummed(to, self.x, g, self.kernel, self.stride))


def _pooled(x: Value, kernel: Pair, stride: Pair, bits: int) -> Value:
    """The result of pooling that adds ``bits`` fractional bits."""
    picture(x)
    return Value((x.shape[0], *window(x.shape, kernel, stride)), x.scale + bits, x.wide)


def _sums(field: Field, x: Elements, kernel: Pair, stride: Pair) -> Elements:
    total: Elements | None = None
    for rows in maximum.windows(x, kernel[0], stride[0], 2):
        for part in maximum.windows(rows, kernel[1], stride[1], 3):
            total = part if total is None else field.add(total, part)
    assert total is not None
    return total


def _unsummed(to: Puller, number: int, g: Cotangent, kernel: Pair, stride: Pair) -> Cotangent:
    """Factors of sums of windows, as factors of what they are sums of."""
    shape = to.values[number].shape
    rows, columns = (
        [maximum.place(k, size, length, step) for k in range(size)]
        for size, length, step in zip(kernel, shape[1:], stride, strict=True)
    )
    return _spread(to, number, g, rows, columns)


def _spread(to: Puller, number: int, g: Cotangent, rows: Sequence[slice], columns: Sequence[slice]) -> Cotangent:
    """Factors (..., H', W') at each of some rows and columns of a picture."""
    factors = g.places if isinstance(g, Outer) else g.factors
    out: Elements = np.zeros((*factors.shape[:-2], *to.values[number].shape[1:]), factors.dtype)
    for one in rows:
        for other in columns:
            cotangents.spread(to.field, factors, (one, other), out)
    return Outer(g.channels, out) if isinstance(g, Outer) else Dense(out)
