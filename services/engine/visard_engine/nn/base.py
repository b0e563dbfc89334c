"""What the operations of a program have in common: values, operands, and the checks of shapes and scales."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar

from visard_engine.nn.errors import ProgramError

Pair = tuple[int, int]
Shape = tuple[int, ...]

MAX_WEIGHT_BITS = 40


@dataclass(frozen=True)
class Value:
    """Shape, fractional bits and width of a value."""

    shape: Shape
    scale: int
    wide: bool

    @property
    def size(self) -> int:
        """Elements of one image's value."""
        return prod(self.shape)


@dataclass(frozen=True)
class Operation(ABC):
    """An operation on value ``x``. ``infer`` gives the result's Value and raises ProgramError."""

    kind: ClassVar[str]
    x: int

    @property
    def sources(self) -> tuple[int, ...]:
        """The values it reads."""
        return (self.x,)

    @abstractmethod
    def infer(self, values: Sequence[Value]) -> Value:
        """Shape, scale and width of the result."""

    def weight_shapes(self, values: Sequence[Value]) -> tuple[Shape, ...]:
        """Shapes of the weights it takes, in order."""
        return ()

    def multiply_adds(self, values: Sequence[Value]) -> int:
        """Products of one image, of an operation that multiplies with weights or another value."""
        return 0


@dataclass(frozen=True)
class Binary(Operation):
    """An operation on two values."""

    y: int

    @property
    def sources(self) -> tuple[int, ...]:
        """Both."""
        return (self.x, self.y)


def require(condition: bool, what: str) -> None:
    """Raise ProgramError with what is required."""
    if not condition:
        raise ProgramError(what)


def require_weight_bits(bits: int) -> None:
    """Of weights."""
    require(0 <= bits <= MAX_WEIGHT_BITS, f"0 to {MAX_WEIGHT_BITS} fractional bits of weights")


def picture(x: Value) -> Value:
    """x, which must have rows and columns."""
    require(len(x.shape) == 3, "an input of shape (C, H, W)")
    return x


def window(shape: Shape, kernel: Pair, stride: Pair, padding: Pair = (0, 0), dilation: Pair = (1, 1)) -> Pair:
    """Rows and columns of the result of a sliding window: floor sizes, as in torch."""
    require(min(kernel) > 0 and min(stride) > 0 and min(dilation) > 0, "positive sizes")
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    require(all(0 <= p < span for p, span in zip(padding, spans, strict=True)), "padding below the kernel")
    rows, columns = (
        (n + 2 * p - span) // s + 1 for n, span, s, p in zip(shape[1:], spans, stride, padding, strict=True)
    )
    require(rows > 0 and columns > 0, "a window no larger than the picture")
    return rows, columns


def pooled(x: Value, kernel: Pair, stride: Pair, bits: int) -> Value:
    """The result of pooling that adds ``bits`` fractional bits."""
    picture(x)
    return Value((x.shape[0], *window(x.shape, kernel, stride)), x.scale + bits, x.wide)


def dropped(x: Value, drop: int, least: int) -> Value:
    """The narrow result of dropping bits."""
    require(least <= drop <= min(x.scale, 57), f"{least} to {min(x.scale, 57)} bits to drop")
    return Value(x.shape, x.scale - drop, wide=False)
