"""Operations with secret weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from visard_engine.nn.base import Operation, Pair, Shape, Value, dropped, picture, require, require_weight_bits, window


@dataclass(frozen=True)
class Conv(Operation):
    """Cross-correlation with secret kernels (O, C / groups, kh, kw) and bias (O,); narrow to wide."""

    kind = "conv"
    out_channels: int
    kernel: Pair
    stride: Pair
    padding: Pair
    weight_bits: int
    bias: bool
    dilation: Pair = (1, 1)
    groups: int = 1

    def infer(self, values: Sequence[Value]) -> Value:
        """Floor sizes, as in torch."""
        x = picture(values[self.x])
        require(not x.wide, "a narrow input")
        require(self.out_channels > 0 and min(self.kernel) > 0 and self.groups > 0, "positive sizes")
        require(x.shape[0] % self.groups == 0 and self.out_channels % self.groups == 0, "groups of equal size")
        require_weight_bits(self.weight_bits)
        size = window(x.shape, self.kernel, self.stride, self.padding, self.dilation)
        return Value((self.out_channels, *size), x.scale + self.weight_bits, wide=True)

    def weight_shapes(self, values: Sequence[Value]) -> tuple[Shape, ...]:
        """Kernel and bias."""
        kernel = (self.out_channels, values[self.x].shape[0] // self.groups, *self.kernel)
        return (kernel, (self.out_channels,)) if self.bias else (kernel,)

    def multiply_adds(self, values: Sequence[Value]) -> int:
        """Of one image."""
        rows, columns = window(values[self.x].shape, self.kernel, self.stride, self.padding, self.dilation)
        return prod(self.weight_shapes(values)[0]) * rows * columns


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
        require(not x.wide and len(x.shape) == 1, "a narrow, flat input")
        require(self.out_features > 0, "positive sizes")
        require_weight_bits(self.weight_bits)
        return Value((self.out_features,), x.scale + self.weight_bits, wide=True)

    def weight_shapes(self, values: Sequence[Value]) -> tuple[Shape, ...]:
        """Matrix and bias."""
        matrix = (self.out_features, values[self.x].shape[0])
        return (matrix, (self.out_features,)) if self.bias else (matrix,)

    def multiply_adds(self, values: Sequence[Value]) -> int:
        """Of one image."""
        return self.out_features * values[self.x].shape[0]


@dataclass(frozen=True)
class Affine(Operation):
    """Each channel times a secret number plus another: a batch norm that stands alone; narrow to wide."""

    kind = "affine"
    weight_bits: int

    def infer(self, values: Sequence[Value]) -> Value:
        """The shape stays."""
        x = values[self.x]
        require(not x.wide, "a narrow input")
        require_weight_bits(self.weight_bits)
        return Value(x.shape, x.scale + self.weight_bits, wide=True)

    def weight_shapes(self, values: Sequence[Value]) -> tuple[Shape, ...]:
        """Factors and offsets, one a channel."""
        channels = values[self.x].shape[0]
        return ((channels,), (channels,))

    def multiply_adds(self, values: Sequence[Value]) -> int:
        """One an element."""
        return values[self.x].size


@dataclass(frozen=True)
class Prelu(Operation):
    """max(0, t) + a min(0, t) for t = x without its lowest ``drop`` bits and a secret slope a for each channel; wide.

    One comparison and one opening give both t and max(0, t), so it costs what a ReLU costs and a truncation later.
    """

    kind = "prelu"
    drop: int
    weight_bits: int

    def infer(self, values: Sequence[Value]) -> Value:
        """The scale shrinks by what is dropped and grows by the slopes' bits."""
        x = values[self.x]
        require_weight_bits(self.weight_bits)
        kept = dropped(x, self.drop, 1 if x.wide else 0)
        return Value(x.shape, kept.scale + self.weight_bits, wide=True)

    def weight_shapes(self, values: Sequence[Value]) -> tuple[Shape, ...]:
        """Slopes, one a channel."""
        return ((values[self.x].shape[0],),)

    def multiply_adds(self, values: Sequence[Value]) -> int:
        """One an element."""
        return values[self.x].size
