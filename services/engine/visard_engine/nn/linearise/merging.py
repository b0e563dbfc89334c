"""Channels without an activation, taken out of a graph: their two convolutions become one."""

import copy
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from visard_engine.nn.linearise.places import Place, is_depthwise
from visard_engine.nn.tracing import layer_of

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Lines:
    """For some channels of an activation (its path in the module) what takes their place: linear in what its convolution reads.

    ``channels`` (K,) rise; ``weights`` (K, C) and ``biases`` (K,) make the channel of the C numbers at its place that the
    convolution before the activation reads.
    """

    place: str
    channels: npt.NDArray[np.int64]
    weights: Floats
    biases: Floats


def fold_norms(graph: fx.GraphModule) -> None:
    """Fold each batch norm that alone reads a convolution into it."""
    for node in list(graph.graph.nodes):
        norm, source = layer_of(graph, node), node.args[0] if node.args else None
        if not isinstance(norm, nn.BatchNorm2d) or not isinstance(source, fx.Node) or len(source.users) != 1:
            continue
        layer = layer_of(graph, source)
        called = sum(other.target == source.target for other in graph.graph.nodes)
        if isinstance(layer, nn.Conv2d) and called == 1 and norm.running_var is not None:
            kernel, bias = numbers_of(layer)
            scale, shift = _statistics(norm)
            kernel, bias = kernel * scale[:, None, None, None], bias * scale + shift
            _put(graph, source, _convolution(kernel, bias, layer, layer.groups))
            node.replace_all_uses_with(source)
            graph.graph.erase_node(node)


def merge(graph: fx.GraphModule, place: Place, lines: Lines) -> Tensor:
    """Change the graph: what takes some channels' place comes of one convolution, behind the channels that stay.

    The order (C,) in which the last convolution of ``place.after`` now reads its channels.
    """
    first = cast(nn.Conv2d, layer_of(graph, place.before))
    second = cast(nn.Conv2d, layer_of(graph, place.depthwise))
    (matrix, bias), (windows, shift) = numbers_of(first), numbers_of(second)
    gone = torch.from_numpy(lines.channels)
    kept = torch.from_numpy(np.setdiff1d(np.arange(place.channels), lines.channels))
    rows, summand = torch.from_numpy(lines.weights), torch.from_numpy(lines.biases)
    window, offset = windows[gone], shift[gone]
    taps = rows[:, :, None, None] * window
    padded = any(cast(tuple[int, int], second.padding))
    if padded:  # the summand is not there outside the picture: the weights of a channel that is 1 inside
        taps = torch.cat([taps, summand[:, None, None, None] * window], dim=1)
    else:
        offset = offset + summand * window.sum(dim=(1, 2, 3))
    result = _insert(graph, place, _convolution(taps, offset, second, 1), padded=padded)
    if not len(kept):
        place.depthwise.replace_all_uses_with(result)
        for node in (place.depthwise, place.activation, place.before):
            graph.graph.erase_node(node)
        return gone
    _put(graph, place.before, _convolution(matrix[kept], bias[kept], first, 1))
    _take(graph, place.activation, kept)
    _put(graph, place.depthwise, _convolution(windows[kept], shift[kept], second, len(kept)))
    with graph.graph.inserting_before(place.depthwise.next):
        both = graph.graph.call_function(torch.cat, ([place.depthwise, result], 1))
    place.depthwise.replace_all_uses_with(both, delete_user_cb=lambda user: user is not both)
    order = torch.cat([kept, gone])
    _reorder(graph, place.after, order)
    return order


def _insert(graph: fx.GraphModule, place: Place, merged: nn.Module, *, padded: bool) -> fx.Node:
    """The merged convolution, where the first of the two stands: it reads what that reads."""
    x, name = place.before.args[0], f"{place.depthwise.target}_merged"
    graph.add_submodule(name, merged)
    with graph.graph.inserting_before(place.before):
        if padded:
            x = graph.graph.call_function(functional.pad, (x, (0, 0, 0, 0, 0, 1)), {"value": 1.0})
        return graph.graph.call_module(name, (x,))


def _reorder(graph: fx.GraphModule, path: tuple[fx.Node, ...], order: Tensor) -> None:
    """Layers take their channels in another order, up to a convolution that reads all of them."""
    for node in path:
        layer = layer_of(graph, node)
        if isinstance(layer, nn.Conv2d) and not is_depthwise(layer):
            kernel, bias = numbers_of(layer)
            _put(graph, node, _convolution(kernel[:, order], bias, layer, 1))
        else:
            _take(graph, node, order)


def _take(graph: fx.GraphModule, node: fx.Node, channels: Tensor) -> None:
    """Some of the channels of a layer that keeps them apart, in this order."""
    layer = layer_of(graph, node)
    if isinstance(layer, nn.Conv2d):
        kernel, bias = numbers_of(layer)
        _put(graph, node, _convolution(kernel[channels], bias[channels], layer, len(channels)))
    elif isinstance(layer, nn.BatchNorm2d) or (isinstance(layer, nn.PReLU) and layer.num_parameters > 1):
        new = copy.deepcopy(layer)
        for name, tensor in (*layer.named_parameters(), *layer.named_buffers()):
            if tensor.ndim:
                some = tensor.detach()[channels]
                setattr(new, name, nn.Parameter(some, requires_grad=False) if name in new._parameters else some)
        _put(graph, node, new)


def numbers_of(layer: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """Kernel and bias, of zeros if there is none, in float64."""
    kernel = layer.weight.detach().double()
    bias = layer.bias.detach().double() if layer.bias is not None else kernel.new_zeros(len(kernel))
    return kernel, bias


def _statistics(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Scale and shift (C,): at inference it is x * scale + shift."""
    mean, variance = cast(Tensor, norm.running_mean).double(), cast(Tensor, norm.running_var).double()
    scale = 1 / torch.sqrt(variance + norm.eps)
    shift = -mean * scale
    if norm.affine:
        gamma, beta = norm.weight.detach().double(), norm.bias.detach().double()
        scale, shift = scale * gamma, shift * gamma + beta
    return scale, shift


def _convolution(kernel: Tensor, bias: Tensor, like: nn.Conv2d, groups: int) -> nn.Conv2d:
    """One of these numbers; stride, padding and dilation as another's."""
    outputs, inputs, *size = kernel.shape
    geometry: dict[str, Any] = {name: getattr(like, name) for name in ("stride", "padding", "dilation")}
    new = nn.Conv2d(inputs * groups, outputs, (size[0], size[1]), groups=groups, **geometry)
    for name, numbers in (("weight", kernel), ("bias", bias)):
        setattr(new, name, nn.Parameter(numbers.to(like.weight.dtype).contiguous(), requires_grad=False))
    return new.eval()


def _put(graph: fx.GraphModule, node: fx.Node, layer: nn.Module) -> None:
    """A layer in the place of the one that a node calls."""
    owner, _, name = str(node.target).rpartition(".")
    setattr(graph.get_submodule(owner), name, layer)
