"""Pooling: maxima before the ReLU that stands before them, and means."""

from math import prod
from typing import Any

import numpy as np
from torch import fx

from visard_engine.nn.lowering.activations import emit_relu, is_put_off
from visard_engine.nn.lowering.builder import Builder, argument, pair
from visard_engine.nn.operations.activations import Relu
from visard_engine.nn.operations.arithmetic import Flatten, Pad, Times
from visard_engine.nn.operations.pooling import AveragePool, MaxPool, SumPool

_MEAN_BITS = 2  # beyond the activations', which a mean keeps


def max_pool(b: Builder, node: fx.Node) -> int:
    """Max-pooling, then the ReLU that stood before it; padded with zeros, which only a ReLU makes the least."""
    options = _pool_options(b, node)
    kernel = pair(options["kernel_size"])
    stride, padding = pair(options["stride"] or kernel), pair(options["padding"])
    if pair(options["dilation"]) != (1, 1):
        raise b.refuse(node, "MaxPool2d with dilation")
    x, before = b.operand(node, 0), node.args[0]
    put_off = isinstance(before, fx.Node) and is_put_off(b, before)
    after = _after(b.at(x).shape, kernel, stride, padding, options["ceil_mode"])
    if any((*padding, *after)):
        if not put_off and not _is_positive(b, x):  # zeros are no smaller than what they stand beside
            raise b.refuse(node, "MaxPool2d with padding or ceil_mode, only after a ReLU")
        x = b.emit(Pad(x, 0, *after, *padding), node)
    pooled = b.emit(MaxPool(x, kernel, stride), node)
    return emit_relu(b, node, pooled) if put_off else pooled


def _pool_options(b: Builder, node: fx.Node) -> dict[str, Any]:
    layer = b.layer(node)
    names = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
    if layer is not None:
        return {name: getattr(layer, name) for name in names}
    defaults = (None, None, 0, 1, False)
    return {name: argument(node, k + 1, name, defaults[k]) for k, name in enumerate(names)}


def _after(
    shape: tuple[int, ...], kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int], up: bool
) -> tuple[int, int]:
    """Rows and columns to add at the end."""
    ends = []
    for size, k, step, before in zip(shape[1:], kernel, stride, padding, strict=True):
        room = size + 2 * before - k
        last = (-(-room // step) if up else room // step) * step  # where the last window begins
        if up and last >= size + before:  # as torch: it must begin inside
            last -= step
        ends.append(max(0, last + k - size - before))
    return ends[0], ends[1]


def _is_positive(b: Builder, x: int) -> bool:
    return x > 0 and isinstance(b.emitted[x - 1].operation, Relu)


def adaptive_max_pool(b: Builder, node: fx.Node) -> int:
    """Adaptive max-pooling to sizes that divide the picture's."""
    x = b.operand(node, 0)
    kernel = adaptive_kernel(b, node, x)
    return b.emit(MaxPool(x, kernel, kernel), node)


def adaptive_kernel(b: Builder, node: fx.Node, x: int) -> tuple[int, int]:
    """The window of adaptive pooling; raises UnsupportedLayer unless all windows are alike."""
    layer = b.layer(node)
    wanted: Any = layer.output_size if layer is not None else argument(node, 1, "output_size")
    size = b.at(x).shape[1:]
    sizes = (wanted, wanted) if isinstance(wanted, int) else wanted
    goal = [s if w is None else w for s, w in zip(size, sizes, strict=True)]
    if any(s % g for s, g in zip(size, goal, strict=True)):
        what = type(layer).__name__ if layer is not None else node.name
        raise b.refuse(node, f"{what} from {size[0]}x{size[1]} to {wanted}, only to sizes that divide it")
    return size[0] // goal[0], size[1] // goal[1]


def average_pool(b: Builder, node: fx.Node) -> int:
    """Average pooling; padding counts as zeros, and no window reaches beyond it."""
    layer = b.layer(node)
    if layer is None:
        size = argument(node, 1, "kernel_size")
        kernel, stride = pair(size), pair(argument(node, 2, "stride") or size)
        padding = pair(argument(node, 3, "padding", 0))
    else:
        kernel, stride, padding = (pair(getattr(layer, name)) for name in ("kernel_size", "stride", "padding"))
        if layer.ceil_mode or (any(padding) and not layer.count_include_pad):
            raise b.refuse(node, "AvgPool2d with ceil_mode, or with padding that does not count")
    x = b.operand(node, 0)
    if any(padding):
        x = b.emit(Pad(x, 0, *padding, *padding), node)
    return mean_of(b, node, x, kernel, stride)


def adaptive_average_pool(b: Builder, node: fx.Node) -> int:
    """Adaptive average pooling to sizes that divide the picture's."""
    x = b.operand(node, 0)
    kernel = adaptive_kernel(b, node, x)
    return mean_of(b, node, x, kernel, kernel)


def mean(b: Builder, node: fx.Node) -> int:
    """torch.mean of a picture over rows and columns, kept as axes of 1 or dropped."""
    x, axes = b.operand(node, 0), argument(node, 1, "dim")
    if len(b.at(x).shape) != 3 or _axes(axes) != [2, 3]:
        raise b.refuse(node, "mean over anything but rows and columns")
    size = pair(b.at(x).shape[1:])
    found = mean_of(b, node, x, size, size)
    return found if argument(node, 2, "keepdim", False) else b.emit(Flatten(found), node)


def mean_of(b: Builder, node: fx.Node, x: int, kernel: tuple[int, int], stride: tuple[int, int]) -> int:
    """The mean of each window: of 2^m elements their sum, of others their sum times a public number."""
    count = prod(kernel)
    if count & (count - 1) == 0:
        return b.emit(AveragePool(x, kernel, stride), node)
    x = b.factor(node, x)
    total = b.emit(SumPool(x, kernel, stride), node)
    bits = (count - 1).bit_length() + b.bits(node.name, b.profile.factors, np.ones(1))
    scaled = b.emit(Times(total, round(2**bits / count), bits), node, node.name)
    return b.narrow(scaled, node, min(b.activation_bits(x), b.at(x).scale) + _MEAN_BITS)


def _axes(axes: Any) -> list[int]:
    """Of (B, C, H, W), in order."""
    listed = axes if isinstance(axes, tuple | list) else () if axes is None else (axes,)
    return sorted(axis % 4 for axis in listed)
