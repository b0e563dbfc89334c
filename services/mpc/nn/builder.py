"""Walking a traced torch module: one operation after the other, with names, weights and scales."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import log2
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import fx, nn

from services.mpc.field import Integers
from services.mpc.nn.base import Operation, Value
from services.mpc.nn.errors import ProgramError, UnsupportedLayer
from services.mpc.nn.operations import INTERACTIVE
from services.mpc.nn.steps import Align, Rectify, Relu, Truncate

Floats = npt.NDArray[np.float64]
Emitter = Callable[["Builder", fx.Node], int]

OUTPUT = "output"
ACTIVATIONS = (Relu, Rectify)  # what may have more bits than the profile says
SIGNIFICANT_BITS = 5  # of the largest weight, which a layer keeps when it gives bits away


@dataclass(frozen=True)
class Profile:
    """Fractional bits: of activations, of a layer's products, of the last layer's weights, of the output, of factors.

    Where activations stay below 2^``reach`` as integers they get more bits, as many as reach it, and so do the products.
    """

    activations: int
    products: int
    last_weights: int
    output: int
    factors: int
    reach: int


# 2026-11: figures for the face network in docs/models.md
PROFILES = {31: Profile(8, 21, 16, 12, 9, 10), 61: Profile(16, 32, 20, 16, 16, 18)}


@dataclass(frozen=True)
class Emitters:
    """What emits which layers and functions."""

    modules: Mapping[type[nn.Module], Emitter]
    functions: Mapping[Any, Emitter]

    def find(self, builder: "Builder", node: fx.Node) -> Emitter:
        """What emits a node; raises UnsupportedLayer."""
        layer = builder.layer(node)
        if layer is not None:
            found = next((emit for kind, emit in self.modules.items() if isinstance(layer, kind)), None)
        else:
            found = self.functions.get(node.target)
        if found is None:
            what = type(layer).__name__ if layer is not None else getattr(node.target, "__name__", str(node.target))
            raise builder.refuse(node, f"{what} is not supported; docs/models.md lists the layers that are")
        return found


@dataclass
class Builder:
    """Emits operations.

    ``fewer`` are bits that layers give away because their values would leave the range, ``finer`` bits that the
    activations of a node get because they are small.
    """

    module: nn.Module
    input_shape: tuple[int, int, int]
    q: int
    profile: Profile
    emitters: Emitters
    calibration: npt.NDArray[np.uint8]
    fewer: Mapping[str, int] = field(default_factory=dict)
    finer: Mapping[str, int] = field(default_factory=dict)
    operations: list[Operation] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    nodes: list[str] = field(default_factory=list)  # for each operation the node that it was emitted for
    levers: list[str] = field(default_factory=list)  # for each operation the name under which it can give bits away
    significance: dict[str, float] = field(default_factory=dict)  # bits of the largest weight, by lever
    weights: list[Integers] = field(default_factory=list)
    values: list[Value] = field(default_factory=list)
    extra: list[int] = field(default_factory=list)  # for each value the bits it has beyond the profile's
    of_node: dict[fx.Node, int] = field(default_factory=dict)
    narrowed: dict[tuple[int, int], int] = field(default_factory=dict)
    slopes: dict[int, Floats] = field(default_factory=dict)  # of PReLUs that the convolution after them finishes

    def build(self) -> None:
        """Emit everything, and the last truncation."""
        self.values, self.extra = [Value(self.input_shape, 0, wide=False)], [0]
        self.traced = self._trace()
        nodes = self.traced.graph.nodes
        self.last_linear = [n for n in nodes if isinstance(self.layer(n), nn.Linear)][-1:]
        for node in nodes:
            self._visit(node)

    def _trace(self) -> fx.GraphModule:
        try:
            return fx.symbolic_trace(self.module.eval())
        except (fx.proxy.TraceError, TypeError) as error:
            raise UnsupportedLayer(f"{type(self.module).__name__}: its forward depends on data: {error}") from error

    def _visit(self, node: fx.Node) -> None:
        if node.op == "placeholder":
            if self.of_node:
                raise UnsupportedLayer(f"{node.name}: one input is allowed")
            self.of_node[node] = 0
        elif node.op == "output":
            self._finish(self.operand(node, 0))
        elif node.op != "get_attr" and not is_shape(node):  # attributes and shapes are read where they are used
            self.of_node[node] = self.emitters.find(self, node)(self, node)

    def layer(self, node: fx.Node) -> nn.Module | None:
        """The module a node calls, or None."""
        return self.module.get_submodule(str(node.target)) if node.op == "call_module" else None

    def operand(self, node: fx.Node, index: int) -> int:
        """The value that a node's argument stands for; raises UnsupportedLayer."""
        argument = node.args[index] if index < len(node.args) else None
        return self.value(node, argument)

    def value(self, node: fx.Node, argument: object) -> int:
        """The value that an argument stands for; raises UnsupportedLayer."""
        if not isinstance(argument, fx.Node) or argument not in self.of_node:
            what = getattr(node.target, "__name__", str(node.target))
            raise self.refuse(node, f"{what} of something that is no single secret value")
        return self.of_node[argument]

    def attribute(self, argument: object) -> torch.Tensor | None:
        """The parameter or buffer that an argument reads, or None."""
        if not isinstance(argument, fx.Node) or argument.op != "get_attr":
            return None
        owner, _, name = str(argument.target).rpartition(".")
        found = getattr(self.module.get_submodule(owner), name)
        return found if isinstance(found, torch.Tensor) else None

    def observed(self, node: fx.Node) -> Floats:
        """What a node makes of the calibration images in float."""
        watch = _Watch(self.traced, node)
        with torch.no_grad():
            found = [watch.on(torch.from_numpy(image[None]).float()) for image in self.calibration]
        return np.concatenate([value.numpy() for value in found])

    def place(self, node: fx.Node) -> str:
        """Where a node stands in the module: the layer's path, or the function's name and the module that calls it."""
        if node.op == "call_module":
            return str(node.target)
        stack = [path for path in node.meta.get("nn_module_stack", {}) if path]
        return f"{stack[-1]} ({node.name})" if stack else node.name

    def refuse(self, node: fx.Node, why: str) -> UnsupportedLayer:
        """What to raise about a node."""
        return UnsupportedLayer(f"{self.place(node)}: {why}")

    def emit(self, op: Operation, node: fx.Node | None, lever: str = "") -> int:
        """Append an operation; the number of its value."""
        name = self.place(node) if node is not None else OUTPUT
        try:
            self.values.append(op.infer(self.values))
        except ProgramError as error:
            raise UnsupportedLayer(f"{name}: {error} required") from error
        self.extra.append(self._extra(op, node))
        self.operations.append(op)
        self.names.append(name)
        self.nodes.append(node.name if node is not None else OUTPUT)
        self.levers.append(lever)
        return len(self.operations)

    def _extra(self, op: Operation, node: fx.Node | None) -> int:
        """Bits that the value just made has beyond the profile's."""
        if not isinstance(op, (Truncate, *ACTIVATIONS)):
            return max(self.extra[source] for source in op.sources)
        finer = self.finer.get(node.name, 0) if node is not None else 0
        return max(0, min(finer, self.values[-1].scale - self.profile.activations))

    def excess(self, x: int, node: fx.Node) -> int:
        """Bits to drop of a value so that a node's activations keep what they are to have."""
        return max(0, self.values[x].scale - self.profile.activations - self.finer.get(node.name, 0))

    def activation_bits(self, x: int) -> int:
        """Fractional bits that a value has as an operand of products."""
        return self.profile.activations + (0 if self.values[x].wide else self.extra[x])

    def weight_bits(self, x: int) -> int:
        """Fractional bits of the weights that a narrow value is multiplied with."""
        return max(0, self.profile.products + self.extra[x] - self.values[x].scale)

    def narrow(self, x: int, node: fx.Node | None, bits: int) -> int:
        """x as a narrow value of at most ``bits`` fractional bits; the same one for all who ask."""
        value = self.values[x]
        if not value.wide and value.scale <= bits:
            return x
        if (x, bits) not in self.narrowed:
            if value.scale <= bits:  # a product of few bits: a truncation needs one to drop
                x, value = self.emit(Align(x, bits + 1 - value.scale), node), self.values[-1]
            self.narrowed[x, bits] = self.emit(Truncate(x, self.values[x].scale - bits), node)
        return self.narrowed[x, bits]

    def aligned(self, node: fx.Node, *values: int) -> list[int]:
        """Values at their largest scale."""
        scale = max(self.values[v].scale for v in values)
        return [
            v if self.values[v].scale == scale else self.emit(Align(v, scale - self.values[v].scale), node)
            for v in values
        ]

    def bits(self, lever: str, wanted: int, weights: torch.Tensor | Floats) -> int:
        """Fractional bits of a layer's weights, less what it has given away."""
        found = max(0, wanted - self.fewer.get(lever, 0))
        self.significance[lever] = log2(max(float(np.abs(np.asarray(weights)).max()), 2.0**-40)) + found
        return found

    def encode(self, w: torch.Tensor | Floats, bits: int) -> None:
        """Append weights, rounded to ``bits`` fractional bits."""
        self.weights.append(integers(w, bits))

    def _finish(self, x: int) -> None:
        """Truncate to the output's bits. At least once: every run uses a kit, and what leaves is shared afresh."""
        bits = max(1, self.profile.output - self.fewer.get(OUTPUT, 0))
        interactive = any(isinstance(op, INTERACTIVE) for op in self.operations)
        if self.values[x].scale < bits or not interactive:
            x = self.emit(Align(x, max(1, bits + (not interactive) - self.values[x].scale)), None)
        self.narrow(x, None, bits)


class _Watch(fx.Interpreter):
    """Runs the module and keeps what one node makes."""

    def __init__(self, module: fx.GraphModule, node: fx.Node) -> None:
        super().__init__(module)
        self._node = node
        self._found = torch.empty(0)

    def on(self, image: torch.Tensor) -> torch.Tensor:
        """The node's result for an image."""
        self.run(image)
        return self._found

    def run_node(self, n: fx.Node) -> Any:
        """See fx.Interpreter."""
        result = super().run_node(n)
        if n is self._node:
            self._found = result
        return result


def integers(w: torch.Tensor | Floats, bits: int) -> Integers:
    """Real numbers, rounded to ``bits`` fractional bits."""
    return np.rint(np.asarray(w, np.float64) * 2.0**bits).astype(np.int64)


def is_shape(node: fx.Node) -> bool:
    """Whether a node asks for a size only: x.size(0), x.shape[0]."""
    if node.target == "size" or (node.target is getattr and node.args[1] == "shape"):
        return True
    first = node.args[0] if node.args else None
    return getattr(node.target, "__name__", "") == "getitem" and isinstance(first, fx.Node) and is_shape(first)


def argument(node: fx.Node, index: int, name: str, default: Any = None) -> Any:
    """A function's argument, by position or name."""
    return node.args[index] if index < len(node.args) else node.kwargs.get(name, default)


def pair(x: Any) -> tuple[int, int]:
    """A size of rows and columns."""
    return (x, x) if isinstance(x, int) else (int(x[0]), int(x[-1]))
