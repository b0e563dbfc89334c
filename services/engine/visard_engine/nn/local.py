"""The operations that need no interaction: each party works on its own shares."""

from dataclasses import dataclass

import numpy as np

from visard_engine.errors import ProtocolError
from visard_engine.field import Elements, Field
from visard_engine.kernels import arithmetic, channels
from visard_engine.linear import Matrix, affine, convolve
from visard_engine.nn.base import Operation
from visard_engine.nn.layers import Affine, Conv, Linear
from visard_engine.nn.steps import (
    Align,
    AveragePool,
    Concat,
    Filter,
    Flatten,
    Offset,
    Pad,
    Product,
    Sum,
    SumPool,
    Times,
)
from visard_engine.protocols import maximum


@dataclass(frozen=True)
class Weights:
    """What an operation multiplies with: a prepared matrix, or numbers as they are; and what it adds."""

    factor: Elements | None = None
    bias: Elements | None = None
    matrix: Matrix | None = None

    def __repr__(self) -> str:
        return "<Weights>"


def apply(field: Field, op: Operation, operands: list[Elements], weights: Weights) -> Elements:
    """The result's shares; of products their degree is 2."""
    x = operands[0]
    match op:
        case Conv() | Linear() | Affine() | Filter():
            return _multiply(op, x, weights)
        case Product():
            return _product(x, operands[1])
        case Align():
            return field.scale(x, 1 << op.bits)
        case Times():
            return field.scale(x, op.factor)
        case Offset():
            return offset(field, x, op.integer)
        case AveragePool() | SumPool():
            return _sum_pool(field, x, op)
        case Sum():
            return _sum(field, x)
        case Concat():
            return np.concatenate(operands, axis=1)
        case Pad():
            return np.pad(x, op.widths)
        case Flatten():
            return x.reshape(len(x), -1)
    raise ProtocolError(f"no execution of {op.kind}")


def offset(field: Field, x: Elements, value: int) -> Elements:
    """x + value: a public number has itself as every party's share."""
    return field.add(x, np.full(x.shape, field.element(value)))


def _multiply(op: Conv | Linear | Affine | Filter, x: Elements, weights: Weights) -> Elements:
    if isinstance(op, Conv) and op.groups > 1:
        assert weights.factor is not None
        return channels.convolve_groups(x, weights.factor, weights.bias, op.stride, op.padding, op.dilation, op.groups)
    if isinstance(op, Affine):
        assert weights.factor is not None
        return channels.affine(x, weights.factor, weights.bias)
    assert weights.matrix is not None
    if isinstance(op, Linear):
        return affine(weights.matrix, weights.bias, x)
    dilation = op.dilation if isinstance(op, Conv) else (1, 1)
    return convolve(weights.matrix, weights.bias, x, op.kernel, op.stride, op.padding, dilation)


def _product(x: Elements, y: Elements) -> Elements:
    if x.shape == y.shape:
        return arithmetic.multiply(x, y)
    return channels.affine(x, y.reshape(len(y), -1))  # one number a channel, or one in all


def _sum_pool(field: Field, x: Elements, op: AveragePool | SumPool) -> Elements:
    total: Elements | None = None
    for rows in maximum.windows(x, op.kernel[0], op.stride[0], 2):
        for part in maximum.windows(rows, op.kernel[1], op.stride[1], 3):
            total = part if total is None else field.add(total, part)
    assert total is not None
    return total


def _sum(field: Field, x: Elements) -> Elements:
    """All elements of each image, halves upon halves."""
    flat = x.reshape(len(x), -1)
    while flat.shape[1] > 1:
        half = flat.shape[1] // 2
        both = field.add(flat[:, :half], flat[:, half : 2 * half])
        flat = np.concatenate([both, flat[:, 2 * half :]], axis=1)
    return flat
