"""Batch norms, alone or in the layer before them; and the L2-normalised output.

That is x / |x|, with 1 / |x| by Newton's iteration on shares.

u = |x|^2 / S for a public power of four S above what the calibration images reach; v <- v (3 - u v^2) / 2 from v = 1 comes
to 1 / sqrt(u): it grows by up to one half in each step, and doubles its digits once it is close. All of it is ordinary
operations on one element: three truncations a step, no new protocol. It takes 2^61 - 1: in 31 bits too few digits remain.
"""

from math import ceil, log, log2
from typing import cast

import numpy as np
import torch
from torch import fx, nn

from visard_engine.nn.lowering.builder import Builder, Floats, argument
from visard_engine.nn.operations.arithmetic import Offset, Product, Times
from visard_engine.nn.operations.norm import Affine, Sum

BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d

_SQUARE_BITS, _BITS = 28, 24  # of u, and of what is computed with it: products stay below 2^58
_MARGIN = 4.0  # times the largest and the smallest squared norm of the calibration images
_LAST_STEPS = 4  # from one half to 2^-24
_WIDEST = 2.0**10  # largest 1 / u: v^2 must fit


def normalize(b: Builder, node: fx.Node) -> int:
    """functional.normalize of a flat value to Euclidean length 1, in the 61-bit field."""
    x, source = b.operand(node, 0), node.args[0]
    assert isinstance(source, fx.Node)
    flat = len(b.at(x).shape) == 1 and argument(node, 2, "dim", 1) in (1, -1) and argument(node, 1, "p", 2) == 2
    if not flat:
        raise b.refuse(node, "normalize of anything but features, to Euclidean length 1")
    if b.q != 61:
        raise b.refuse(node, "normalize needs the 61-bit field (q=61): in 31 bits 1 / |x| has too few digits")
    b.iterated.add(node)
    squares = (b.observed(source).astype(np.float64) ** 2).sum(axis=1)
    half, steps = _steps(b, node, float(squares.min()), float(squares.max()))
    x = b.factor(node, x)
    square = b.emit(Sum(b.emit(Product(x, x), node)), node)
    reciprocal = _inverse_root(b, node, _over_power(b, node, square, 2 * half), steps)
    return _over_power(b, node, b.emit(Product(x, reciprocal), node), half)


def _steps(b: Builder, node: fx.Node, least: float, most: float) -> tuple[int, int]:
    """log4 S, and how many steps the smallest u needs."""
    half = ceil(log2(max(most, 2.0**-40) * _MARGIN) / 2)
    smallest = least / _MARGIN / 4.0**half
    if smallest * _WIDEST < 1:
        raise b.refuse(node, f"normalize of lengths from {least**0.5:.3g} to {most**0.5:.3g}: too wide a range")
    return half, ceil(log(smallest**-0.5, 1.5)) + _LAST_STEPS


def _over_power(b: Builder, node: fx.Node, x: int, bits: int) -> int:
    """x / 2^bits."""
    if bits == 0:
        return x
    return b.emit(Times(x, 1, bits) if bits > 0 else Times(x, 1 << -bits, 0), node)


def _inverse_root(b: Builder, node: fx.Node, u: int, steps: int) -> int:
    """1 / sqrt(u), narrow."""
    u = b.narrow(u, node, _SQUARE_BITS)
    v = b.narrow(_half_of_three_minus(b, node, u), node, _BITS)  # the first step, from 1
    for _ in range(steps - 1):
        square = b.narrow(b.emit(Product(v, v), node), node, _BITS)
        part = b.narrow(b.emit(Product(u, square), node), node, _BITS)
        v = b.narrow(b.emit(Product(v, _half_of_three_minus(b, node, part)), node), node, _BITS)
    return v


def _half_of_three_minus(b: Builder, node: fx.Node, x: int) -> int:
    """(3 - x) / 2, with one bit more."""
    negative = b.emit(Times(x, -1, 1), node)
    return b.emit(Offset(negative, 3, b.at(negative).scale - 1), node)


def batch_norm(b: Builder, node: fx.Node) -> int:
    """A batch norm: in the layer before it already, or a factor and a summand for each channel."""
    before = cast(fx.Node, node.args[0])
    if folds(b, before):
        return b.operand(node, 0)
    scale, shift = statistics(b, node, cast(BatchNorm, b.layer(node)))
    x = b.factor(node, b.operand(node, 0))
    bits = b.bits(node.name, b.weight_bits(x), scale)
    b.encode(scale, bits)
    b.encode(shift, bits + b.at(x).scale)
    return b.emit(Affine(x, bits), node, node.name)


def folds(b: Builder, node: fx.Node) -> bool:
    """Whether the batch norm after a node is folded into it."""
    return isinstance(b.layer(node), nn.Conv2d | nn.Linear) and len(node.users) == 1


def statistics(b: Builder, node: fx.Node, layer: BatchNorm) -> tuple[Floats, Floats]:
    """Scale (C,) and shift (C,): a batch norm at inference is x * scale + shift."""
    mean, variance = layer.running_mean, layer.running_var
    if mean is None or variance is None:
        raise b.refuse(node, f"a {type(layer).__name__} without running statistics")
    spread = variance.double().numpy() + layer.eps
    if not (spread > 0).all():
        raise b.refuse(node, f"a {type(layer).__name__} with a variance of zero or less")
    scale: Floats = 1 / np.sqrt(spread)
    shift: Floats = -mean.double().numpy() * scale
    if layer.affine:
        gamma, beta = (cast(torch.Tensor, t).detach().double().numpy() for t in (layer.weight, layer.bias))
        scale, shift = scale * gamma, shift * gamma + beta
    return scale, shift
