"""Sums, products and shapes, zero padding among them."""

from math import log2, prod
from typing import cast

import numpy as np
from torch import fx, nn
from torch.nn import functional

from visard_engine.nn.lowering.builder import Builder, argument, integers
from visard_engine.nn.operations.arithmetic import Add, Align, Concat, Flatten, Offset, Pad, Product, Times

_FINE = 16  # fractional bits of a public summand


def add(b: Builder, node: fx.Node) -> int:
    """x + y at the larger of two scales, or x plus a public number; either may come first."""
    x, y = argument(node, 0, "input"), argument(node, 1, "other")
    if isinstance(y, int | float):
        return shifted(b, node, b.value(node, x), y)
    if isinstance(x, int | float):
        return shifted(b, node, b.value(node, y), x)
    return b.emit(Add(*b.aligned(node, b.value(node, x), b.value(node, y))), node)


def subtract(b: Builder, node: fx.Node) -> int:
    """x - y at the larger of two scales, or one of them a public number."""
    x, y = argument(node, 0, "input"), argument(node, 1, "other")
    if isinstance(y, int | float):
        return shifted(b, node, b.value(node, x), -y)
    negative = b.emit(Times(b.value(node, y), -1, 0), node)
    if isinstance(x, int | float):
        return shifted(b, node, negative, x)
    return b.emit(Add(*b.aligned(node, b.value(node, x), negative)), node)


def multiply(b: Builder, node: fx.Node) -> int:
    """A secret product, wide, the larger value first; or one of the two a public factor."""
    x, y = argument(node, 0, "input"), argument(node, 1, "other")
    if isinstance(y, int | float):
        return times(b, node, b.value(node, x), y)
    if isinstance(x, int | float):
        return times(b, node, b.value(node, y), x)
    one, two = b.value(node, x), b.value(node, y)
    if b.at(one).size < b.at(two).size:
        one, two = two, one
    return product(b, node, one, two)


def divide(b: Builder, node: fx.Node) -> int:
    """x divided by a public number other than 0, as a factor."""
    y = argument(node, 1, "other")
    if not isinstance(y, int | float) or y == 0:
        raise b.refuse(node, "division by anything but a number")
    return times(b, node, b.operand(node, 0), 1 / y)


def product(b: Builder, node: fx.Node, x: int, y: int) -> int:
    """Values x times y, both narrow with an activation's bits; wide."""
    return b.emit(Product(*(b.factor(node, v) for v in (x, y))), node)


def shifted(b: Builder, node: fx.Node, x: int, summand: float) -> int:
    """Value x plus a public number of at most 16 fractional bits; x itself where that is 0."""
    if summand == 0:
        return x
    if b.at(x).scale < _FINE and not (summand * 2.0 ** b.at(x).scale).is_integer():
        low = next((k for k in range(b.profile.activations) if (summand * 2.0**k).is_integer()), b.profile.activations)
        x = _at_least(b, node, x, low)
    shift = max(0, b.at(x).scale - _FINE)
    value = int(integers(np.array(summand), b.at(x).scale - shift))
    return b.emit(Offset(x, value, shift), node)


def _at_least(b: Builder, node: fx.Node, x: int, bits: int) -> int:
    missing = bits - b.at(x).scale
    return b.emit(Align(x, missing), node) if missing > 0 else x


def times(b: Builder, node: fx.Node, x: int, factor: float) -> int:
    """x times a public number: a power of two costs no bit, others ``profile.factors`` bits, dropped at once."""
    if factor == 1:
        return x
    if factor == 0:
        raise b.refuse(node, "a factor of 0, which leaves nothing")
    exponent = log2(abs(factor))
    if exponent.is_integer() and exponent <= 0:
        return b.emit(Times(x, 1 if factor > 0 else -1, int(-exponent)), node)
    if float(factor).is_integer():
        return b.emit(Times(x, int(factor), 0), node)
    bits = b.bits(node.name, max(0, b.profile.factors - int(np.floor(exponent)) - 1), np.array([factor]))
    scaled = b.emit(Times(x, round(factor * 2**bits), bits), node, node.name)
    return b.narrow(scaled, node, b.profile.activations)


def concat(b: Builder, node: fx.Node) -> int:
    """Channels of pictures, or features of flat values, side by side at their largest scale."""
    parts, axis = argument(node, 0, "tensors"), argument(node, 1, "dim", 0)
    values = [b.value(node, part) for part in parts]
    ranks = {len(b.at(v).shape) + 1 for v in values}
    if len(ranks) != 1 or axis % ranks.pop() != 1:
        raise b.refuse(node, "cat along anything but channels or features")
    first, *others = b.aligned(node, *values)
    for other in others:
        first = b.emit(Concat(first, other), node)
    return first


def flatten(b: Builder, node: fx.Node) -> int:
    """All axes but the batch's into one, and no other choice of axes."""
    layer = b.layer(node)
    start = layer.start_dim if layer is not None else argument(node, 1, "start_dim", 0)
    end = layer.end_dim if layer is not None else argument(node, 2, "end_dim", -1)
    if start != 1 or end != -1:
        raise b.refuse(node, "flatten of all axes but the first, nothing else")
    return b.emit(Flatten(b.operand(node, 0)), node)


def reshape(b: Builder, node: fx.Node) -> int:
    """view or reshape to (batch, -1), or of one number a channel to (batch, C, 1, 1)."""
    sizes = node.args[1] if len(node.args) == 2 and isinstance(node.args[1], tuple | list) else node.args[1:]
    x = b.operand(node, 0)
    shape = b.at(x).shape
    batch, tail = sizes[0] if sizes else None, tuple(sizes[1:])
    if not isinstance(batch, fx.Node) and batch not in (1, -1):
        raise b.refuse(node, f"a reshape to {tuple(sizes)}: the batch comes first, as x.size(0), 1 or -1")
    if len(tail) == 1 and tail[0] in (-1, prod(shape)):
        return b.emit(Flatten(x), node)
    if len(tail) == 3 and tail[1:] == (1, 1) and prod(shape) == shape[0]:
        return x
    raise b.refuse(node, "a reshape to anything but (batch, -1)")


def nothing(b: Builder, node: fx.Node) -> int:
    """The operand itself: a layer that does nothing at inference."""
    if node.target is functional.dropout and argument(node, 2, "training", True):
        raise b.refuse(node, "dropout that is always on; pass training=self.training")
    return b.operand(node, 0)


def pad(b: Builder, node: fx.Node) -> int:
    """functional.pad: zeros around rows and columns and after the last channel, or there alone another public number."""
    padding = tuple(cast(tuple[int, ...], argument(node, 1, "pad")))
    constant, number = argument(node, 2, "mode", "constant") == "constant", argument(node, 3, "value") or 0
    before = len(padding) > 4 and padding[4]
    if not constant or len(padding) > 6 or min(padding) < 0 or before or (number and any(padding[:4])):
        raise b.refuse(
            node, "padding other than zeros around rows and columns, and after the last channel zeros or another number"
        )
    left, columns, top, rows, _, channels = (*padding, *(0 for _ in range(6 - len(padding))))
    x = b.factor(node, b.operand(node, 0)) if number else b.operand(node, 0)
    fill = number * 2.0 ** b.at(x).scale
    if not fill.is_integer():
        raise b.refuse(node, f"padding with {number:.9g}, only with numbers of at most {b.at(x).scale} fractional bits")
    if x not in b.slopes:
        return b.emit(Pad(x, channels, rows, columns, top, left, int(fill)), node)
    padded = b.emit(Pad(x, 2 * channels, rows, columns, top, left, int(fill)), node)
    b.slopes[padded] = np.append(b.slopes[x], np.zeros(channels))  # of the two that Rectify has, the first one counts
    return padded


def zero_pad(b: Builder, node: fx.Node) -> int:
    """nn.ZeroPad2d: zeros around rows and columns, none taken away."""
    left, columns, top, rows = cast(nn.ZeroPad2d, b.layer(node)).padding
    if min(left, columns, top, rows) < 0:
        raise b.refuse(node, "negative padding")
    return b.emit(Pad(b.operand(node, 0), 0, rows, columns, top, left), node)
