"""Running a program on shares.

Nonlinear operations are the protocols of visard_engine.protocols; all the others are local (visard_engine.nn.local).
"""

from collections.abc import Iterator
from functools import cached_property
from math import prod

import numpy as np

from visard_engine.correlated import KitReader
from visard_engine.errors import ProtocolError
from visard_engine.field import Elements, field_of
from visard_engine.kernels import channels
from visard_engine.linear import Matrix
from visard_engine.nn import local
from visard_engine.nn.base import Operation
from visard_engine.nn.layers import Conv, Linear, Prelu
from visard_engine.nn.plan import embed_plan
from visard_engine.nn.program import Program
from visard_engine.nn.steps import Add, Clip, Filter, MaxPool, Rectify, Relu, Truncate
from visard_engine.protocols import maximum, relu, truncation
from visard_engine.session import Run, Session

__all__ = ["Model", "embed", "embed_plan"]


class Model:
    """A program and this party's share of its weights, prepared for many runs."""

    def __init__(self, program: Program, weight_share: Elements) -> None:
        self.program = program
        self.field = field_of(program.q)
        if weight_share.shape != (program.weight_count,) or weight_share.dtype != self.field.dtype:
            raise ProtocolError(f"{program.weight_count} weights of {self.field.itemsize} bytes expected")
        self._weights = list(self._prepare(weight_share))

    def __repr__(self) -> str:
        return f"<Model: {self.program.weight_count} secret weights>"

    def _prepare(self, share: Elements) -> Iterator[local.Weights]:
        """For each operation its weights, as it multiplies with them."""
        start = 0
        for op, shapes in zip(self.program.operations, self.program.weight_shapes, strict=True):
            parts = []
            for shape in shapes:
                parts.append(share[start : start + prod(shape)].reshape(shape))
                start += prod(shape)
            yield self._prepared(op, parts)

    def _prepared(self, op: Operation, parts: list[Elements]) -> local.Weights:
        bias = parts[1] if len(parts) > 1 else None
        match op:
            case Conv(groups=1) | Linear():
                return local.Weights(bias=bias, matrix=Matrix(self.field, parts[0].reshape(len(parts[0]), -1)))
            case Filter():
                taps = self.field.encode(op.taps).reshape(op.out_channels, -1)
                return local.Weights(matrix=Matrix(self.field, taps))
        return local.Weights(parts[0] if parts else None, bias)

    def weights(self, index: int) -> local.Weights:
        """What operation ``index`` multiplies with."""
        return self._weights[index]

    @cached_property
    def last_uses(self) -> list[int]:
        """For each value the last operation that reads it."""
        uses = list(range(-1, len(self.program.operations)))
        for k, op in enumerate(self.program.operations):
            for source in op.sources:
                uses[source] = k
        return uses


async def embed(run: Run, kit: KitReader, model: Model, images: Elements) -> Elements:
    """Degree-1 shares of the output (B, ...), such as descriptors (B, D), of shared images (B, C, H, W)."""
    s = Session(run, kit)
    values: list[Elements | None] = [images]
    for k, op in enumerate(model.program.operations):
        operands = []
        for source in op.sources:
            value = values[source]
            assert value is not None
            operands.append(value)
        values.append(await _apply(s, model, k, op, operands))
        for source, last in enumerate(model.last_uses[: k + 1]):
            if last == k:
                values[source] = None  # shares are freed as soon as nothing reads them
    result = values[-1]
    assert result is not None
    return result


async def _apply(s: Session, model: Model, k: int, op: Operation, operands: list[Elements]) -> Elements:
    x = operands[0]
    match op:
        case Relu():
            return (await _relu(s, x.reshape(-1), op.drop)).reshape(x.shape)
        case Truncate():
            return (await truncation.truncate(s, x.reshape(-1), op.drop)).reshape(x.shape)
        case MaxPool():
            return await maximum.max_pool(s, x, op.kernel, op.stride)
        case Prelu():
            return await _prelu(s, x, op, model.weights(k))
        case Rectify():
            positive, kept = await _both(s, x, op.drop)
            return np.stack([positive, s.field.subtract(kept, positive)], axis=2).reshape(len(x), -1, *x.shape[2:])
        case Clip():
            above = await maximum.exact_relu(s, local.offset(s.field, x, -op.limit).reshape(-1))
            return s.field.subtract(x, above.reshape(x.shape))
        case Add():
            return s.field.add(*operands)
    return await s.compute(x.size, local.apply, s.field, op, operands, model.weights(k))


async def _relu(s: Session, z: Elements, drop: int) -> Elements:
    return await (relu.relu(s, z, drop) if drop else maximum.exact_relu(s, z))


async def _prelu(s: Session, x: Elements, op: Prelu, weights: local.Weights) -> Elements:
    assert weights.factor is not None
    positive, kept = await _both(s, x, op.drop)
    unit = s.field.element(1 << op.weight_bits)
    return await s.compute(x.size, channels.lean, kept, positive, weights.factor, unit)


async def _both(s: Session, x: Elements, drop: int) -> tuple[Elements, Elements]:
    """max(0, t) and t, for t = x without its lowest bits, in the shape of x."""
    if not drop:
        return (await maximum.exact_relu(s, x.reshape(-1))).reshape(x.shape), x
    positive, kept = await relu.relu_and_truncated(s, x.reshape(-1), drop)
    return positive.reshape(x.shape), kept.reshape(x.shape)
