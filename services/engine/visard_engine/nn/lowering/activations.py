"""Activations: ReLU, and what can be made of it exactly."""

from typing import Any

import numpy as np
import torch
from torch import fx, nn
from torch.nn import functional

from visard_engine.nn.lowering.arithmetic import product, shifted, times
from visard_engine.nn.lowering.builder import Builder, argument, integers
from visard_engine.nn.operations.activations import Clip, Prelu, Rectify, Relu

RELUS = (torch.relu, torch.relu_, functional.relu, "relu", "relu_")
MAX_POOLS = (functional.max_pool2d, torch.max_pool2d)


def relu(b: Builder, node: fx.Node) -> int:
    """A ReLU; where max-pooling alone follows, it is done after it, on fewer values."""
    x = b.operand(node, 0)
    if not is_put_off(b, node):
        return emit_relu(b, node, x)
    b.put_off.add(node)
    return x


def emit_relu(b: Builder, node: fx.Node, x: int) -> int:
    """A ReLU of value x that leaves the fractional bits that the node's activations are to have."""
    return b.emit(Relu(x, b.excess(x, node)), node)


def _is_relu(b: Builder, node: object) -> bool:
    return isinstance(node, fx.Node) and (isinstance(b.layer(node), nn.ReLU) or node.target in RELUS)


def is_put_off(b: Builder, node: fx.Node) -> bool:
    """Whether a ReLU waits for the max-pooling that alone reads it."""
    if not _is_relu(b, node) or len(node.users) != 1:
        return False
    user = next(iter(node.users))
    return isinstance(b.layer(user), nn.MaxPool2d) or user.target in MAX_POOLS


def prelu(b: Builder, node: fx.Node) -> int:
    """nn.PReLU, one slope or one a channel: both are secret weights."""
    layer = b.layer(node)
    assert isinstance(layer, nn.PReLU)
    return _sloped(b, node, layer.weight.detach().double().numpy())


def leaky_relu(b: Builder, node: fx.Node) -> int:
    """nn.LeakyReLU and its function: the slope is secret as well."""
    layer = b.layer(node)
    slope = layer.negative_slope if isinstance(layer, nn.LeakyReLU) else argument(node, 1, "negative_slope", 0.01)
    return _sloped(b, node, np.array([slope]))


def _sloped(b: Builder, node: fx.Node, slopes: np.ndarray[Any, Any]) -> int:
    x = b.operand(node, 0)
    drop = max(1 if b.at(x).wide else 0, b.excess(x, node))
    if _is_finished_later(b, node, x):
        both = b.emit(Rectify(x, drop), node)
        b.slopes[both] = np.broadcast_to(slopes, b.at(x).shape[:1])
        return both
    bits = b.bits(node.name, b.profile.activations, np.maximum(1.0, slopes))
    b.encode(np.broadcast_to(slopes, b.at(x).shape[:1]), bits)
    return b.emit(Prelu(x, drop, bits), node, node.name)


def _is_finished_later(b: Builder, node: fx.Node, x: int) -> bool:
    """Whether convolutions alone read a PReLU: with twice the inputs they need no truncation in between."""
    if len(b.at(x).shape) != 3:
        return False
    readers = [reader for user in node.users for reader in (user.users if user.target is functional.pad else (user,))]
    return bool(readers) and all(isinstance(b.layer(reader), nn.Conv2d) for reader in readers)


def relu6(b: Builder, node: fx.Node) -> int:
    """min(max(x, 0), 6), exact but for one truncation."""
    return clamped(b, node, b.operand(node, 0), 0.0, 6.0)


def hardtanh(b: Builder, node: fx.Node) -> int:
    """min(max(x, low), high), of nn.Hardtanh or its function; both limits are public."""
    layer = b.layer(node)
    if isinstance(layer, nn.Hardtanh):
        return clamped(b, node, b.operand(node, 0), layer.min_val, layer.max_val)
    low, high = argument(node, 1, "min_val", -1.0), argument(node, 2, "max_val", 1.0)
    return clamped(b, node, b.operand(node, 0), low, high)


def clamp(b: Builder, node: fx.Node) -> int:
    """min(max(x, low), high), of torch.clamp with two public numbers."""
    low, high = argument(node, 1, "min"), argument(node, 2, "max")
    if not isinstance(low, int | float) or not isinstance(high, int | float):
        raise b.refuse(node, "clamp with two numbers")
    return clamped(b, node, b.operand(node, 0), low, high)


def hardsigmoid(b: Builder, node: fx.Node) -> int:
    """min(max(x + 3, 0), 6) / 6, the last factor as a public one."""
    return times(b, node, clamped(b, node, shifted(b, node, b.operand(node, 0), 3.0), 0.0, 6.0), 1 / 6)


def hardswish(b: Builder, node: fx.Node) -> int:
    """x times hardsigmoid(x): a secret product, wide."""
    return product(b, node, b.operand(node, 0), hardsigmoid(b, node))


def clamped(b: Builder, node: fx.Node, x: int, low: float, high: float) -> int:
    """low + min(max(x - low, 0), high - low): two comparisons, the second one exact and after the truncation."""
    positive = emit_relu(b, node, shifted(b, node, x, -low))
    limit = int(integers(np.array(high - low), b.at(positive).scale))
    return shifted(b, node, b.emit(Clip(positive, limit), node), low)
