"""The plaintext twin: the same program on plain integers, for range checks, accuracy and tests.

It differs from a run on shares only in how truncation rounds. ``Rounding`` is that one choice; with the random numbers of a
kit (dealt.py) the twin is bit-exact (tests/engine/nn/test_execute.py). It computes every operation here, none by its own class:
it is what those are checked against.
"""

from collections.abc import Callable
from math import prod

import numpy as np
import torch
from torch.nn import functional

from visard_engine.field import Bools, Integers
from visard_engine.nn.errors import RangeExceeded
from visard_engine.nn.operations.activations import Clip, Prelu, Rectify, Relu, Truncate
from visard_engine.nn.operations.arithmetic import Add, Align, Concat, Flatten, Offset, Pad, Product, Times
from visard_engine.nn.operations.base import Operation
from visard_engine.nn.operations.norm import Affine, Sum
from visard_engine.nn.operations.pooling import AveragePool, MaxPool, SumPool
from visard_engine.nn.operations.weighted import Conv, Filter, Linear
from visard_engine.nn.program import Program
from visard_engine.protocols import lookup, norm, normalise
from visard_engine.protocols.comparison import above

# Integers (n,), the bits to drop, and how many of the lowest bits of their double a sign does without (comparison.Digits): to
# truncated integers (n,), and which of them are taken for negative
Rounding = Callable[[Integers, int, int], tuple[Integers, Bools]]
Observer = Callable[[int, Integers], None]

_EXACT = 1 << 53  # float64 holds every integer below this


def random_rounding(seed: int) -> Rounding:
    """As on shares: floor((2z + u) / 2^(drop+1)) with u uniform, here from a seeded generator; and a sign that the bits decide
    which are compared."""
    rng = np.random.default_rng(seed)

    def rounding(z: Integers, drop: int, below: int) -> tuple[Integers, Bools]:
        u = rng.integers(0, 1 << max(drop + 1, below), z.shape)
        missed = (2 * z + (u & (1 << below) - 1) >= 0) if below else np.zeros(z.shape, np.bool_)
        return (2 * z + (u & (1 << drop + 1) - 1)) >> (drop + 1), (z < 0) & ~missed

    return rounding


def floor_rounding(z: Integers, drop: int, below: int) -> tuple[Integers, Bools]:
    """Integers (n,) without their lowest bits: always down; and their signs."""
    return z >> drop, z < 0


def run_twin(
    program: Program,
    weights: Integers,
    images: Integers,
    rounding: Rounding = floor_rounding,
    observe: Observer | None = None,
) -> Integers:
    """Outputs (B, ...) at their scale, of images (B, C, H, W) at the input's; weights as in the program. Descriptors are not yet
    ``normalised``.

    ``observe(k, values)`` sees every operation's result. Raises RangeExceeded where float64 would not be exact.
    """
    values: list[Integers] = [images.astype(np.int64)]
    for k, (op, own) in enumerate(zip(program.operations, weights_of(program, weights), strict=True)):
        values.append(_apply(op, values, own, rounding, program.q))
        if observe is not None:
            observe(k, values[-1])
    return values[-1]


def normalised(q: int, descriptors: Integers, rounding: Rounding = floor_rounding) -> Integers:
    """Descriptors (B, D) as they are compared, of length 2^``normalise.unit_bits(q)``; zeros if one is too short or too long."""
    bound = norm.bound(q)
    fits = (descriptors.astype(np.float64) ** 2).sum(axis=1) <= bound
    inside = np.where(fits[:, None], descriptors, 0)
    step, _ = rounding(bound - (inside**2).sum(axis=1), lookup.drop(q), 0)
    factor = normalise.factors(q)[step % (1 << lookup.BITS)]
    found, _ = rounding((factor[:, None] * inside).reshape(-1), normalise.drop(q), 0)
    return found.reshape(descriptors.shape)


def weights_of(program: Program, weights: Integers) -> list[list[Integers]]:
    """Of each operation its weights, as they are shaped."""
    sizes = [sum(prod(shape) for shape in shapes) for shapes in program.weight_shapes]
    groups = np.split(weights, np.cumsum(sizes)[:-1])
    return [_split(own, shapes) for own, shapes in zip(groups, program.weight_shapes, strict=True)]


def _split(weights: Integers, shapes: tuple[tuple[int, ...], ...]) -> list[Integers]:
    ends = np.cumsum([prod(shape) for shape in shapes])[:-1]
    return [part.reshape(shape) for part, shape in zip(np.split(weights, ends), shapes, strict=True)] if shapes else []


def _apply(op: Operation, values: list[Integers], weights: list[Integers], rounding: Rounding, q: int) -> Integers:
    x = values[op.x]
    match op:
        case Conv() | Linear() | Filter() | Affine():
            return _multiplied(op, x, weights)
        case Relu() | Prelu() | Rectify() | Truncate():
            truncated, negative = (x, x < 0) if not op.drop else _rounded(op, x, rounding, q)
            return truncated if isinstance(op, Truncate) else _rectified(op, negative, truncated, weights)
        case Clip():
            return np.minimum(x, op.limit)
        case MaxPool(spare=0):
            return functional.max_pool2d(torch.from_numpy(x).double(), op.kernel, op.stride).long().numpy()
        case MaxPool():
            return _nearly_largest(op, x, rounding, q)
        case AveragePool() | SumPool():
            pooled = functional.avg_pool2d(torch.from_numpy(x).double(), op.kernel, op.stride, divisor_override=1)
            return pooled.long().numpy()
        case Add():
            return x + values[op.y]
        case Product():
            y = values[op.y]
            return x * (y if y.ndim == x.ndim else y.reshape(*y.shape, 1, 1))
        case Concat():
            return np.concatenate([x, values[op.y]], axis=1)
    return _local(op, x)


def _multiplied(op: Conv | Linear | Filter | Affine, x: Integers, weights: list[Integers]) -> Integers:
    match op:
        case Conv():
            options = {"stride": op.stride, "padding": op.padding, "dilation": op.dilation, "groups": op.groups}
            return _exactly(functional.conv2d, x, weights, **options)
        case Linear():
            return _exactly(functional.linear, x, weights)
        case Filter():
            taps = np.array(op.taps, np.int64).reshape(op.out_channels, x.shape[1], *op.kernel)
            return _exactly(functional.conv2d, x, [taps], stride=op.stride, padding=op.padding)
    return x * _channelwise(weights[0], x) + _channelwise(weights[1], x)


def _rounded(op: Relu | Prelu | Rectify | Truncate, x: Integers, rounding: Rounding, q: int) -> tuple[Integers, Bools]:
    """Without the lowest bits, and what of it is taken for negative."""
    truncated, negative = rounding(x.reshape(-1), op.drop, above(q, op.drop).below)
    return truncated.reshape(x.shape), negative.reshape(x.shape)


def _nearly_largest(op: MaxPool, x: Integers, rounding: Rounding, q: int) -> Integers:
    """As protocols/maximum.py goes about it: pairs of positions in a row's windows, then in a column's."""
    below = above(q, op.spare).below
    for axis, kernel, stride in ((3, op.kernel[1], op.stride[1]), (2, op.kernel[0], op.stride[0])):
        size = (x.shape[axis] - kernel) // stride + 1
        left = [np.take(x, range(k, k + stride * (size - 1) + 1, stride), axis=axis) for k in range(kernel)]
        while len(left) > 1:
            half = len(left) // 2
            a, b = (np.stack(some, axis=1) for some in (left[:half], left[half : 2 * half]))
            _, negative = rounding((a - b).reshape(-1), 0, below)
            larger = np.where(negative.reshape(a.shape), b, a)
            left = [*np.moveaxis(larger, 1, 0), *left[2 * half :]]
        x = left[0]
    return x


def _rectified(op: Relu | Prelu | Rectify, negative: Bools, truncated: Integers, weights: list[Integers]) -> Integers:
    positive: Integers = np.where(negative, 0, truncated)
    if isinstance(op, Relu):
        return positive
    if isinstance(op, Rectify):
        return np.stack([positive, truncated - positive], axis=2).reshape(len(truncated), -1, *truncated.shape[2:])
    return (positive << op.weight_bits) + _channelwise(weights[0], truncated) * (truncated - positive)


def _local(op: Operation, x: Integers) -> Integers:
    match op:
        case Align():
            return x << op.bits
        case Times():
            return x * op.factor
        case Offset():
            return x + op.integer
        case Sum():
            total: Integers = x.reshape(len(x), -1).sum(axis=1, keepdims=True)
            return total
        case Pad():
            return np.pad(x, op.widths, constant_values=op.fill)
        case Flatten():
            return x.reshape(len(x), -1)
    raise TypeError(op.kind)


def _channelwise(numbers: Integers, x: Integers) -> Integers:
    """(C,) as it multiplies (B, C, ...)."""
    return numbers.reshape(-1, *(1 for _ in x.shape[2:]))


def _exactly(layer: Callable[..., torch.Tensor], x: Integers, weights: list[Integers], **options: object) -> Integers:
    """A linear layer in float64, which is exact as long as the sum of absolute products stays below 2^53."""
    tensors = [torch.from_numpy(np.ascontiguousarray(w)).double() for w in weights]
    bound = float(tensors[0].abs().flatten(1).sum(1).max()) * float(np.abs(x).max(initial=0))
    bound += float(tensors[1].abs().max()) if len(tensors) > 1 else 0.0
    if bound >= _EXACT:
        raise RangeExceeded("a layer's sums could pass 2^53")
    return layer(torch.from_numpy(x).double(), *tensors, **options).long().numpy()
