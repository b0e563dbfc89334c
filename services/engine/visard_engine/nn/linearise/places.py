"""Where an activation stands between a 1x1 convolution and a depthwise one, which is where a line costs nothing.

What is linear in place of an activation leaves a value of degree 2, which would have to be opened like any other before the
next convolution. So both convolutions of such a channel become one, and the value between them is never computed. A 1x1
convolution and a depthwise one make a dense one of the depthwise kernel's size, exactly, borders included.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any, cast

import torch
from torch import fx, nn

from visard_engine.nn.tracing import kind_of, layer_of

Shape = tuple[int, ...]

ACTIVATIONS = (nn.ReLU, nn.PReLU, nn.LeakyReLU)
_FUNCTIONS = ("relu", "relu_", "leaky_relu", "leaky_relu_", "prelu")
# what acts on each channel alone, with the same numbers at every place
_BY_CHANNEL = (*ACTIVATIONS, nn.BatchNorm2d, nn.ReLU6, nn.Hardtanh, nn.Dropout, nn.Dropout2d, nn.Identity)


@dataclass(frozen=True)
class Place:
    """An activation of a graph whose channels may become lines, and the nodes around it.

    ``after`` is the path of single readers from what follows the depthwise convolution to the convolution that reads its
    channels in any order. ``size`` are the activation's elements a channel, ``products`` those that a line adds for one.
    """

    activation: fx.Node
    before: fx.Node
    depthwise: fx.Node
    after: tuple[fx.Node, ...]
    channels: int
    size: int
    products: int

    @property
    def name(self) -> str:
        """The activation's path in the module."""
        return str(self.activation.target)


def places(graph: fx.GraphModule, shapes: dict[fx.Node, Shape]) -> Iterator[Place]:
    """Every one, in the order of the graph; batch norms are folded into convolutions before."""
    calls = Counter(node.target for node in graph.graph.nodes if node.op == "call_module")
    for node in graph.graph.nodes:
        if isinstance(layer_of(graph, node), ACTIVATIONS) and (found := _place(graph, node, shapes)):
            around = (found.before, node, found.depthwise, *found.after)
            if all(calls[part.target] == 1 for part in around):
                yield found


def activation_elements(graph: fx.GraphModule, shapes: dict[fx.Node, Shape]) -> int:
    """Of one image, all activations together."""
    return sum(
        prod(shapes[node])
        for node in graph.graph.nodes
        if isinstance(layer_of(graph, node), ACTIVATIONS) or kind_of(graph, node) in _FUNCTIONS
    )


def _place(graph: fx.GraphModule, node: fx.Node, shapes: dict[fx.Node, Shape]) -> Place | None:
    before, depthwise = node.args[0], _only_reader(node)
    if not isinstance(before, fx.Node) or len(before.users) != 1 or depthwise is None:
        return None
    first, second = layer_of(graph, before), layer_of(graph, depthwise)
    after = _to_dense(graph, depthwise)
    if not is_pointwise(first) or not is_depthwise(second) or not after:
        return None
    first, second = cast(nn.Conv2d, first), cast(nn.Conv2d, second)
    source = before.args[0]
    made = layer_of(graph, source) if isinstance(source, fx.Node) else None
    # the program has two numbers for each that such an activation makes (operations.activations.Rectify)
    reads = first.in_channels * (2 if isinstance(made, nn.PReLU | nn.LeakyReLU) else 1)
    taps, (channels, *size) = prod(second.kernel_size), shapes[node]
    results = prod(shapes[depthwise][1:])
    added = reads * (taps * results - prod(size))  # a matrix's row for each channel moves behind the depthwise kernel
    return Place(node, before, depthwise, after, channels, prod(size), added)


def is_pointwise(layer: nn.Module | None) -> bool:
    """Whether each place of a convolution's result comes of the same place of its input, all channels."""
    return (
        isinstance(layer, nn.Conv2d)
        and (*layer.kernel_size, *layer.stride, layer.groups) == (1, 1, 1, 1, 1)
        and layer.padding in ((0, 0), "valid", "same")
    )


def is_depthwise(layer: nn.Module | None) -> bool:
    """Whether a convolution, padded with zeros if at all, makes each channel of one."""
    return (
        isinstance(layer, nn.Conv2d)
        and layer.groups == layer.in_channels == layer.out_channels
        and layer.padding_mode == "zeros"
        and not isinstance(layer.padding, str)
    )


def _only_reader(node: fx.Node) -> fx.Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None


def _to_dense(graph: fx.GraphModule, node: fx.Node) -> tuple[fx.Node, ...]:
    """The nodes from here to the next convolution of all channels, or none if something else comes before."""
    found: list[fx.Node] = []
    reader = _only_reader(node)
    while reader is not None:
        layer = layer_of(graph, reader)
        found.append(reader)
        if isinstance(layer, nn.Conv2d) and layer.groups == 1:
            return tuple(found)
        if not isinstance(layer, _BY_CHANNEL) and not is_depthwise(layer):
            return ()
        reader = _only_reader(reader)
    return ()


def shapes_of(graph: fx.GraphModule, image: torch.Tensor) -> dict[fx.Node, Shape]:
    """The shape of each node's tensor for an image (1, C, H, W), without the first axis."""
    watch = _Shapes(graph)
    with torch.no_grad():
        watch.run(image)
    return watch.found


class _Shapes(fx.Interpreter):
    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__(graph)
        self.found: dict[fx.Node, Shape] = {}

    def run_node(self, n: fx.Node) -> Any:
        """See fx.Interpreter."""
        result = super().run_node(n)
        if isinstance(result, torch.Tensor):
            self.found[n] = tuple(result.shape[1:])
        return result
