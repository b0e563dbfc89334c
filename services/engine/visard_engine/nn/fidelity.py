"""Whether a program computes its module: the plaintext twin beside torch, on calibration images and on noise.

Three comparisons, each with a bound of its own.

*The module and its graph*, in float: what ``module(image)`` gives in eager torch and what the graph that was compiled gives
differ by at most ``GRAPH_BOUND`` of the output's root mean square, or of ``_SMALL`` if that is more. Both do the same float32
operations; a hundred layers may order sums differently, 2^-24 each.

*Each layer*, in float64, on the very numbers that the program holds before it, so that errors of earlier layers do not count:
no element may differ by more than rounding explains (rounding.py: a worst case, computed from the scales and the values).
Whatever is computed correctly passes by construction, at any size; a wrong factor, slope, kernel or operand does not.

*The output*, on calibration images: its error, root mean square against the root mean square of the output, is at most
``OUTPUT_BOUNDS`` on the middle one of the images (one decision may flip at its threshold). A layer may round correctly and
yet leave nothing: x / 1e6 is 0 at 8 fractional bits. In the 31-bit field activations are given bits until their largest has
9 to 10, of which a root mean square has about 7: a rounding, 0.4 units in the mean, costs 0.3 percent of it, a hundred in
a row ten times that, 3 percent; measured networks lose 0.2 to 2.2 (docs/models.md). The bound leaves room for four
times as much. With 61 bits networks lose 0.01 to 0.1 percent; the bound is for those that normalise a descriptor of a
hundredth of a unit, which lose up to 2.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, fx, nn

from visard_engine.field import Integers
from visard_engine.nn.errors import Differs, RangeExceeded, UnsupportedLayer
from visard_engine.nn.lowering.builder import Builder, Floats
from visard_engine.nn.prepare import copied, first_line
from visard_engine.nn.program import Program
from visard_engine.nn.rounding import Error, error_of
from visard_engine.nn.twin import random_rounding, run_twin, weights_of

GRAPH_BOUND = 1e-3
OUTPUT_BOUNDS = {31: 1 / 8, 61: 1 / 16}
_SLACK = 1e-7  # of a layer's largest number: what float64 and torch's own constants leave
_CALIBRATION = 3  # images, evenly from those that there are
_SMALL = 2.0**-10  # an output that is zero but for what float32 makes of differences
_LAST_UNITS = 16
_SEED = 0


def check(module: nn.Module, builder: Builder, program: Program, weights: Integers, calibration: Any) -> None:
    """Compare a program (its builder has emitted it) with the module as its owner gave it.

    ``calibration`` are images (N, C, H, W). Raises Differs naming the first layer that differs, and UnsupportedLayer
    where the module itself fails.
    """
    with torch.no_grad():
        images = _chosen(calibration)
        noise = np.random.default_rng(_SEED).integers(0, 256, (1, *program.input_shape)).astype(np.uint8)
        eager = copied(module)
        expected = [_agreed(eager, builder, image) for image in (*images, *noise)]
        comparison = _Comparison(builder, program, weights)
        found = [comparison.layers(image, comparison.values(image)) for image in images]
        if (values := comparison.values_in_field(noise[0])) is not None:
            comparison.layers(noise[0], values)
        error = _relative_errors(found, expected[: len(images)], program)
        typical = int(np.argsort(error)[len(error) // 2])
        if not error[typical] <= OUTPUT_BOUNDS[program.q]:
            raise comparison.lost(images[typical], float(error[typical]))


def _chosen(calibration: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    count = min(len(calibration), _CALIBRATION)
    return calibration[[k * len(calibration) // count for k in range(count)]]


def _agreed(eager: nn.Module, builder: Builder, image: npt.NDArray[np.uint8]) -> Floats:
    """What the module and its graph both give."""
    name = type(eager).__name__
    try:
        found = _output(eager(builder.tensor(image)))
    except Exception as error:  # the forward is the owner's code
        where = "x".join(map(str, image.shape))
        raise UnsupportedLayer(f"{name}: its forward fails on an image of {where}: {first_line(error)}") from error
    graph = _output(fx.Interpreter(builder.traced).run(builder.tensor(image)))
    if not np.isfinite(found).all():
        raise UnsupportedLayer(f"{name}: its output is NaN or infinite on an image")
    if found.shape != graph.shape or not _rms(found - graph) <= GRAPH_BOUND * max(_rms(found), _SMALL):
        raise Differs(
            f"{name}: its forward computes something else than the graph of its layers: is there a hook, a state that "
            "changes with each call, or a change in place?"
        )
    return found


def _output(found: Any) -> Floats:
    if not isinstance(found, Tensor):
        raise TypeError(f"one tensor is expected, not {type(found).__name__}")
    return np.asarray(found.double().numpy().reshape(-1))


def _rms(x: Floats) -> float:
    return float(np.sqrt(np.mean(x**2)))


def _relative_errors(found: list[Floats], expected: list[Floats], program: Program) -> Floats:
    """Of each image's output; where all outputs are next to nothing, relative to a few of its last bits."""
    size = max(_rms(np.concatenate(expected)), _LAST_UNITS / 2.0**program.output.scale)
    return np.array([_rms(f - e) / size for f, e in zip(found, expected, strict=True)])


class _Comparison:
    """A program and what it was made of."""

    def __init__(self, builder: Builder, program: Program, weights: Integers) -> None:
        self.builder, self.program, self.weights = builder, program, weights
        self.parts = weights_of(program, weights)
        self.double = fx.GraphModule(copied(builder.traced).double(), builder.traced.graph)

    def layers(self, image: npt.NDArray[np.uint8], values: list[Integers]) -> Floats:
        """The program's output, after a comparison of every layer; raises Differs."""
        _Layers(self, values).run(torch.from_numpy(image[None]).double())
        return np.asarray(values[-1].reshape(-1) / 2.0**self.program.output.scale)

    def values_in_field(self, image: npt.NDArray[np.uint8]) -> list[Integers] | None:
        """A program's values, or None where they leave the field: ranges are promised for images as in calibration only."""
        try:
            found = self.values(image)
        except RangeExceeded:
            return None
        inside = (np.abs(value).max(initial=0) < 2.0 ** (self.program.q - 1) for value in found)
        return found if all(inside) else None

    def values(self, image: npt.NDArray[np.uint8]) -> list[Integers]:
        """All of a program's values (1, ...) for an image."""
        found = [image[None].astype(np.int64)]
        run_twin(self.program, self.weights, found[0], random_rounding(_SEED), lambda _, value: found.append(value))
        return found

    def seen(self, node: fx.Node, values: list[Integers], k: int) -> Floats:
        """A value as the node's tensor: real numbers, with what is put off to the layer after it."""
        real = values[k] / 2.0 ** self.program.values[k].scale
        if node in self.builder.put_off:
            return np.maximum(real, 0)
        return _joined(real, self.builder.slopes[k]) if k in self.builder.slopes else real

    def lost(self, image: npt.NDArray[np.uint8], error: float) -> Differs:
        """The error about an output of which too little is left, naming the layer where it went."""
        values, kept = self.values(image), _Kept(self.double)
        kept.run(torch.from_numpy(image[None]).double())
        errors = {}
        for node, k in self.builder.of_node.items():
            if node in kept.results and node not in self.builder.folded:
                truth = kept.results[node].numpy().reshape(-1)
                errors[node] = _rms(self.seen(node, values, k).reshape(-1) - truth) / max(_rms(truth), 1e-300)
        origin = self._origin(errors)
        where = self.builder.named(origin) if origin is not None else "output"
        bound = OUTPUT_BOUNDS[self.program.q]
        remedy = ", or take the 61-bit field (q=61)" if self.program.q == 31 else ""
        return Differs(
            f"{where}: too few digits are left of it: the output errs by {100 * error:.2g} % of its size, and at most "
            f"{100 * bound:g} % is allowed; keep numbers near 1{remedy}"
        )

    def _origin(self, errors: dict[fx.Node, float]) -> fx.Node | None:
        """From the output back along the values that are wrong, to the first of them."""
        bound = OUTPUT_BOUNDS[self.program.q]
        found = [next(n for n in self.builder.traced.graph.nodes if n.op == "output")]
        while wrong := [n for n in found[-1].all_input_nodes if errors.get(n, 0.0) > bound or n in self.builder.folded]:
            found.append(max(wrong, key=lambda n: errors.get(n, 0.0)))
        return found[-1] if len(found) > 1 else None


def _joined(both: npt.NDArray[Any], slopes: Floats) -> Floats:
    """relu(t) + a min(0, t) from Rectify's channels."""
    return np.asarray(both[:, 0::2] + slopes[:, None, None] * both[:, 1::2])


class _Kept(fx.Interpreter):
    """Runs a graph and keeps every result as it is when it is made."""

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__(graph)
        self.extra_traceback = False  # errors say what we say
        self.results: dict[fx.Node, Tensor] = {}

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        """See fx.Interpreter; in float64, like all else."""
        found = super().get_attr(target, args, kwargs)
        return found.double() if isinstance(found, Tensor) and found.is_floating_point() else found

    def run_node(self, n: fx.Node) -> Any:
        """See fx.Interpreter."""
        result = super().run_node(n)
        if isinstance(result, Tensor):
            self.results[n] = result.clone()
        return result


class _Layers(_Kept):
    """Runs a graph in float64, each layer on the program's own numbers, and compares what it makes with the program's."""

    def __init__(self, comparison: _Comparison, values: list[Integers]) -> None:
        super().__init__(comparison.double)
        self._of, self._values = comparison, values
        self._errors: list[Error] = [np.zeros(())]

    def run_node(self, n: fx.Node) -> Any:
        """See fx.Interpreter."""
        result = fx.Interpreter.run_node(self, n)
        builder = self._of.builder
        k = builder.of_node.get(n)
        while (done := len(self._errors) - 1) < len(builder.emitted) and builder.emitted[done].node == n.name:
            self._follow(done)
        if k is not None and n.op != "placeholder" and n not in builder.folded:
            self._compare(n, result, k)
            self._errors[k] = np.zeros(())
        return result

    def _follow(self, k: int) -> None:
        op = self._of.program.operations[k]
        self._errors.append(error_of(op, self._values, self._errors, self._of.parts[k], self._of.program.q))

    def _compare(self, node: fx.Node, result: Tensor, k: int) -> None:
        """Refuse a difference, then go on with the program's numbers: in place, for whoever shares the memory."""
        builder, found = self._of.builder, self._of.seen(node, self._values, k)
        where = builder.named(node)
        if result.numel() != found.size:
            raise Differs(f"{where}: {tuple(result.shape[1:])} in torch, {found.shape[1:]} in the program")
        truth = result.numpy().reshape(found.shape)
        allowed = self._allowed(k) + _SLACK * np.abs(truth).max(initial=0)
        difference = np.abs(found - truth)
        if node not in builder.iterated and not (difference <= allowed).all():
            raise Differs(
                f"{where}: the program computes something else than torch: off by {difference.max():.3g} where values "
                f"reach {np.abs(truth).max():.3g}; rounding explains {float(np.max(allowed)):.3g}"
            )
        result.copy_(torch.from_numpy(found).reshape(result.shape))

    def _allowed(self, k: int) -> Error:
        error, slopes = self._errors[k], self._of.builder.slopes.get(k)
        if slopes is not None and error.ndim:
            error = _joined(error, np.abs(slopes))
        return np.asarray(error / 2.0 ** self._of.program.values[k].scale)
