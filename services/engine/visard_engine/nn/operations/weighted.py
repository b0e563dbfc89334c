"""Convolutions and matrices, with secret weights or public ones: products that are local, and of degree 2."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from typing_extensions import override

from visard_engine.field import Elements, Field
from visard_engine.kernels import channels
from visard_engine.linear import Matrix, affine, convolve, correlate, correlate_dense, transposed
from visard_engine.nn.cotangents import Cotangent, Dense, Outer
from visard_engine.nn.operations.base import (
    MAX_SHIFT,
    Local,
    Pair,
    Puller,
    Shape,
    Value,
    Weights,
    picture,
    require,
    require_weight_bits,
    window,
)

MAX_TAPS = 1 << 14


@dataclass(frozen=True)
class Conv(Local):
    """Cross-correlation with secret kernels (O, C / groups, kh, kw) and bias (O,); narrow to wide."""

    kind = "conv"
    multiplies = True
    out_channels: int
    kernel: Pair
    stride: Pair
    padding: Pair
    weight_bits: int
    bias: bool
    dilation: Pair = (1, 1)
    groups: int = 1

    def infer(self, values: Sequence[Value]) -> Value:
        """(C, H, W) to (O, H', W'), floor sizes as in torch; the scale grows by the weights' bits."""
        x = picture(values[self.x])
        require(not x.wide, "a narrow input")
        require(self.out_channels > 0 and min(self.kernel) > 0 and self.groups > 0, "positive sizes")
        require(x.shape[0] % self.groups == 0 and self.out_channels % self.groups == 0, "groups of equal size")
        require_weight_bits(self.weight_bits)
        size = window(x.shape, self.kernel, self.stride, self.padding, self.dilation)
        return Value((self.out_channels, *size), x.scale + self.weight_bits, wide=True)

    def weight_shapes(self, values: Sequence[Value]) -> tuple[Shape, ...]:
        """Kernel (O, C / groups, kh, kw), and bias (O,) if there is one."""
        kernel = (self.out_channels, values[self.x].shape[0] // self.groups, *self.kernel)
        return (kernel, (self.out_channels,)) if self.bias else (kernel,)

    def multiply_adds(self, values: Sequence[Value]) -> int:
        """One a weight of the kernel and place of the result."""
        rows, columns = window(values[self.x].shape, self.kernel, self.stride, self.padding, self.dilation)
        return prod(self.weight_shapes(values)[0]) * rows * columns

    @property
    def in_groups(self) -> bool:
        """Whether it has more than one group."""
        return self.groups > 1

    def prepare(self, field: Field, parts: Sequence[Elements]) -> Weights:
        """Kernels as a matrix (O, C kh kw), unless they are in groups."""
        return super().prepare(field, parts) if self.in_groups else _matrix(field, parts)

    def local(self, field: Field, operands: list[Elements], weights: Weights) -> Elements:
        """(B, C, H, W) to (B, O, H', W')."""
        if not self.in_groups:
            return _convolve(self, operands[0], weights, self.dilation)
        assert weights.factor is not None
        geometry = self.stride, self.padding, self.dilation, self.groups
        return channels.convolve_groups(operands[0], weights.factor, weights.bias, *geometry)

    @override
    def pairs(self, values: Sequence[Value], *, outer: bool) -> int:
        """Of an outer product one for each row of the windows' matrix; else one a weight."""
        return values[self.x].shape[0] * prod(self.kernel) if outer else prod(self.weight_shapes(values)[0])

    @override
    def pull(self, g: Cotangent, to: Puller) -> None:
        x, kernels = to.share(self.x), _raw(to.weights).reshape(self.out_channels, -1)
        geometry = self.kernel, self.stride, self.padding, self.dilation
        if isinstance(g, Outer):
            to.pair(channels.fold_rows(g.channels, kernels, self.groups), correlate(x, g.places, *geometry))
        else:
            to.pair(kernels.reshape(-1), correlate_dense(to.field, x, g.factors, *geometry, self.groups))
        if to.weights.bias is not None:
            to.constant(to.weights.bias, g)


@dataclass(frozen=True)
class Linear(Local):
    """A secret matrix (O, D) and bias (O,); narrow to wide."""

    kind = "linear"
    multiplies = True
    out_features: int
    weight_bits: int
    bias: bool

    def infer(self, values: Sequence[Value]) -> Value:
        """(D,) to (O,); the scale grows by the weights' bits."""
        x = values[self.x]
        require(not x.wide and len(x.shape) == 1, "a narrow, flat input")
        require(self.out_features > 0, "positive sizes")
        require_weight_bits(self.weight_bits)
        return Value((self.out_features,), x.scale + self.weight_bits, wide=True)

    def weight_shapes(self, values: Sequence[Value]) -> tuple[Shape, ...]:
        """Matrix (O, D), and bias (O,) if there is one."""
        matrix = (self.out_features, values[self.x].shape[0])
        return (matrix, (self.out_features,)) if self.bias else (matrix,)

    def multiply_adds(self, values: Sequence[Value]) -> int:
        """One an element of the matrix."""
        return self.out_features * values[self.x].shape[0]

    def prepare(self, field: Field, parts: Sequence[Elements]) -> Weights:
        """The matrix as it is: each of its elements is used once an image, which splitting it would not pay for."""
        return Weights(bias=parts[1] if len(parts) > 1 else None, factor=parts[0])

    def local(self, field: Field, operands: list[Elements], weights: Weights) -> Elements:
        """(B, D) to (B, O)."""
        assert weights.factor is not None
        return affine(field, weights.factor, weights.bias, operands[0])

    @override
    def pairs(self, values: Sequence[Value], *, outer: bool) -> int:
        """Of an outer product one a feature of x; else one a weight."""
        return values[self.x].size * (1 if outer else self.out_features)

    @override
    def pull(self, g: Cotangent, to: Puller) -> None:
        x, matrix = to.share(self.x)[..., None, None], _raw(to.weights)  # a convolution of one place
        geometry = (1, 1), (1, 1), (0, 0), (1, 1)
        if isinstance(g, Outer):
            places = g.places[:, None, None]
            to.pair(channels.fold_rows(g.channels, matrix, 1), correlate(x, places, *geometry))
        else:
            to.pair(matrix.reshape(-1), correlate_dense(to.field, x, g.factors[..., None, None], *geometry, 1))
        if to.weights.bias is not None:
            to.constant(to.weights.bias, g)


@dataclass(frozen=True)
class Filter(Local):
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
        """(C, H, W) to (O, H', W'); the scale grows by the taps' bits, and width stays."""
        x = picture(values[self.x])
        require(self.out_channels > 0 and min(self.kernel) > 0, "positive sizes")
        require(0 <= self.weight_bits <= MAX_SHIFT, f"0 to {MAX_SHIFT} fractional bits of taps")
        require(len(self.taps) == prod(self.tap_shape(values)) <= MAX_TAPS, f"all taps, at most {MAX_TAPS}")
        size = window(x.shape, self.kernel, self.stride, self.padding)
        return Value((self.out_channels, *size), x.scale + self.weight_bits, x.wide)

    def tap_shape(self, values: Sequence[Value]) -> Shape:
        """(O, C, kh, kw), as the taps are in order."""
        return (self.out_channels, values[self.x].shape[0], *self.kernel)

    def multiply_adds(self, values: Sequence[Value]) -> int:
        """One a tap and place of the result."""
        return len(self.taps) * prod(window(values[self.x].shape, self.kernel, self.stride, self.padding))

    def prepare(self, field: Field, parts: Sequence[Elements]) -> Weights:
        """The public taps as a matrix (O, C kh kw)."""
        return _matrix(field, [field.encode(self.taps).reshape(self.out_channels, -1)])

    def local(self, field: Field, operands: list[Elements], weights: Weights) -> Elements:
        """(B, C, H, W) to (B, O, H', W')."""
        return _convolve(self, operands[0], weights, (1, 1))

    @override
    def pull(self, g: Cotangent, to: Puller) -> None:
        shape = to.values[self.x].shape
        taps = to.field.encode(self.taps).reshape(self.out_channels, -1)
        geometry = self.kernel, self.stride, self.padding
        to.give(self.x, Dense(transposed(to.field, taps, g.dense().factors, shape, *geometry)))


def _raw(weights: Weights) -> Elements:
    """A party's shares of a matrix or kernels as they are."""
    found = weights.factor if weights.matrix is None else weights.matrix.elements
    assert found is not None
    return found


def _matrix(field: Field, parts: Sequence[Elements]) -> Weights:
    """The first part as a matrix with a row for each output, the second one, if any, as what is added."""
    matrix = Matrix(field, parts[0].reshape(len(parts[0]), -1))
    return Weights(bias=parts[1] if len(parts) > 1 else None, matrix=matrix)


def _convolve(op: Conv | Filter, x: Elements, weights: Weights, dilation: Pair) -> Elements:
    assert weights.matrix is not None
    return convolve(weights.matrix, weights.bias, x, op.kernel, op.stride, op.padding, dilation)
