"""The plaintext twin: the same program on plain integers, for range checks, accuracy and tests.

It differs from a run on shares only in how truncation rounds. ``Rounding`` is that one choice; with the random numbers
of a kit the twin is bit-exact (tests/mpc/nn/test_execute.py).
"""

from collections.abc import Callable
from math import prod
from typing import cast

import numpy as np
import torch
from torch.nn import functional

from services.mpc.correlated import Dealing
from services.mpc.field import Elements, Integers
from services.mpc.kits import KitPlan, deal_kit
from services.mpc.nn.errors import RangeExceeded
from services.mpc.nn.program import (
    Add,
    Align,
    AveragePool,
    Conv,
    Flatten,
    Linear,
    MaxPool,
    Operation,
    Pad,
    Program,
    Relu,
    Truncate,
)

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
    """Always down."""
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
    start = 0
    for k, (op, shapes) in enumerate(zip(program.operations, program.weight_shapes, strict=True)):
        size = sum(prod(shape) for shape in shapes)
        values.append(_apply(op, values, _split(weights[start : start + size], shapes), rounding))
        start += size
        if observe is not None:
            observe(k, values[-1])
    return values[-1]


def _split(weights: Integers, shapes: tuple[tuple[int, ...], ...]) -> list[Integers]:
    ends = np.cumsum([prod(shape) for shape in shapes])[:-1]
    return [part.reshape(shape) for part, shape in zip(np.split(weights, ends), shapes, strict=True)] if shapes else []


def _apply(op: Operation, values: list[Integers], weights: list[Integers], rounding: Rounding) -> Integers:
    x = values[op.x]
    match op:
        case Conv():
            return _exactly(functional.conv2d, x, weights, stride=op.stride, padding=op.padding)
        case Linear():
            return _exactly(functional.linear, x, weights)
        case Relu():
            truncated = rounding(x.reshape(-1), op.drop).reshape(x.shape) if op.drop else x
            return np.where(x < 0, 0, truncated)
        case Truncate():
            return rounding(x.reshape(-1), op.drop).reshape(x.shape)
        case MaxPool():
            return functional.max_pool2d(torch.from_numpy(x).double(), op.kernel, op.stride).long().numpy()
        case AveragePool():
            pooled = functional.avg_pool2d(torch.from_numpy(x).double(), op.kernel, op.stride, divisor_override=1)
            return pooled.long().numpy()
        case Align():
            return x << op.bits
        case Add():
            return x + values[op.y]
        case Pad():
            return np.pad(x, ((0, 0), (0, op.channels), (0, op.rows), (0, op.columns)))
        case Flatten():
            return x.reshape(len(x), -1)
    raise TypeError(op.kind)


def _exactly(layer: Callable[..., torch.Tensor], x: Integers, weights: list[Integers], **options: object) -> Integers:
    """A linear layer in float64, which is exact as long as the sum of absolute products stays below 2^53."""
    tensors = [torch.from_numpy(np.ascontiguousarray(w)).double() for w in weights]
    bound = float(tensors[0].abs().flatten(1).sum(1).max()) * float(np.abs(x).max(initial=0))
    bound += float(tensors[1].abs().max()) if len(tensors) > 1 else 0.0
    if bound >= _EXACT:
        raise RangeExceeded("a layer's sums could pass 2^53")
    return layer(torch.from_numpy(x).double(), *tensors, **options).long().numpy()
