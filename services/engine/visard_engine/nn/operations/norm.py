"""What norms are made of: a batch norm that stands alone, and the sum that the length of a vector takes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from typing_extensions import override

from visard_engine.field import Elements, Field
from visard_engine.kernels import channels
from visard_engine.nn import cotangents
from visard_engine.nn.cotangents import Cotangent, Outer
from visard_engine.nn.operations.base import Local, Puller, Shape, Value, Weights, require, require_weight_bits


@dataclass(frozen=True)
class Affine(Local):
    """Each channel times a secret number plus another: a batch norm that stands alone; narrow to wide."""

    kind = "affine"
    multiplies = True
    weight_bits: int

    def infer(self, values: Sequence[Value]) -> Value:
        """The shape stays; the scale grows by the weights' bits."""
        x = values[self.x]
        require(not x.wide, "a narrow input")
        require_weight_bits(self.weight_bits)
        return Value(x.shape, x.scale + self.weight_bits, wide=True)

    def weight_shapes(self, values: Sequence[Value]) -> tuple[Shape, ...]:
        """Factors (C,) and offsets (C,), one a channel or feature."""
        count = values[self.x].shape[0]
        return ((count,), (count,))

    def multiply_adds(self, values: Sequence[Value]) -> int:
        """One an element."""
        return values[self.x].size

    def local(self, field: Field, operands: list[Elements], weights: Weights) -> Elements:
        """(B, C, ...) to the same shape."""
        assert weights.factor is not None
        return channels.affine(operands[0], weights.factor, weights.bias)

    @override
    def pairs(self, values: Sequence[Value], *, outer: bool) -> int:
        """A factor and the sum of what it multiplies, for each channel."""
        return values[self.x].shape[0]

    @override
    def pull(self, g: Cotangent, to: Puller) -> None:
        assert to.weights.factor is not None
        assert to.weights.bias is not None
        to.pair(to.weights.factor, cotangents.by_channel(g, to.share(self.x)))
        to.constant(to.weights.bias, g)


@dataclass(frozen=True)
class Sum(Local):
    """The sum of all elements, (1,)."""

    kind = "sum"

    def infer(self, values: Sequence[Value]) -> Value:
        """Any shape to (1,); scale and width stay."""
        x = values[self.x]
        return Value((1,), x.scale, x.wide)

    def local(self, field: Field, operands: list[Elements], weights: Weights) -> Elements:
        """(B, ...) to (B, 1), halves upon halves."""
        flat = operands[0].reshape(len(operands[0]), -1)
        while flat.shape[1] > 1:
            half = flat.shape[1] // 2
            both = field.add(flat[:, :half], flat[:, half : 2 * half])
            flat = np.concatenate([both, flat[:, 2 * half :]], axis=1)
        return flat

    @override
    def pull(self, g: Cotangent, to: Puller) -> None:
        shape, dtype = to.values[self.x].shape, to.field.dtype
        each = g.dense().factors.reshape(-1, *(1 for _ in shape[1:]))  # one an image
        places = np.ascontiguousarray(np.broadcast_to(each, (len(each), *shape[1:])))
        to.give(self.x, Outer(np.ones(shape[0], dtype), places))
