"""What the operations of a program have in common: values, weights, operands, and the checks of shapes and scales."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar, Protocol

import numpy as np
from typing_extensions import override

from visard_engine.claims import Source
from visard_engine.field import Elements, Field
from visard_engine.linear import Matrix
from visard_engine.nn.cotangents import Cotangent
from visard_engine.nn.errors import ProgramError
from visard_engine.sections import Section
from visard_engine.session import Session

Pair = tuple[int, int]
Shape = tuple[int, ...]
Place = tuple[slice, slice]  # rows and columns of a picture

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


class Trace(Protocol):
    """What an operation says while it runs of what it opens; visard_engine.nn.tape has it."""

    @property
    def source(self) -> Source | None:
        """Where its first operand came from, if it is wide."""

    def picked(self, plus: Sequence[Place], minus: Sequence[Place], offset: Elements) -> Source | None:
        """Likewise for differences of places of it, (B, len(plus), C, H', W'), with an offset of degree 1 beside them."""

    def keep(self, *shares: Elements) -> None:
        """Shares of degree 1 that ``pull`` will need."""


class Puller(Protocol):
    """What an operation is given to pass factors backwards; visard_engine.nn.tape has it."""

    @property
    def field(self) -> Field:
        """The program's."""

    @property
    def values(self) -> Sequence[Value]:
        """All values' shapes."""

    @property
    def weights(self) -> Weights:
        """The operation's."""

    @property
    def kept(self) -> tuple[Elements, ...]:
        """What the operation has kept."""

    def share(self, number: int) -> Elements:
        """A narrow value that the operation reads."""

    def give(self, number: int, g: Cotangent) -> None:
        """Factors of a value that it reads."""

    def pair(self, left: Elements, right: Elements) -> None:
        """An inner product of two shared vectors (n,) of degree 1."""

    def known(self, g: Cotangent, index: int = 0) -> None:
        """Factors of what the operation has kept."""

    def constant(self, per_channel: Elements, g: Cotangent) -> None:
        """Factors of numbers (C,) or (1,), of degree at most 1, that stand at every place of a channel."""


@dataclass(frozen=True)
class Operation(ABC):
    """An operation on value ``x`` of a program: its result, what it costs, and how a party computes it on shares.

    ``values`` are a program's values by number; shares have one more axis, the images of a batch, in front. An operation
    is ``Local`` or ``Interactive``.
    """

    kind: ClassVar[str]
    truncates: ClassVar[bool] = False  # its result has lost bits: weights before it have no say in its scale
    multiplies: ClassVar[bool] = False  # its result is of degree 2 because it multiplies shares
    only_reshapes: ClassVar[bool] = False  # its result has the elements of x in their order
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
    async def run(self, s: Session, operands: list[Elements], weights: Weights, trace: Trace) -> Elements:
        """Shares of the result from those of its operands (B, ...), of degree 2 if the result is wide, else 1."""

    def claims(self, x: Value) -> int:
        """How many claims about its first operand it leaves when it is run."""
        return 0

    def pairs(self, values: Sequence[Value], *, outer: bool) -> int:
        """Pairs of shared numbers that a claim about its result comes to, of one image; asked of what multiplies."""
        return 0

    def pull(self, g: Cotangent, to: Puller) -> None:
        """Say "the sum of factors times its result", where that is wide, of what it reads."""
        raise TypeError(f"{self.kind} has no wide result")


class Local(Operation):
    """An operation without a message: each party works on its own shares."""

    @abstractmethod
    def local(self, field: Field, operands: list[Elements], weights: Weights) -> Elements:
        """One party's shares of the result from its own."""

    @override
    async def run(self, s: Session, operands: list[Elements], weights: Weights, trace: Trace) -> Elements:
        """``local``, in a thread where it is long; no round."""
        return await s.compute(operands[0].size, self.local, s.field, operands, weights)


class Interactive(Operation):
    """An operation that takes rounds: ``run`` is a protocol, and the local work before and after it."""

    @abstractmethod
    def bound(self, q: int) -> float:
        """What the integers of x must stay below, so that what the protocol opens of them does not wrap round."""

    @override
    def claims(self, x: Value) -> int:
        """One, for what it opens of a wide operand."""
        return int(x.wide)

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
