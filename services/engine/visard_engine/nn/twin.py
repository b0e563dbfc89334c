"""The plaintext twin: the same program on plain integers, for range checks, accuracy and tests.

It differs from a run on shares only in how truncation rounds. ``Rounding`` is that one choice; with the random numbers
of a kit the twin is bit-exact (tests/engine/nn/test_execute.py). It computes every operation here, none by its own class: it is
what those are checked against.
"""

from collections.abc import Callable
from math import prod
from typing import cast

import numpy as np
import torch
from torch.nn import functional

from visard_engine.correlated import Dealing
from visard_engine.field import Elements, Integers
from visard_engine.kits import KitPlan, deal_kit
from visard_engine.nn.errors import RangeExceeded
from visard_engine.nn.operations.activations import Clip, Prelu, Rectify, Relu, Truncate
from visard_engine.nn.operations.arithmetic import Add, Align, Concat, Flatten, Offset, Pad, Product, Times
from visard_engine.nn.operations.base import Operation
from visard_engine.nn.operations.norm import Affine, Sum
from visard_engine.nn.operations.pooling import AveragePool, MaxPool, SumPool
from visard_engine.nn.operations.weighted import Conv, Filter, Linear
from visard_engine.nn.program import Program

# integers (n,) of a wide value and the bits to drop, to truncated integers (n,)
Rounding = Callable[[Integers, int], Integers]
Observer = Callable[[int, Integers], None]

_EXACT = 1 << 53  # float64 holds every integer below this


def random_rounding(seed: int) -> Rounding:
    """As on shares: floor((2z + u) / 2^(drop+1)) with u uniform, here from a seeded generator."""
    rng = np.random.default_rng(seed)

    def truncate(z: Integers, drop: int) -> Integers:
        return (2 * z + rng.integers(0, 1 << drop + 1, z.shape)) >> (drop + 1)

    return truncate


def dealt_rounding(plan: KitPlan, master: bytes, kit_id: int) -> Rounding:
    """The rounding of a run that uses this kit, bit for bit: for the dealer's eyes, which are a test's or a benchmark's.

    Truncations must be asked for in the order of the plan.
    """
    drawn: list[Elements] = []

    class Recording(Dealing):
        """Keeps the r of every section."""

        def random(self, n: int) -> Elements:
            drawn.append(super().random(n))
            return drawn[-1]

    deal_kit(plan, master, kit_id, Recording)
    sections = zip(drawn, plan.sections, strict=True)
    masks = iter([r for r, section in sections if section.kind in ("relu", "truncate")])
    p, q = plan.field.p, plan.q

    def truncate(z: Integers, drop: int) -> Integers:
        # the formula of protocols/truncation.py in Python integers: 2 z + r passes 63 bits
        g, r = drop + 1, next(masks).astype(object)
        moved = (2 * z.astype(object) + r + (1 << q - 2)) % p
        wrapped = (r >> q - 1) * (1 - (moved >> q - 1))
        exact = (moved >> g) - (r >> g) + wrapped * (1 << q - g) - (1 << q - 2 >> g)
        return cast(Integers, exact.astype(np.int64))

    return truncate


def floor_rounding(z: Integers, drop: int) -> Integers:
    """Integers (n,) without their lowest bits: always down."""
    return z >> drop


def run_twin(
    program: Program,
    weights: Integers,
    images: Integers,
    rounding: Rounding = floor_rounding,
    observe: Observer | None = None,
) -> Integers:
    """Descriptors (B, D) at the output's scale, of images (B, C, H, W) at the input's; weights as in the program.

    ``observe(k, values)`` sees every operation's result. Raises RangeExceeded where float64 would not be exact.
    """
    values: list[Integers] = [images.astype(np.int64)]
    for k, (op, own) in enumerate(zip(program.operations, weights_of(program, weights), strict=True)):
        values.append(_apply(op, values, own, rounding))
        if observe is not None:
            observe(k, values[-1])
    return values[-1]


def weights_of(program: Program, weights: Integers) -> list[list[Integers]]:
    """Of each operation its weights, as they are shaped."""
    sizes = [sum(prod(shape) for shape in shapes) for shapes in program.weight_shapes]
    groups = np.split(weights, np.cumsum(sizes)[:-1])
    return [_split(own, shapes) for own, shapes in zip(groups, program.weight_shapes, strict=True)]


def _split(weights: Integers, shapes: tuple[tuple[int, ...], ...]) -> list[Integers]:
    ends = np.cumsum([prod(shape) for shape in shapes])[:-1]
    return [part.reshape(shape) for part, shape in zip(np.split(weights, ends), shapes, strict=True)] if shapes else []


def _apply(op: Operation, values: list[Integers], weights: list[Integers], rounding: Rounding) -> Integers:
    x = values[op.x]
    match op:
        case Conv() | Linear() | Filter() | Affine():
            return _multiplied(op, x, weights)
        case Relu() | Prelu() | Rectify() | Truncate():
            truncated = rounding(x.reshape(-1), op.drop).reshape(x.shape) if op.drop else x
            return truncated if isinstance(op, Truncate) else _rectified(op, x, truncated, weights)
        case Clip():
            return np.minimum(x, op.limit)
        case MaxPool():
            return functional.max_pool2d(torch.from_numpy(x).double(), op.kernel, op.stride).long().numpy()
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


def _rectified(op: Relu | Prelu | Rectify, x: Integers, truncated: Integers, weights: list[Integers]) -> Integers:
    positive: Integers = np.where(x < 0, 0, truncated)
    if isinstance(op, Relu):
        return positive
    if isinstance(op, Rectify):
        return np.stack([positive, truncated - positive], axis=2).reshape(len(x), -1, *x.shape[2:])
    return (positive << op.weight_bits) + _channelwise(weights[0], x) * (truncated - positive)


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
            return np.pad(x, op.widths)
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
