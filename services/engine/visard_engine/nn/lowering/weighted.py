"""Layers with weights: convolutions and matrices, with the batch norm that follows."""

from typing import Any, cast

import numpy as np
from torch import fx, nn

from visard_engine.nn.lowering import norm
from visard_engine.nn.lowering.builder import Builder, Floats, argument, integers, pair
from visard_engine.nn.operations.weighted import Conv, Filter, Linear

_FEW_MORE = 4  # bits beyond the activations' that a matrix's input may have


def conv(b: Builder, node: fx.Node) -> int:
    """A convolution, with the batch norm that alone follows it."""
    layer = cast(nn.Conv2d, b.layer(node))
    kernel, bias = _folded(b, node, layer)
    x = b.factor(node, b.operand(node, 0))
    if x in b.slopes:
        kernel = _sloped(kernel, b.slopes[x], layer.groups)
    geometry = _geometry(b, node, layer.padding, kernel, layer.stride, layer.dilation)
    return _emit_conv(b, node, x, kernel, bias, geometry, layer.groups)


def _sloped(kernel: Floats, slopes: Floats, groups: int) -> Floats:
    """The kernel on Rectify's channels: w relu(t) + (w a) min(0, t), a the slope of the channel that w reads."""
    filters, channels = kernel.shape[:2]
    first = np.arange(filters) // (filters // groups) * channels  # the first channel of each filter's group
    factors = slopes[first[:, None] + np.arange(channels)][:, :, None, None]
    both: Floats = np.stack([kernel, kernel * factors], axis=2)
    return both.reshape(filters, 2 * channels, *kernel.shape[2:])


def conv_function(b: Builder, node: fx.Node) -> int:
    """functional.conv2d: with a parameter as kernel a secret convolution, with a buffer a public filter."""
    kernel, bias = b.attribute(argument(node, 1, "weight")), argument(node, 2, "bias")
    if kernel is None or bias is not None:
        raise b.refuse(node, "conv2d with a kernel that is a parameter (secret) or a buffer (public), without bias")
    padding, stride = argument(node, 4, "padding", 0), argument(node, 3, "stride", 1)
    dilation, groups = argument(node, 5, "dilation", 1), argument(node, 6, "groups", 1)
    weights = kernel.detach().double().numpy()
    x, geometry = b.operand(node, 0), _geometry(b, node, padding, weights, stride, dilation)
    if isinstance(kernel, nn.Parameter):
        return _emit_conv(b, node, b.factor(node, x), weights, None, geometry, groups)
    if geometry["dilation"] != (1, 1):
        raise b.refuse(node, "a public kernel with dilation")
    return _emit_filter(b, node, x, _ungrouped(weights, groups), geometry)


def _emit_conv(
    b: Builder, node: fx.Node, x: int, kernel: Floats, bias: Floats | None, geometry: dict[str, Any], groups: int
) -> int:
    bits = b.bits(node.name, b.weight_bits(x), kernel)
    b.encode(kernel, bits)
    if bias is not None:
        b.encode(bias, bits + b.at(x).scale)
    size = pair(kernel.shape[2:])
    op = Conv(x, len(kernel), size, weight_bits=bits, bias=bias is not None, groups=groups, **geometry)
    return b.emit(op, node, node.name)


def _emit_filter(b: Builder, node: fx.Node, x: int, kernel: Floats, geometry: dict[str, Any]) -> int:
    """As few bits as hold the taps exactly, if few do."""
    exact = (k for k in range(b.profile.factors) if (integers(kernel, k) == kernel * 2.0**k).all())
    bits = next(exact, b.profile.factors)
    taps = tuple(int(tap) for tap in integers(kernel, bits).reshape(-1))
    size = pair(kernel.shape[2:])
    op = Filter(x, len(kernel), size, geometry["stride"], geometry["padding"], weight_bits=bits, taps=taps)
    return b.emit(op, node)


def _ungrouped(kernel: Floats, groups: int) -> Floats:
    """A kernel for all channels, zero outside each filter's group."""
    filters, channels = kernel.shape[:2]
    whole = np.zeros((filters, channels * groups, *kernel.shape[2:]))
    for k in range(filters):
        first = k // (filters // groups) * channels
        whole[k, first : first + channels] = kernel[k]
    return whole


def _geometry(b: Builder, node: fx.Node, padding: Any, kernel: Floats, stride: Any, dilation: Any) -> dict[str, Any]:
    """Stride, padding and dilation as pairs of numbers."""
    spans = [d * (k - 1) for k, d in zip(kernel.shape[2:], pair(dilation), strict=True)]
    if padding == "valid":
        padding = 0
    elif padding == "same":
        if any(span % 2 for span in spans):
            raise b.refuse(node, "Conv2d with padding 'same', only for odd kernels")
        padding = tuple(span // 2 for span in spans)
    return {"stride": pair(stride), "padding": pair(padding), "dilation": pair(dilation)}


def linear(b: Builder, node: fx.Node) -> int:
    """A matrix; the last one has more bits, for it alone decides the descriptor's precision."""
    layer = cast(nn.Linear, b.layer(node))
    x = b.operand(node, 0)
    x = b.narrow(x, node, b.activation_bits(x) + (0 if b.at(x).wide else _FEW_MORE))
    scale = b.at(x).scale
    wanted = b.profile.last_weights if node in b.last_linear else b.weight_bits(x)
    matrix, bias = _folded(b, node, layer)
    bits = b.bits(node.name, wanted, matrix)
    b.encode(matrix, bits)
    if bias is not None:
        b.encode(bias, bits + scale)
    return b.emit(Linear(x, layer.out_features, bits, bias is not None), node, node.name)


def _folded(b: Builder, node: fx.Node, layer: nn.Conv2d | nn.Linear) -> tuple[Floats, Floats | None]:
    """Kernel and bias, with the batch norm folded in that follows."""
    kernel = layer.weight.detach().double().numpy()
    bias = layer.bias.detach().double().numpy() if layer.bias is not None else None
    follower = next(iter(node.users)) if norm.folds(b, node) else None
    following = b.layer(follower) if follower is not None else None
    if not isinstance(following, norm.BatchNorm) or follower is None:
        return kernel, bias
    b.folded.add(node)
    scale, shift = norm.statistics(b, follower, following)
    return kernel * scale.reshape(-1, *(1 for _ in kernel.shape[1:])), (0 if bias is None else bias) * scale + shift
