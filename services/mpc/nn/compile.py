"""From a torch module to a program and integer weights.

The layers are a closed list: Conv2d, Linear, BatchNorm2d after a convolution (folded), ReLU, MaxPool2d, AvgPool2d and
global average over 2^m elements, addition, flatten, zero padding after the last channel, row and column, and what does
nothing at inference (Identity, Dropout). Anything else is refused by name. Ranges are measured on calibration images and
kept with a margin inside what the protocols need.
"""

import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from math import log2, prod
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import fx, nn
from torch.nn import functional

from services.mpc.field import Integers
from services.mpc.nn import program as ir
from services.mpc.nn.errors import ProgramError, RangeExceeded, UnsupportedLayer
from services.mpc.nn.twin import random_rounding, run_twin

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Profile:
    """Fractional bits: of activations, of a layer's products, of the last layer's weights, of the descriptor."""

    activations: int
    products: int
    last_weights: int
    output: int


# 2026-11: figures for the face network in docs/models.md
PROFILES = {31: Profile(8, 21, 16, 12), 61: Profile(16, 32, 20, 16)}


@dataclass(frozen=True)
class LayerReport:
    """One operation: its shape, multiply-adds, largest |integer| on the calibration images and the bits left above it."""

    name: str
    kind: str
    shape: tuple[int, ...]
    multiply_adds: int
    largest_bits: float
    headroom_bits: float


@dataclass(frozen=True)
class Compiled:
    """A program, its weights (one flat vector, |w| < 2^40) and what is known about it."""

    program: ir.Program
    weights: Integers
    layers: list[LayerReport]

    @property
    def multiply_adds(self) -> int:
        """Of one image."""
        return sum(layer.multiply_adds for layer in self.layers)


def compile_module(
    module: nn.Module,
    input_shape: tuple[int, int, int],
    *,
    q: int,
    calibration: npt.NDArray[np.uint8],
    operating_points: dict[str, float],
    margin: float = 4.0,
    profile: Profile | None = None,
) -> Compiled:
    """Compile a module that maps raw pixels (B, C, H, W), 0 to 255, to descriptors (B, D).

    ``calibration`` are images (N, C, H, W); no value may come closer than ``margin`` times to the field's bound on them.
    Raises UnsupportedLayer, ProgramError and RangeExceeded, each naming the layer.
    """
    builder = _Builder(module, input_shape, profile or PROFILES[q])
    builder.build()
    program = ir.Program(q, input_shape, 0, tuple(builder.operations), operating_points)
    weights = np.concatenate([w.reshape(-1) for w in builder.weights])
    return Compiled(program, weights, _measure(program, weights, builder.names, calibration, margin))


@dataclass
class _Builder:
    """Walks the traced graph and emits operations."""

    module: nn.Module
    input_shape: tuple[int, int, int]
    profile: Profile
    operations: list[ir.Operation] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    weights: list[Integers] = field(default_factory=list)
    values: list[ir.Value] = field(default_factory=list)
    of_node: dict[fx.Node, int] = field(default_factory=dict)

    def build(self) -> None:
        """Emit everything, and the last truncation."""
        graph = fx.symbolic_trace(self.module.eval()).graph
        self.values = [ir.Value(self.input_shape, 0, wide=False)]
        self.last_linear = [n for n in graph.nodes if isinstance(self.layer(n), nn.Linear)][-1:]
        for node in graph.nodes:
            self.visit(node)

    def layer(self, node: fx.Node) -> nn.Module | None:
        """The module a node calls, or None."""
        return self.module.get_submodule(str(node.target)) if node.op == "call_module" else None

    def visit(self, node: fx.Node) -> None:
        """Emit one node."""
        if node.op == "placeholder":
            if self.of_node:
                raise UnsupportedLayer(f"{node.name}: one input is allowed")
            self.of_node[node] = 0
        elif node.op == "output":
            (result,) = node.args
            self.finish(self.of_node[cast(fx.Node, result)])
        else:
            self.of_node[node] = self.emitter(node)(node, self.of_node[cast(fx.Node, node.args[0])])

    def emitter(self, node: fx.Node) -> Callable[[fx.Node, int], int]:
        """What emits a node; raises UnsupportedLayer."""
        layer = self.layer(node)
        if layer is not None:
            found = next((emit for kind, emit in self.modules() if isinstance(layer, kind)), None)
        else:
            found = self.functions().get(node.target)
        if found is None:
            what = type(layer).__name__ if layer is not None else getattr(node.target, "__name__", str(node.target))
            raise UnsupportedLayer(f"{self.place(node)}: {what} is not on the list of layers (see docs/models.md)")
        return found

    def modules(self) -> list[tuple[type[nn.Module], Callable[[fx.Node, int], int]]]:
        """Modules on the list."""
        return [
            (nn.Conv2d, self.conv),
            (nn.Linear, self.linear),
            (nn.BatchNorm2d, self.folded),
            (nn.ReLU, self.relu),
            (nn.MaxPool2d, self.max_pool),
            (nn.AvgPool2d, self.average_pool),
            (nn.AdaptiveAvgPool2d, self.global_average),
            (nn.Flatten, self.flatten),
            (nn.Identity, self.nothing),
            (nn.Dropout, self.nothing),
        ]

    def functions(self) -> dict[Any, Callable[[fx.Node, int], int]]:
        """Functions and methods on the list."""
        return {
            operator.add: self.add,
            torch.add: self.add,
            torch.relu: self.relu,
            functional.relu: self.relu,
            "relu": self.relu,
            torch.flatten: self.flatten,
            "flatten": self.flatten,
            functional.pad: self.pad,
        }

    def place(self, node: fx.Node) -> str:
        """Where a node stands in the module."""
        return str(node.target) if node.op == "call_module" else node.name

    def emit(self, op: ir.Operation, node: fx.Node | None) -> int:
        """Append an operation; the number of its value."""
        name = self.place(node) if node is not None else "output"
        try:
            self.values.append(op.infer(self.values))
        except ProgramError as error:
            raise UnsupportedLayer(f"{name}: {error} required") from error
        self.operations.append(op)
        self.names.append(name)
        return len(self.operations)

    def narrow(self, x: int, node: fx.Node | None, bits: int) -> int:
        """x as a narrow value of at most ``bits`` fractional bits."""
        value = self.values[x]
        if not value.wide and value.scale <= bits:
            return x
        return self.emit(ir.Truncate(x, value.scale - bits), node)

    def encode(self, w: torch.Tensor | Floats, bits: int) -> None:
        """Append weights, rounded to ``bits`` fractional bits."""
        self.weights.append(np.rint(np.asarray(w, np.float64) * 2.0**bits).astype(np.int64))

    def conv(self, node: fx.Node, x: int) -> int:
        """A convolution, with the batch norm that alone follows it."""
        layer = cast(nn.Conv2d, self.layer(node))
        for what, allowed in (("groups", 1), ("dilation", (1, 1)), ("padding_mode", "zeros")):
            if getattr(layer, what) != allowed:
                raise UnsupportedLayer(f"{node.target}: Conv2d with {what} {getattr(layer, what)}, only {allowed}")
        if isinstance(layer.padding, str):
            raise UnsupportedLayer(f"{node.target}: Conv2d with padding {layer.padding!r}, only numbers")
        kernel, bias = self.folded_weights(node, layer)
        x = self.narrow(x, node, self.profile.activations)
        bits = self.profile.products - self.values[x].scale
        self.encode(kernel, bits)
        if bias is not None:
            self.encode(bias, self.profile.products)
        size, stride, padding = (cast(ir.Pair, tuple(p)) for p in (layer.kernel_size, layer.stride, layer.padding))
        return self.emit(ir.Conv(x, layer.out_channels, size, stride, padding, bits, bias is not None), node)

    def folded_weights(self, node: fx.Node, layer: nn.Conv2d) -> tuple[Floats, Floats | None]:
        """Kernel and bias, with the batch norm folded in that follows."""
        kernel = layer.weight.detach().double().numpy()
        bias = layer.bias.detach().double().numpy() if layer.bias is not None else None
        follower = self.layer(next(iter(node.users))) if len(node.users) == 1 else None
        if not isinstance(follower, nn.BatchNorm2d):
            return kernel, bias
        mean, variance = follower.running_mean, follower.running_var
        if mean is None or variance is None:
            raise UnsupportedLayer(f"{node.target}: a BatchNorm2d without running statistics")
        scale = 1 / np.sqrt(variance.double().numpy() + follower.eps)
        shift = -mean.double().numpy() * scale
        if follower.affine:
            gamma, beta = follower.weight.detach().double().numpy(), follower.bias.detach().double().numpy()
            scale, shift = scale * gamma, shift * gamma + beta
        return kernel * scale[:, None, None, None], (0 if bias is None else bias) * scale + shift

    def folded(self, node: fx.Node, x: int) -> int:
        """A batch norm is in the convolution before it already."""
        before = cast(fx.Node, node.args[0])
        if not isinstance(self.layer(before), nn.Conv2d) or len(before.users) != 1:
            raise UnsupportedLayer(f"{node.target}: a BatchNorm2d must follow a Conv2d that nothing else reads")
        return x

    def linear(self, node: fx.Node, x: int) -> int:
        """A matrix; the last one has more bits, for it alone decides the descriptor's precision."""
        layer = cast(nn.Linear, self.layer(node))
        last = node in self.last_linear
        if self.values[x].wide:
            x = self.narrow(x, node, self.profile.activations)
        scale = self.values[x].scale
        bits = self.profile.last_weights if last else max(0, self.profile.products - scale)
        self.encode(layer.weight.detach(), bits)
        if layer.bias is not None:
            self.encode(layer.bias.detach(), bits + scale)
        return self.emit(ir.Linear(x, layer.out_features, bits, layer.bias is not None), node)

    def relu(self, node: fx.Node, x: int) -> int:
        """A ReLU; where max-pooling alone follows, it is done after it, on fewer values."""
        if len(node.users) == 1 and isinstance(self.layer(next(iter(node.users))), nn.MaxPool2d):
            return x
        return self.emit_relu(node, x)

    def emit_relu(self, node: fx.Node, x: int) -> int:
        """A ReLU that leaves the activations' bits."""
        return self.emit(ir.Relu(x, max(0, self.values[x].scale - self.profile.activations)), node)

    def max_pool(self, node: fx.Node, x: int) -> int:
        """Max-pooling, then the ReLU that stood before it."""
        layer = cast(nn.MaxPool2d, self.layer(node))
        if _pair(layer.padding) != (0, 0) or _pair(layer.dilation) != (1, 1) or layer.ceil_mode:
            raise UnsupportedLayer(f"{node.target}: MaxPool2d with padding, dilation or ceil_mode")
        pooled = self.emit(ir.MaxPool(x, _pair(layer.kernel_size), _pair(layer.stride)), node)
        before = cast(fx.Node, node.args[0])
        skipped = self.emitter(before) == self.relu if before.op != "placeholder" else False
        return self.emit_relu(node, pooled) if skipped and len(before.users) == 1 else pooled

    def average_pool(self, node: fx.Node, x: int) -> int:
        """Average pooling."""
        layer = cast(nn.AvgPool2d, self.layer(node))
        if _pair(layer.padding) != (0, 0) or layer.ceil_mode or layer.divisor_override:
            raise UnsupportedLayer(f"{node.target}: AvgPool2d with padding, ceil_mode or divisor_override")
        return self.emit(ir.AveragePool(x, _pair(layer.kernel_size), _pair(layer.stride)), node)

    def global_average(self, node: fx.Node, x: int) -> int:
        """The mean over the whole picture."""
        layer = cast(nn.AdaptiveAvgPool2d, self.layer(node))
        if layer.output_size not in (1, (1, 1)):
            raise UnsupportedLayer(f"{node.target}: AdaptiveAvgPool2d to {layer.output_size}, only to 1")
        size = cast(ir.Pair, self.values[x].shape[1:])
        return self.emit(ir.AveragePool(x, size, size), node)

    def flatten(self, node: fx.Node, x: int) -> int:
        """All axes but the batch's."""
        return self.emit(ir.Flatten(x), node)

    def nothing(self, node: fx.Node, x: int) -> int:
        """A layer that does nothing at inference."""
        return x

    def add(self, node: fx.Node, x: int) -> int:
        """Addition, after alignment to the finer scale."""
        if len(node.args) != 2 or not isinstance(node.args[1], fx.Node) or node.kwargs:
            raise UnsupportedLayer(f"{node.name}: addition of a constant or with alpha")
        y = self.of_node[node.args[1]]
        scale = max(self.values[x].scale, self.values[y].scale)
        x, y = (
            v if self.values[v].scale == scale else self.emit(ir.Align(v, scale - self.values[v].scale), node)
            for v in (x, y)
        )
        return self.emit(ir.Add(x, y), node)

    def pad(self, node: fx.Node, x: int) -> int:
        """Zeros after the last column, row and channel."""
        padding = cast(tuple[int, ...], node.args[1])
        pairs = [padding[k : k + 2] for k in range(0, len(padding), 2)]
        zeros = node.kwargs.get("mode", "constant") == "constant" and not node.kwargs.get("value")
        if len(node.args) > 2 or not zeros or len(pairs) > 3 or any(before for before, _ in pairs):
            raise UnsupportedLayer(f"{node.name}: padding other than zeros after the last column, row and channel")
        columns, rows, channels = [after for _, after in pairs] + [0] * (3 - len(pairs))
        return self.emit(ir.Pad(x, channels, rows, columns), node)

    def finish(self, x: int) -> None:
        """Truncate to the descriptor's bits."""
        if self.values[x].scale < self.profile.output:
            x = self.emit(ir.Align(x, self.profile.output - self.values[x].scale), None)
        self.narrow(x, None, self.profile.output)


def _measure(
    program: ir.Program, weights: Integers, names: list[str], calibration: npt.NDArray[np.uint8], margin: float
) -> list[LayerReport]:
    """Run the twin on the calibration images and check every value that the protocols open."""
    largest = np.zeros(len(program.values))
    norm = 0.0

    def observe(k: int, value: Integers) -> None:
        largest[k + 1] = max(largest[k + 1], float(np.abs(value).max()))

    for image in calibration:
        largest[0] = max(largest[0], float(image.max()))
        descriptor = run_twin(program, weights, image[None].astype(np.int64), random_rounding(0), observe)
        norm = max(norm, float((descriptor.astype(np.float64) ** 2).sum()))
    reports = []
    for k, (op, name) in enumerate(zip(program.operations, names, strict=True)):
        bound = _bound(op, program.q)
        _check_range(name, largest[op.x], bound, margin)
        value, shapes = program.values[k + 1], program.weight_shapes[k]
        adds = prod(shapes[0]) * prod(value.shape[1:]) if shapes else 0
        bits = log2(max(largest[k + 1], 1))
        reports.append(LayerReport(name, op.kind, value.shape, adds, bits, log2(bound / max(largest[op.x], 1))))
    # a squared distance is at most 4 times the largest squared norm, and it is compared with the threshold
    _check_range("descriptor", 4 * norm, 2.0 ** (program.q - 3), 1.0)
    return reports


def _bound(op: ir.Operation, q: int) -> float:
    """What an operation's input must stay below: it is opened as 2x + r, or differences of it are."""
    if isinstance(op, ir.MaxPool):
        return 2.0 ** (q - 4)
    return 2.0 ** (q - 3) if isinstance(op, ir.Relu | ir.Truncate) else 2.0 ** (q - 1)


def _check_range(name: str, largest: float, bound: float, margin: float) -> None:
    if largest * margin >= bound:
        raise RangeExceeded(
            f"{name}: values reach 2^{log2(max(largest, 1)):.1f} on the calibration images; with a margin of {margin:g} "
            f"they must stay below 2^{log2(bound):.0f} (use q = 61, or fewer fractional bits)"
        )


def _pair(x: int | tuple[int, ...] | None) -> ir.Pair:
    if isinstance(x, int):
        return x, x
    assert x is not None
    return x[0], x[1]
