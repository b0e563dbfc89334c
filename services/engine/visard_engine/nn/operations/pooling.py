"""Pooling: the largest of each window, its mean, its sum; windows without padding."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

from visard_engine.field import Elements, Field
from visard_engine.kits import Section
from visard_engine.nn.operations.base import Interactive, Local, Pair, Value, Weights, picture, require, window
from visard_engine.protocols import maximum
from visard_engine.session import Session


@dataclass(frozen=True)
class MaxPool(Interactive):
    """The largest of each window, without padding."""

    kind = "max_pool"
    kernel: Pair
    stride: Pair

    def infer(self, values: Sequence[Value]) -> Value:
        """(C, H, W) to (C, H', W'); scale and width stay."""
        return _pooled(values[self.x], self.kernel, self.stride, 0)

    def bound(self, q: int) -> float:
        """Differences of two elements are compared."""
        return 2.0 ** (q - 4)

    def sections(self, x: Value, batch: int) -> Iterator[Section]:
        """A comparison a pair, at each stage along rows and then along columns."""
        for pairs in maximum.pool_comparisons((batch, *x.shape), self.kernel, self.stride):
            yield Section("max", pairs)

    async def run(self, s: Session, operands: list[Elements], weights: Weights) -> Elements:
        """(B, C, H, W) to (B, C, H', W'); the rounds of an exact ReLU a stage (protocols/maximum.py)."""
        return await maximum.max_pool(s, operands[0], self.kernel, self.stride)


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
