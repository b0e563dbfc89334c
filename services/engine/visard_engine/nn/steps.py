"""Operations without secret weights: nonlinear ones, pooling, and what is local."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from visard_engine.nn.base import Binary, Operation, Pair, Shape, Value, dropped, picture, pooled, require, window

MAX_TAPS = 1 << 14
MAX_SHIFT = 40


@dataclass(frozen=True)
class Relu(Operation):
    """max(0, x), dropping the lowest ``drop`` bits (0: exact); the result is narrow."""

    kind = "relu"
    drop: int

    def infer(self, values: Sequence[Value]) -> Value:
        """The scale shrinks by what is dropped."""
        return dropped(values[self.x], self.drop, 0)


@dataclass(frozen=True)
class Rectify(Operation):
    """For each channel max(0, t), then min(0, t), for t = x without its lowest ``drop`` bits: twice the channels, narrow.

    A PReLU is linear in these two, so the convolution after it can do that part.
    """

    kind = "rectify"
    drop: int

    def infer(self, values: Sequence[Value]) -> Value:
        """The scale shrinks by what is dropped."""
        x = picture(values[self.x])
        kept = dropped(x, self.drop, 1 if x.wide else 0)
        return Value((2 * x.shape[0], *x.shape[1:]), kept.scale, wide=False)


@dataclass(frozen=True)
class Truncate(Operation):
    """Drop the lowest ``drop`` bits; the result is narrow."""

    kind = "truncate"
    drop: int

    def infer(self, values: Sequence[Value]) -> Value:
        """The scale shrinks by what is dropped."""
        return dropped(values[self.x], self.drop, 1)


@dataclass(frozen=True)
class Clip(Operation):
    """min(x, limit): exact."""

    kind = "clip"
    limit: int

    def infer(self, values: Sequence[Value]) -> Value:
        """Nothing changes but the values."""
        x = values[self.x]
        require(not x.wide, "a narrow input")
        return x


@dataclass(frozen=True)
class MaxPool(Operation):
    """The largest of each window, without padding."""

    kind = "max_pool"
    kernel: Pair
    stride: Pair

    def infer(self, values: Sequence[Value]) -> Value:
        """Scale and width stay."""
        return pooled(values[self.x], self.kernel, self.stride, 0)


@dataclass(frozen=True)
class AveragePool(Operation):
    """The mean of each window of 2^m elements: their sum, m more fractional bits."""

    kind = "average_pool"
    kernel: Pair
    stride: Pair

    def infer(self, values: Sequence[Value]) -> Value:
        """Width stays."""
        count = prod(self.kernel)
        require(count > 0 and count & (count - 1) == 0, "a window of 1, 2, 4, 8, ... elements")
        return pooled(values[self.x], self.kernel, self.stride, count.bit_length() - 1)


@dataclass(frozen=True)
class SumPool(Operation):
    """The sum of each window."""

    kind = "sum_pool"
    kernel: Pair
    stride: Pair

    def infer(self, values: Sequence[Value]) -> Value:
        """Scale and width stay."""
        return pooled(values[self.x], self.kernel, self.stride, 0)


@dataclass(frozen=True)
class Filter(Operation):
    """Cross-correlation with public kernels (O, C, kh, kw), given here as integers at ``weight_bits`` fractional bits.

    A public number times a share is local and leaves its degree: no interaction, no kit.
    """

    kind = "filter"
    out_channels: int
    kernel: Pair
    stride: Pair
    padding: Pair
    weight_bits: int
    taps: tuple[int, ...]

    def infer(self, values: Sequence[Value]) -> Value:
        """Width stays."""
        x = picture(values[self.x])
        require(self.out_channels > 0 and min(self.kernel) > 0, "positive sizes")
        require(0 <= self.weight_bits <= MAX_SHIFT, f"0 to {MAX_SHIFT} fractional bits of taps")
        require(len(self.taps) == prod(self.tap_shape(values)) <= MAX_TAPS, f"all taps, at most {MAX_TAPS}")
        size = window(x.shape, self.kernel, self.stride, self.padding)
        return Value((self.out_channels, *size), x.scale + self.weight_bits, x.wide)

    def tap_shape(self, values: Sequence[Value]) -> Shape:
        """(O, C, kh, kw)."""
        return (self.out_channels, values[self.x].shape[0], *self.kernel)

    def multiply_adds(self, values: Sequence[Value]) -> int:
        """Of one image."""
        return len(self.taps) * prod(window(values[self.x].shape, self.kernel, self.stride, self.padding))


@dataclass(frozen=True)
class Align(Operation):
    """The same real numbers with ``bits`` more fractional bits: integers times 2^bits."""

    kind = "align"
    bits: int

    def infer(self, values: Sequence[Value]) -> Value:
        """Shape and width stay."""
        x = values[self.x]
        require(1 <= self.bits <= 60, "1 to 60 bits")
        return Value(x.shape, x.scale + self.bits, x.wide)


@dataclass(frozen=True)
class Times(Operation):
    """A public factor: real numbers times factor / 2^bits, integers times factor."""

    kind = "times"
    factor: int
    bits: int

    def infer(self, values: Sequence[Value]) -> Value:
        """Shape and width stay."""
        x = values[self.x]
        require(0 <= self.bits <= MAX_SHIFT, f"0 to {MAX_SHIFT} bits")
        return Value(x.shape, x.scale + self.bits, x.wide)


@dataclass(frozen=True)
class Offset(Operation):
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
        """What is added."""
        return self.value << self.shift


@dataclass(frozen=True)
class Add(Binary):
    """x + y, of one shape and scale; wide if one of them is."""

    kind = "add"

    def infer(self, values: Sequence[Value]) -> Value:
        """Shape and scale stay."""
        x, y = values[self.x], values[self.y]
        require(x.shape == y.shape and x.scale == y.scale, "two values of one shape and scale")
        return Value(x.shape, x.scale, x.wide or y.wide)


@dataclass(frozen=True)
class Concat(Binary):
    """The channels (or features) of x, then those of y; one scale; wide if one of them is."""

    kind = "concat"

    def infer(self, values: Sequence[Value]) -> Value:
        """Channels add up."""
        x, y = values[self.x], values[self.y]
        require(x.shape[1:] == y.shape[1:] and len(x.shape) == len(y.shape), "two values of one height and width")
        require(x.scale == y.scale, "two values of one scale")
        return Value((x.shape[0] + y.shape[0], *x.shape[1:]), x.scale, x.wide or y.wide)


@dataclass(frozen=True)
class Product(Binary):
    """x times y, both secret and narrow, to wide.

    y has the shape of x, or one number for each channel of a picture, (C, 1, 1) or (C,), or for all of a flat x, (1,).
    """

    kind = "product"

    def infer(self, values: Sequence[Value]) -> Value:
        """Scales add up."""
        x, y = values[self.x], values[self.y]
        require(not x.wide and not y.wide, "two narrow values")
        channels = x.shape[0]
        fewer = ((channels, 1, 1), (channels,)) if len(x.shape) == 3 else ((1,),)
        require(y.shape in (x.shape, *fewer), "a second value of the same shape, or one number a channel")
        return Value(x.shape, x.scale + y.scale, wide=True)

    def multiply_adds(self, values: Sequence[Value]) -> int:
        """One an element."""
        return values[self.x].size


@dataclass(frozen=True)
class Sum(Operation):
    """The sum of all elements, (1,)."""

    kind = "sum"

    def infer(self, values: Sequence[Value]) -> Value:
        """Scale and width stay."""
        x = values[self.x]
        return Value((1,), x.scale, x.wide)


@dataclass(frozen=True)
class Pad(Operation):
    """Zeros after the last channel, row and column, and before the first row and column."""

    kind = "pad"
    channels: int
    rows: int
    columns: int
    top: int = 0
    left: int = 0

    def infer(self, values: Sequence[Value]) -> Value:
        """Scale and width stay."""
        x = picture(values[self.x])
        require(min(self.channels, self.rows, self.columns, self.top, self.left) >= 0, "no negative padding")
        c, h, w = x.shape
        shape = (c + self.channels, self.top + h + self.rows, self.left + w + self.columns)
        return Value(shape, x.scale, x.wide)

    @property
    def widths(self) -> tuple[Pair, Pair, Pair, Pair]:
        """For numpy.pad of (B, C, H, W)."""
        return (0, 0), (0, self.channels), (self.top, self.rows), (self.left, self.columns)


@dataclass(frozen=True)
class Flatten(Operation):
    """All axes into one."""

    kind = "flatten"

    def infer(self, values: Sequence[Value]) -> Value:
        """Scale and width stay."""
        x = values[self.x]
        return Value((x.size,), x.scale, x.wide)
