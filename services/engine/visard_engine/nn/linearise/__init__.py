"""Networks with fewer activations: channels whose activation matters least become linear, and cost nothing any more.

A transform of a module, torch in and torch out, before it is compiled: nothing is trained. It changes what the network
computes, a little and on purpose; what is compiled is compared with the changed module.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import fx, nn

from visard_engine.nn.errors import ModelError, UnsupportedLayer
from visard_engine.nn.linearise.fitting import fit
from visard_engine.nn.linearise.merging import Lines, fold_norms, merge
from visard_engine.nn.linearise.places import Place, activation_elements, places, shapes_of
from visard_engine.nn.prepare import dtype_of, prepared
from visard_engine.nn.tracing import layer_of, traced

__all__ = ["Lines", "fitted", "linearised"]

Shape = tuple[int, int, int]


def fitted(module: nn.Module, input_shape: Shape, share: float, images: npt.NDArray[np.uint8]) -> tuple[Lines, ...]:
    """Lines for so large a share of all activation elements, those that a descriptor needs least on images (N, C, H, W).

    The same for the same module and images. The module is left as it is. Raises ModelError for a share outside 0 <= x < 1,
    and UnsupportedLayer, as ``linearised``, where the network has not so many channels between a 1x1 and a depthwise
    convolution.
    """
    if not 0 <= share < 1:
        raise ModelError(f"share of the activations to replace by lines: 0 or more and less than 1, not {share:g}")
    if share == 0:
        return ()
    graph, image = _folded(module), torch.zeros((1, *input_shape))
    shapes = shapes_of(graph, image.to(dtype_of(graph)))
    elements = round(share * activation_elements(graph, shapes))
    return fit(graph, tuple(places(graph, shapes)), elements, images, dtype_of(graph))


def linearised(module: nn.Module, input_shape: Shape, lines: Sequence[Lines]) -> nn.Module:
    """A copy that has lines in place of activations, its convolutions merged where it has them.

    Raises UnsupportedLayer for lines of a place or a channel that the network has not.
    """
    graph = _folded(module)
    shapes = shapes_of(graph, torch.zeros((1, *input_shape)).to(dtype_of(graph)))
    found = {place.name: place for place in places(graph, shapes)}
    orders: dict[fx.Node, npt.NDArray[np.int64]] = {}  # in which convolutions read what they read before
    for one in sorted(lines, key=lambda one: list(found).index(one.place) if one.place in found else -1):
        place = found.get(one.place)
        if place is None:
            raise UnsupportedLayer(f"{one.place}: no activation between a 1x1 convolution and a depthwise one")
        _check(one, place, cast(nn.Conv2d, layer_of(graph, place.before)).in_channels)
        order = orders.get(place.before)
        ordered = one if order is None else replace(one, weights=one.weights[:, order])
        orders[place.after[-1]] = merge(graph, place, ordered).numpy()
    graph.graph.lint()
    graph.delete_all_unused_submodules()
    graph.recompile()
    return graph.eval()


def _check(lines: Lines, place: Place, inputs: int) -> None:
    channels, count = lines.channels, len(lines.channels)
    rising = count > 0 and channels[0] >= 0 and channels[-1] < place.channels and bool((np.diff(channels) > 0).all())
    if not rising or lines.weights.shape != (count, inputs) or lines.biases.shape != (count,):
        raise UnsupportedLayer(
            f"{place.name}: channels that rise, from 0 to {place.channels - 1}, each with {inputs} weights and a bias"
        )
    if not (np.isfinite(lines.weights).all() and np.isfinite(lines.biases).all()):
        raise UnsupportedLayer(f"{place.name}: NaN or infinity in what takes the place of its channels")


def _folded(module: nn.Module) -> fx.GraphModule:
    """A copy as a graph, batch norms in their convolutions."""
    graph = traced(prepared(module))
    fold_norms(graph)
    graph.recompile()
    return graph
