"""A network as a straight-line program: what the parties agree on, and may know, about a model.

Values are numbered: 0 is the input, operation k makes value k + 1, the last one is the output. A value has a shape
((C, H, W), or (D,) once flat), a ``scale`` (its integers are real numbers times 2^scale) and a width: a *wide* value is a
degree-2 sharing, the product of two degree-1 sharings before truncation; the others are *narrow*, of degree 1. Weights
are one flat vector of integers in the order of the operations: of each Conv or Linear the kernel, then the bias.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from math import isfinite, prod
from typing import Any, ClassVar

from services.mpc.nn.errors import ProgramError

Pair = tuple[int, int]
Shape = tuple[int, ...]

MAX_OPERATIONS = 1024
MAX_ELEMENTS = 1 << 24
MAX_WEIGHTS = 1 << 26


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
class Operation:
    """An operation on value ``x``. ``infer`` gives the result's Value and raises ProgramError."""

    kind: ClassVar[str]
    x: int

    def infer(self, values: Sequence[Value]) -> Value:
        """Shape, scale and width of the result."""
        raise NotImplementedError

    def weight_shapes(self, values: Sequence[Value]) -> tuple[Shape, ...]:
        """Shapes of the weights it takes, in order."""
        return ()


@dataclass(frozen=True)
class Conv(Operation):
    """Cross-correlation with secret kernels (O, C, kh, kw) and bias (O,); narrow to wide."""

    kind = "conv"
    out_channels: int
    kernel: Pair
    stride: Pair
    padding: Pair
    weight_bits: int
    bias: bool

    def infer(self, values: Sequence[Value]) -> Value:
        """Floor sizes, as in torch."""
        x = _picture(values[self.x])
        _require(not x.wide, "a narrow input")
        _require(self.out_channels > 0 and min(self.kernel) > 0 and min(self.stride) > 0, "positive sizes")
        _require(all(0 <= p < k for p, k in zip(self.padding, self.kernel, strict=True)), "padding below the kernel")
        _require(0 <= self.weight_bits <= 40, "0 to 40 fractional bits of weights")
        size = _window(x.shape, self.kernel, self.stride, self.padding)
        return Value((self.out_channels, *size), x.scale + self.weight_bits, wide=True)

    def weight_shapes(self, values: Sequence[Value]) -> tuple[Shape, ...]:
        """Kernel and bias."""
        kernel = (self.out_channels, values[self.x].shape[0], *self.kernel)
        return (kernel, (self.out_channels,)) if self.bias else (kernel,)


@dataclass(frozen=True)
class Linear(Operation):
    """A secret matrix (O, D) and bias (O,); narrow to wide."""

    kind = "linear"
    out_features: int
    weight_bits: int
    bias: bool

    def infer(self, values: Sequence[Value]) -> Value:
        """(D,) to (O,)."""
        x = values[self.x]
        _require(not x.wide and len(x.shape) == 1, "a narrow, flat input")
        _require(self.out_features > 0, "positive sizes")
        _require(0 <= self.weight_bits <= 40, "0 to 40 fractional bits of weights")
        return Value((self.out_features,), x.scale + self.weight_bits, wide=True)

    def weight_shapes(self, values: Sequence[Value]) -> tuple[Shape, ...]:
        """Matrix and bias."""
        matrix = (self.out_features, values[self.x].shape[0])
        return (matrix, (self.out_features,)) if self.bias else (matrix,)


@dataclass(frozen=True)
class Relu(Operation):
    """max(0, x), dropping the lowest ``drop`` bits (0: exact); the result is narrow."""

    kind = "relu"
    drop: int

    def infer(self, values: Sequence[Value]) -> Value:
        """The scale shrinks by what is dropped."""
        return _dropped(values[self.x], self.drop, 0)


@dataclass(frozen=True)
class Truncate(Operation):
    """Drop the lowest ``drop`` bits; the result is narrow."""

    kind = "truncate"
    drop: int

    def infer(self, values: Sequence[Value]) -> Value:
        """The scale shrinks by what is dropped."""
        return _dropped(values[self.x], self.drop, 1)


@dataclass(frozen=True)
class MaxPool(Operation):
    """The largest of each window, without padding."""

    kind = "max_pool"
    kernel: Pair
    stride: Pair

    def infer(self, values: Sequence[Value]) -> Value:
        """Scale and width stay."""
        return _pooled(values[self.x], self.kernel, self.stride, 0)


@dataclass(frozen=True)
class AveragePool(Operation):
    """The mean of each window of 2^m elements: their sum, m more fractional bits."""

    kind = "average_pool"
    kernel: Pair
    stride: Pair

    def infer(self, values: Sequence[Value]) -> Value:
        """Width stays."""
        count = prod(self.kernel)
        _require(count > 0 and count & (count - 1) == 0, "a window of 1, 2, 4, 8, ... elements")
        return _pooled(values[self.x], self.kernel, self.stride, count.bit_length() - 1)


@dataclass(frozen=True)
class Align(Operation):
    """The same real numbers with ``bits`` more fractional bits: integers times 2^bits."""

    kind = "align"
    bits: int

    def infer(self, values: Sequence[Value]) -> Value:
        """Shape and width stay."""
        x = values[self.x]
        _require(1 <= self.bits <= 60, "1 to 60 bits")
        return Value(x.shape, x.scale + self.bits, x.wide)


@dataclass(frozen=True)
class Add(Operation):
    """x + y, of one shape and scale; wide if one of them is."""

    kind = "add"
    y: int

    def infer(self, values: Sequence[Value]) -> Value:
        """Shape and scale stay."""
        x, y = values[self.x], values[self.y]
        _require(x.shape == y.shape and x.scale == y.scale, "two values of one shape and scale")
        return Value(x.shape, x.scale, x.wide or y.wide)


@dataclass(frozen=True)
class Pad(Operation):
    """Zeros after the last channel, row and column."""

    kind = "pad"
    channels: int
    rows: int
    columns: int

    def infer(self, values: Sequence[Value]) -> Value:
        """Scale and width stay."""
        x = _picture(values[self.x])
        _require(min(self.channels, self.rows, self.columns) >= 0, "no negative padding")
        c, h, w = x.shape
        return Value((c + self.channels, h + self.rows, w + self.columns), x.scale, x.wide)


@dataclass(frozen=True)
class Flatten(Operation):
    """All axes into one."""

    kind = "flatten"

    def infer(self, values: Sequence[Value]) -> Value:
        """Scale and width stay."""
        x = values[self.x]
        return Value((x.size,), x.scale, x.wide)


OPERATIONS: dict[str, type[Operation]] = {
    op.kind: op for op in (Conv, Linear, Relu, Truncate, MaxPool, AveragePool, Align, Add, Pad, Flatten)
}


@dataclass(frozen=True)
class Program:
    """A network over F_p, p = 2^q - 1, from images (C, H, W) of integers at ``input_scale`` to a descriptor (D,).

    ``operating_points`` names Euclidean distances between descriptors, as real numbers.
    """

    q: int
    input_shape: Shape
    input_scale: int
    operations: tuple[Operation, ...]
    operating_points: dict[str, float]

    def __post_init__(self) -> None:
        if self.q not in (31, 61):
            raise ProgramError("q: 31 or 61")
        if len(self.input_shape) != 3 or min(self.input_shape) < 1 or not 0 <= self.input_scale <= 16:
            raise ProgramError("input: a shape (C, H, W) and 0 to 16 fractional bits")
        if not 1 <= len(self.operations) <= MAX_OPERATIONS:
            raise ProgramError(f"operations: 1 to {MAX_OPERATIONS}")
        if "default" not in self.operating_points or not all(0 < t < 1e3 for t in self.operating_points.values()):
            raise ProgramError("operating points: distances between 0 and 1000, one of them named default")
        if self.output.wide or len(self.output.shape) != 1:
            raise ProgramError("the output must be narrow and flat")

    @cached_property
    def values(self) -> tuple[Value, ...]:
        """Every value's shape, scale and width; raises ProgramError naming the operation that does not fit."""
        values = [Value(self.input_shape, self.input_scale, wide=False)]
        for k, op in enumerate(self.operations):
            try:
                sources = [getattr(op, name) for name in ("x", "y") if hasattr(op, name)]
                _require(all(0 <= source <= k for source in sources), "operands made before it")
                value = op.infer(values)
                _require(
                    1 <= value.size <= MAX_ELEMENTS and 0 <= value.scale <= 60, "a result of sensible size and scale"
                )
            except ProgramError as error:
                raise ProgramError(f"operation {k} ({op.kind}): {error} required") from error
            values.append(value)
        return tuple(values)

    @property
    def output(self) -> Value:
        """The descriptor."""
        return self.values[-1]

    @cached_property
    def weight_shapes(self) -> tuple[tuple[Shape, ...], ...]:
        """For each operation the shapes of its weights."""
        shapes = tuple(op.weight_shapes(self.values) for op in self.operations)
        if sum(prod(shape) for group in shapes for shape in group) > MAX_WEIGHTS:
            raise ProgramError(f"at most {MAX_WEIGHTS} weights")
        return shapes

    @property
    def weight_count(self) -> int:
        """Length of the weight vector."""
        return sum(prod(shape) for group in self.weight_shapes for shape in group)

    def threshold(self, operating_point: str) -> int:
        """A named distance as the square of integers at the output's scale; raises KeyError."""
        distance = self.operating_points[operating_point or "default"]
        return int(distance**2 * 4**self.output.scale)

    def to_json(self) -> bytes:
        """Canonical JSON; equal programs have equal bytes."""
        operations = [[op.kind, asdict(op)] for op in self.operations]
        return json.dumps(asdict(self) | {"operations": operations}, sort_keys=True, separators=(",", ":")).encode()

    @property
    def digest(self) -> bytes:
        """SHA-256 of the canonical JSON."""
        return hashlib.sha256(self.to_json()).digest()

    @classmethod
    def from_json(cls, data: bytes) -> "Program":
        """The program in canonical JSON, checked; raises ProgramError."""
        try:
            raw = json.loads(data)
            operations = tuple(_operation(kind, body) for kind, body in raw.pop("operations"))
            points = {str(name): float(t) for name, t in raw.pop("operating_points").items()}
            shape = tuple(_integer(n) for n in raw.pop("input_shape"))
            program = cls(_integer(raw.pop("q")), shape, _integer(raw.pop("input_scale")), operations, points)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ProgramError("program: canonical JSON with known operations and integer fields") from error
        if raw or not all(map(isfinite, points.values())):
            raise ProgramError("program: unknown fields")
        assert program.weight_count >= 0  # infers every value and checks the limits
        return program


def _operation(kind: str, body: dict[str, Any]) -> Operation:
    operation = OPERATIONS[kind]
    names = [f.name for f in fields(operation)]
    if set(body) != set(names):
        raise ValueError(kind)
    return operation(**{f.name: _field(f.type, body[f.name]) for f in fields(operation)})


def _field(kind: Any, value: Any) -> Any:
    if kind is bool:
        if not isinstance(value, bool):
            raise TypeError("not a boolean")
        return value
    if kind is int:
        return _integer(value)
    first, second = value
    return _integer(first), _integer(second)


def _integer(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > MAX_WEIGHTS:
        raise TypeError("not an integer of sensible size")
    return value


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise ProgramError(what)


def _picture(x: Value) -> Value:
    _require(len(x.shape) == 3, "an input of shape (C, H, W)")
    return x


def _window(shape: Shape, kernel: Pair, stride: Pair, padding: Pair = (0, 0)) -> Pair:
    _require(min(kernel) > 0 and min(stride) > 0, "positive sizes")
    rows, columns = ((n + 2 * p - k) // s + 1 for n, k, s, p in zip(shape[1:], kernel, stride, padding, strict=True))
    _require(rows > 0 and columns > 0, "a window no larger than the picture")
    return rows, columns


def _pooled(x: Value, kernel: Pair, stride: Pair, bits: int) -> Value:
    _picture(x)
    return Value((x.shape[0], *_window(x.shape, kernel, stride)), x.scale + bits, x.wide)


def _dropped(x: Value, drop: int, least: int) -> Value:
    _require(least <= drop <= min(x.scale, 57), f"{least} to {min(x.scale, 57)} bits to drop")
    return Value(x.shape, x.scale - drop, wide=False)
