"""Walking a traced torch module: one operation after the other, with names, weights and scales."""

from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass, field
from math import log2
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import fx, nn

from visard_engine.field import Integers
from visard_engine.nn.errors import ModelError, ProgramError, UnsupportedLayer
from visard_engine.nn.operations.activations import Rectify, Relu, Truncate
from visard_engine.nn.operations.arithmetic import Align
from visard_engine.nn.operations.base import Interactive, Operation, Value
from visard_engine.nn.prepare import dtype_of, first_line
from visard_engine.nn.program import MAX_INTEGER
from visard_engine.nn.tracing import is_shape, kind_of, layer_of, place_of

Floats = npt.NDArray[np.float64]

OUTPUT = "<output>"  # the lever of what comes after the last layer; no node of a graph is called so, but a layer may be "output"
ACTIVATIONS = (Relu, Rectify)  # what may have more bits than the profile says
_LARGEST = 2.0**62  # of a number in a program or a weight
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
class Emitted:
    """One operation of the program that is built, its value, and where it comes from.

    ``place`` is where the layer stands in the module, ``node`` the name of the graph's node, ``lever`` the name under which
    the operation's weights can give bits away ("" if they cannot), ``extra`` the bits that its value has beyond the profile's.
    """

    operation: Operation
    value: Value
    place: str
    node: str
    lever: str
    extra: int


@dataclass
class Builder:
    """Emits operations for a prepared module and its graph, each by what ``lower`` finds for a node.

    Values have the numbers that they have in a program: 0 is the input, ``emitted[k]`` makes value k + 1. ``fewer`` are bits
    that layers give away because their values would leave the range, ``finer`` bits that the activations of a node get
    because they are small.
    """

    module: nn.Module
    traced: fx.GraphModule
    input_shape: tuple[int, int, int]
    q: int
    profile: Profile
    lower: Callable[["Builder", fx.Node], int]
    calibration: npt.NDArray[np.uint8]
    fewer: Mapping[str, int] = field(default_factory=dict)
    finer: Mapping[str, int] = field(default_factory=dict)
    emitted: list[Emitted] = field(default_factory=list)
    significance: dict[str, float] = field(default_factory=dict)  # bits of the largest weight, by lever
    weights: list[Integers] = field(default_factory=list)
    of_node: dict[fx.Node, int] = field(default_factory=dict)
    narrowed: dict[tuple[int, int], int] = field(default_factory=dict)
    slopes: dict[int, Floats] = field(default_factory=dict)  # of PReLUs that the convolution after them finishes
    put_off: set[fx.Node] = field(default_factory=set)  # ReLUs that come after the max-pooling that follows them
    folded: set[fx.Node] = field(default_factory=set)  # layers whose value is already that of the batch norm after them
    iterated: set[fx.Node] = field(default_factory=set)  # what comes close to its function, by more than rounding

    def build(self) -> None:
        """Emit every node of the graph, and the last truncation; raises UnsupportedLayer naming the node that does not fit."""
        nodes = self.traced.graph.nodes
        self.last_linear = [n for n in nodes if isinstance(self.layer(n), nn.Linear)][-1:]
        for node in nodes:
            self._visit(node)

    def _visit(self, node: fx.Node) -> None:
        if node.op == "placeholder":
            if self.of_node:
                raise UnsupportedLayer(f"{node.name}: one input is allowed")
            self.of_node[node] = 0
        elif node.op == "output":
            self._finish(self.operand(node, 0))
        elif node.op != "get_attr" and not is_shape(node):  # attributes and shapes are read where they are used
            self.of_node[node] = self._lowered(node)

    def _lowered(self, node: fx.Node) -> int:
        try:
            return self.lower(self, node)
        except ProgramError as error:
            raise self.refuse(node, str(error)) from error
        except ModelError:
            raise
        except Exception as error:  # an argument of a kind that nobody thought of
            raise self.refuse(node, f"{self.kind(node)} as it is called here: {first_line(error)}") from error

    def layer(self, node: fx.Node) -> nn.Module | None:
        """The module that a node calls, or None where it calls a function or method."""
        return layer_of(self.module, node)

    def kind(self, node: fx.Node) -> str:
        """The class of the module a node calls, or the function's name."""
        return kind_of(self.module, node)

    def operand(self, node: fx.Node, index: int) -> int:
        """The value that a node's argument stands for; raises UnsupportedLayer."""
        argument = node.args[index] if index < len(node.args) else None
        return self.value(node, argument)

    def value(self, node: fx.Node, argument: object) -> int:
        """The value that an argument stands for; raises UnsupportedLayer."""
        if not isinstance(argument, fx.Node) or argument not in self.of_node:
            raise self.refuse(node, f"{self.kind(node)} of something that is no single secret value")
        return self.of_node[argument]

    def attribute(self, argument: object) -> torch.Tensor | None:
        """The parameter or buffer that an argument reads, or None."""
        if not isinstance(argument, fx.Node) or argument.op != "get_attr":
            return None
        owner, _, name = str(argument.target).rpartition(".")
        found = getattr(self.traced.get_submodule(owner), name)
        if not isinstance(found, torch.Tensor):
            return None
        if not bool(torch.isfinite(found).all()):
            raise self.refuse(argument, f"NaN or infinity in {argument.target}")
        return found

    def observed(self, node: fx.Node) -> Floats:
        """What a node makes of the calibration images in float."""
        watch = _Watch(self.traced, node)
        with torch.no_grad():
            found = [watch.on(self.tensor(image)) for image in self.calibration]
        return np.concatenate([value.numpy() for value in found])

    def tensor(self, image: npt.NDArray[np.uint8]) -> torch.Tensor:
        """An image (C, H, W) as the module takes it, (1, C, H, W)."""
        return torch.from_numpy(image[None]).to(dtype_of(self.module))

    def place(self, node: fx.Node) -> str:
        """Where a node stands in the module: the layer's path, or the function's name and the module that calls it."""
        return place_of(node)

    def named(self, node: fx.Node) -> str:
        """A node's place, and the class of a layer, for an error's text."""
        return f"{place_of(node)} ({self.kind(node)})" if node.op == "call_module" else place_of(node)

    def refuse(self, node: fx.Node, why: str) -> UnsupportedLayer:
        """The error to raise about a node: its place, then why."""
        return UnsupportedLayer(f"{self.place(node)}: {why}")

    @property
    def operations(self) -> tuple[Operation, ...]:
        """Those emitted so far, as a program has them."""
        return tuple(e.operation for e in self.emitted)

    @property
    def values(self) -> list[Value]:
        """Shape, scale and width of each value by number, the input first."""
        return [Value(self.input_shape, 0, wide=False), *(e.value for e in self.emitted)]

    def at(self, x: int) -> Value:
        """Shape, scale and width of value ``x``."""
        return self.emitted[x - 1].value if x else Value(self.input_shape, 0, wide=False)

    def extra_bits(self, x: int) -> int:
        """Bits that value ``x`` has beyond the profile's."""
        return self.emitted[x - 1].extra if x else 0

    def emit(self, op: Operation, node: fx.Node | None, lever: str = "") -> int:
        """Append an operation, made for a node (None: for the output); the number of its value.

        ``lever`` is given with weights that can give bits away. Raises UnsupportedLayer where the operation does not fit.
        """
        place, name = (self.place(node), node.name) if node is not None else ("output", OUTPUT)
        try:
            _check_size(op)
            value = op.infer(self.values)
        except ProgramError as error:
            raise UnsupportedLayer(f"{place}: {error} required") from error
        self.emitted.append(Emitted(op, value, place, name, lever, self._extra(op, value, node)))
        return len(self.emitted)

    def _extra(self, op: Operation, value: Value, node: fx.Node | None) -> int:
        """Bits that a value just made has beyond the profile's."""
        if not isinstance(op, (Truncate, *ACTIVATIONS)):
            return max(self.extra_bits(source) for source in op.sources)
        finer = self.finer.get(node.name, 0) if node is not None else 0
        return max(0, min(finer, value.scale - self.profile.activations))

    def excess(self, x: int, node: fx.Node) -> int:
        """Bits to drop of a value so that a node's activations keep what they are to have."""
        return max(0, self.at(x).scale - self.profile.activations - self.finer.get(node.name, 0))

    def activation_bits(self, x: int) -> int:
        """Fractional bits that a value has as an operand of products."""
        return self.profile.activations + (0 if self.at(x).wide else self.extra_bits(x))

    def weight_bits(self, x: int) -> int:
        """Fractional bits of the weights that a narrow value is multiplied with."""
        return max(0, self.profile.products + self.extra_bits(x) - self.at(x).scale)

    def narrow(self, x: int, node: fx.Node | None, bits: int) -> int:
        """x as a narrow value of at most ``bits`` fractional bits; the same one for all who ask."""
        value = self.at(x)
        if not value.wide and value.scale <= bits:
            return x
        if (x, bits) not in self.narrowed:
            if value.scale <= bits:  # a product of few bits: a truncation needs one to drop
                x = self.emit(Align(x, bits + 1 - value.scale), node)
            self.narrowed[x, bits] = self.emit(Truncate(x, self.at(x).scale - bits), node)
        return self.narrowed[x, bits]

    def factor(self, node: fx.Node, x: int) -> int:
        """x as an operand of products: narrow, with an activation's bits."""
        return self.narrow(x, node, self.activation_bits(x))

    def aligned(self, node: fx.Node, *values: int) -> list[int]:
        """The numbers of values that stand for the same, all at the largest of their scales."""
        scale = max(self.at(v).scale for v in values)
        return [v if self.at(v).scale == scale else self.emit(Align(v, scale - self.at(v).scale), node) for v in values]

    def bits(self, lever: str, wanted: int, weights: torch.Tensor | Floats) -> int:
        """Fractional bits of a layer's weights, less what it has given away."""
        found = max(0, wanted - self.fewer.get(lever, 0))
        self.significance[lever] = log2(max(float(np.abs(np.asarray(weights)).max()), 2.0**-40)) + found
        return found

    def encode(self, w: torch.Tensor | Floats, bits: int) -> None:
        """Append weights of any shape to the program's, rounded to ``bits`` fractional bits.

        Raises ProgramError where a number is beyond 62 bits.
        """
        self.weights.append(integers(w, bits))

    def _finish(self, x: int) -> None:
        """Truncate to the output's bits. At least once: every run uses a kit, and what leaves is shared afresh."""
        bits = max(1, self.profile.output - self.fewer.get(OUTPUT, 0))
        interactive = any(isinstance(op, Interactive) for op in self.operations)
        if self.at(x).scale < bits or not interactive:
            x = self.emit(Align(x, max(1, bits + (not interactive) - self.at(x).scale)), None)
        self.narrow(x, None, bits)


class _Watch(fx.Interpreter):
    """Runs the traced module in torch and keeps what one node makes."""

    def __init__(self, module: fx.GraphModule, node: fx.Node) -> None:
        super().__init__(module)
        self._node = node
        self._found = torch.empty(0)

    def on(self, image: torch.Tensor) -> torch.Tensor:
        """The node's result for an image (1, C, H, W)."""
        self.run(image)
        return self._found

    def run_node(self, n: fx.Node) -> Any:
        """See fx.Interpreter."""
        result = super().run_node(n)
        if n is self._node:
            self._found = result
        return result


def integers(w: torch.Tensor | Floats, bits: int) -> Integers:
    """Real numbers, rounded to ``bits`` fractional bits; raises ProgramError where they are beyond 62 bits."""
    found = np.rint(np.asarray(w, np.float64) * 2.0**bits)
    if not (np.abs(found) < _LARGEST).all():
        raise ProgramError("numbers too large for a fixed point")
    return found.astype(np.int64)


def _check_size(op: Operation) -> None:
    """Numbers that stand in a program are of bounded size; raises ProgramError."""
    fields = (n for f in astuple(op) for n in (f if isinstance(f, tuple) else (f,)))
    if any(abs(n) > MAX_INTEGER for n in fields):
        raise ProgramError(f"public numbers of at most {log2(MAX_INTEGER):.0f} bits, their fractional bits included,")


def argument(node: fx.Node, index: int, name: str, default: Any = None) -> Any:
    """A function's argument, given by position or by name, or else its default."""
    return node.args[index] if index < len(node.args) else node.kwargs.get(name, default)


def pair(x: Any) -> tuple[int, int]:
    """Rows and columns from one number for both, or from two."""
    return (x, x) if isinstance(x, int) else (int(x[0]), int(x[-1]))
