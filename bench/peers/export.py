"""Weights for the peers that have no torch, or not our owner's packages: W1 and W2 as arrays, W5 as steps.

``python -m bench.peers.export FOLDER`` writes them.
"""

import operator
import sys
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import fx, nn
from torch.nn import functional
from visard.owner import linear
from visard.owner.networks import face_resnet
from visard.owner.networks.faces import face_network
from visard.owner.networks.names import FACE

from bench.peers.steps import Array, Step, Steps
from bench.thesis import thesis_network

SCALE = 128.0  # of pixels: products of 255 and small weights lose bits in fractions of 16
_SEED = 8


def export(folder: Path) -> None:
    """All files into ``folder``."""
    folder.mkdir(exist_ok=True)
    face = face_resnet.load()
    face.entry.weight.mul_(256)  # pixels are 0 to 1 there
    for name, network in (("W1", face), ("W2", thesis_network())):
        layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
        arrays = [w.detach().numpy() for layer in layers for w in (layer.weight, layer.bias) if w is not None]
        np.savez(folder / f"{name}.npz", *arrays)
    sface().write(folder, "W5")


def sface(*, whole: bool = False) -> Steps:
    """SFace as it is published, lines in place of some activations; ``whole``: without."""
    face = face_network(FACE)
    module = face.load() if whole else linear.published(face.load(), face)
    graph = module if isinstance(module, fx.GraphModule) else fx.symbolic_trace(module)
    image = torch.from_numpy(np.random.default_rng(_SEED).integers(0, 256, (1, *face.input_shape))).float()
    with torch.no_grad():
        expected = graph(image)
    exported = _Exported(graph)
    return Steps(tuple(exported.steps), tuple(exported.arrays), (image / SCALE).numpy(), expected.numpy())


class _Exported:
    """Steps and arrays of a graph whose input is divided by SCALE: so is what is subtracted; the first kernel is multiplied."""

    def __init__(self, graph: fx.GraphModule) -> None:
        self.steps: list[Step] = []
        self.arrays: list[Array] = []
        self._numbers: dict[fx.Node, int] = {}
        for node in graph.graph.nodes:
            if node.op == "placeholder":
                self._numbers[node] = 0
            elif node.op != "output":
                self.steps.append(self._step(graph, node))
                self._numbers[node] = len(self.steps)

    def _step(self, graph: fx.GraphModule, node: fx.Node) -> Step:
        of = tuple(self._numbers[one] for one in node.all_input_nodes)
        if node.op == "call_module":
            return self._layer(graph.get_submodule(cast(str, node.target)), of)
        if node.target is operator.sub:
            return Step("subtract", of, number=cast(float, node.args[1]) / SCALE)
        if node.target is functional.pad:
            return Step("ones", of)
        if node.target in (torch.cat, torch.flatten):
            return Step("cat" if node.target is torch.cat else "flatten", of)
        raise ValueError(f"no step for {node.target}")

    def _layer(self, layer: nn.Module, of: tuple[int, ...]) -> Step:
        if isinstance(layer, nn.Conv2d):
            first = not any(step.do == "convolve" for step in self.steps)
            kernel = layer.weight * SCALE if first else layer.weight
            (stride, _), (padding, _) = layer.stride, cast(tuple[int, int], layer.padding)
            return Step("convolve", of, self._kept(kernel, layer.bias), stride, padding, layer.groups)
        if isinstance(layer, nn.PReLU):
            return Step("prelu", of, self._kept(layer.weight[:, None, None]))
        if isinstance(layer, nn.Linear):
            return Step("multiply", of, self._kept(layer.weight.T, layer.bias))
        raise ValueError(f"no step for {type(layer).__name__}")

    def _kept(self, *tensors: Any) -> tuple[int, ...]:
        self.arrays += [np.ascontiguousarray(tensor.detach().float().numpy()) for tensor in tensors]
        return tuple(range(len(self.arrays) - len(tensors), len(self.arrays)))


if __name__ == "__main__":
    export(Path(sys.argv[1]))
