"""What the operations of a program have in common: values, weights, operands, and the checks of shapes and scales."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar

import numpy as np

from visard_engine.field import Elements, Field
from visard_engine.kits import Section
from visard_engine.linear import Matrix
from visard_engine.nn.errors import ProgramError
from visard_engine.session import Session

Pair = tuple[int, int]
Shape = tuple[int, ...]

MAX_WEIGHT_BITS = 40
MAX_SHIFT = 40  # fractional bits of a public factor


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
class Weights:
    """What an operation multiplies with: a prepared matrix, or numbers as they are; and what it adds."""

    factor: Elements | None = None
    bias: Elements | None = None
    matrix: Matrix | None = None

    def __repr__(self) -> str:
        return "<Weights>"


@dataclass(frozen=True)
class Operation(ABC):
    """An operation on value ``x`` of a program: its result, what it costs, and how a party computes it on shares.

    ``values`` are a program's values by number; shares have one more axis, the images of a batch, in front. An operation
    is ``Local`` or ``Interactive``.
    """

    kind: ClassVar[str]
    truncates: ClassVar[bool] = False  # its result has lost bits: weights before it have no say in its scale
    x: int

    @property
    def sources(self) -> tuple[int, ...]:
        """The numbers of the values it reads."""
        return (self.x,)

    @abstractmethod
    def infer(self, values: Sequence[Value]) -> Value:
        """Shape, scale and width of the result; raises ProgramError with what is required of the operands."""

    def weight_shapes(self, values: Sequence[Value]) -> tuple[Shape, ...]:
        """Shapes of the secret weights that it takes, in the order of the program's vector."""
        return ()

    def multiply_adds(self, values: Sequence[Value]) -> int:
        """Products of one image, of an operation that multiplies with weights or another value."""
        return 0

    @property
    def in_groups(self) -> bool:
        """Whether its products are those of small groups, which BLAS does not do: cost.py has a rate for them."""
        return False

    def bound(self, q: int) -> float:
        """What the integers of its operands must stay below in F_p, p = 2^q - 1: here whatever the field holds."""
        return 2.0 ** (q - 1)

    def sections(self, x: Value, batch: int) -> Iterable[Section]:
        """What it takes from the kit of a run, in order, where ``x`` is its first operand in each of ``batch`` images."""
        return ()

    def prepare(self, field: Field, parts: Sequence[Elements]) -> Weights:
        """A party's shares of its weights, shaped as ``weight_shapes``, as it multiplies with them in every run."""
        return Weights(parts[0] if parts else None, parts[1] if len(parts) > 1 else None)

    @abstractmethod
    async def run(self, s: Session, operands: list[Elements], weights: Weights) -> Elements:
        """Shares of the result from those of its operands (B, ...), of degree 2 if the result is wide, else 1."""


class Local(Operation):
    """An operation without a message: each party works on its own shares."""

    @abstractmethod
    def local(self, field: Field, operands: list[Elements], weights: Weights) -> Elements:
        """One party's shares of the result from its own."""

    async def run(self, s: Session, operands: list[Elements], weights: Weights) -> Elements:
        """``local``, in a thread where it is long; no round."""
        return await s.compute(operands[0].size, self.local, s.field, operands, weights)


class Interactive(Operation):
    """An operation that takes rounds: ``run`` is a protocol, and the local work before and after it."""

    @abstractmethod
    def bound(self, q: int) -> float:
        """What the integers of x must stay below, so that what the protocol opens of them does not wrap round."""

    @abstractmethod
    def sections(self, x: Value, batch: int) -> Iterable[Section]:
        """What the protocol takes from the kit of a run, in order."""


@dataclass(frozen=True)
class Binary(Local):
    """A local operation on two values."""

    y: int

    @property
    def sources(self) -> tuple[int, ...]:
        """The numbers of both."""
        return (self.x, self.y)


def require(condition: bool, what: str) -> None:
    """Raise ProgramError with what is required, unless the condition holds."""
    if not condition:
        raise ProgramError(what)


def require_weight_bits(bits: int) -> None:
    """Raise ProgramError unless weights may have so many fractional bits."""
    require(0 <= bits <= MAX_WEIGHT_BITS, f"0 to {MAX_WEIGHT_BITS} fractional bits of weights")


def picture(x: Value) -> Value:
    """x, which must have channels, rows and columns; raises ProgramError."""
    require(len(x.shape) == 3, "an input of shape (C, H, W)")
    return x


def window(shape: Shape, kernel: Pair, stride: Pair, padding: Pair = (0, 0), dilation: Pair = (1, 1)) -> Pair:
    """Rows and columns of a window's result on a picture of a shape (C, H, W): floor sizes, as in torch.

    Raises ProgramError where no window fits.
    """
    require(min(kernel) > 0 and min(stride) > 0 and min(dilation) > 0, "positive sizes")
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    require(all(0 <= p < span for p, span in zip(padding, spans, strict=True)), "padding below the kernel")
    rows, columns = (
        (n + 2 * p - span) // s + 1 for n, span, s, p in zip(shape[1:], spans, stride, padding, strict=True)
    )
    require(rows > 0 and columns > 0, "a window no larger than the picture")
    return rows, columns


def offset(field: Field, x: Elements, value: int) -> Elements:
    """Shares of x + value, in the shape of x: a public number has itself as every party's share."""
    return field.add(x, np.full(x.shape, field.element(value)))
