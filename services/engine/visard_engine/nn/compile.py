"""From a torch module to a program and integer weights.

The layers are a closed list (docs/models.md); any other is refused by name and place. Ranges are measured on calibration
images and kept with a margin inside what the protocols need: a layer whose values would leave it gives away fractional
bits of its weights, as long as enough remain. What comes out is compared with the module (fidelity.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, log2

import numpy as np
import numpy.typing as npt
from torch import fx, nn

from visard_engine.field import Integers
from visard_engine.nn import fidelity
from visard_engine.nn.errors import ModelError, RangeExceeded
from visard_engine.nn.lowering.builder import ACTIVATIONS, OUTPUT, PROFILES, SIGNIFICANT_BITS, Builder, Profile
from visard_engine.nn.lowering.emitters import EMITTERS
from visard_engine.nn.operations.activations import Dropping
from visard_engine.nn.operations.base import Operation
from visard_engine.nn.operations.pooling import MaxPool
from visard_engine.nn.prepare import prepared
from visard_engine.nn.program import MATCH, Program
from visard_engine.nn.tracing import traced
from visard_engine.nn.twin import random_rounding, run_twin

__all__ = ["PROFILES", "Compiled", "LayerReport", "Profile", "compile_module"]

_PASSES = 16  # in which layers give bits away
_LEAST_OUTPUT_BITS = 4
_LONG = (
    -6
)  # the largest squared norm is between 2^-8 and 2^-6 of 2^q where descriptors are given bits: 4 below the norm bound
_LONGER_BY = 24  # bits, or a few more, at most


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

    program: Program
    weights: Integers
    layers: list[LayerReport]

    @property
    def multiply_adds(self) -> int:
        """Products of one image, all operations together."""
        return sum(layer.multiply_adds for layer in self.layers)

    @property
    def tightest(self) -> str:
        """The layer that came closest to its bound on the calibration images, and how close."""
        layer = min(self.layers, key=lambda layer: layer.headroom_bits)
        return f"{layer.headroom_bits:.1f} bits of headroom at {layer.name}"


def compile_module(
    module: nn.Module,
    input_shape: tuple[int, int, int],
    *,
    q: int,
    calibration: npt.NDArray[np.uint8],
    operating_points: dict[str, float],
    margin: float = 4.0,
    profile: Profile | None = None,
    purpose: str = MATCH,
    false_match_rates: Mapping[str, float] | None = None,
    mean: Sequence[int] = (),
    mean_limit: float = 0.0,
    chip: str = "",
) -> Compiled:
    """Compile a module that maps raw pixels (B, C, H, W), 0 to 255, to descriptors (B, D), or to what is to be opened.

    ``calibration`` are images (N, C, H, W); no value may come closer than ``margin`` times to the field's bound on them.
    ``false_match_rates`` are those of the operating points that were measured; ``mean``, ``mean_limit`` and ``chip`` are as in a
    Program. Descriptors need not be normalised: they are when they are compared. The module is left as it is. Raises
    UnsupportedLayer, ProgramError, RangeExceeded, and Differs where the program computes something else than the module, each
    naming the layer.
    """
    ready, rates = prepared(module), dict(false_match_rates or {})
    graph, chosen = traced(ready), profile or PROFILES[q]
    stated = operating_points, purpose, rates, tuple(mean), mean_limit, chip
    attempt = _Attempt(ready, graph, input_shape, q, calibration, margin, chosen, stated)
    result, builder = attempt.finest()
    fidelity.check(module, builder, result.program, result.weights, calibration)
    return result


@dataclass(frozen=True)
class _Attempt:
    """What is to be compiled, and how."""

    module: nn.Module
    traced: fx.GraphModule
    input_shape: tuple[int, int, int]
    q: int
    calibration: npt.NDArray[np.uint8]
    margin: float
    profile: Profile
    stated: tuple[
        dict[str, float], str, dict[str, float], tuple[int, ...], float, str
    ]  # a program's last fields, in order

    def finest(self) -> tuple[Compiled, Builder]:
        """A program, with more bits where activations are small if that works, and what has emitted it."""
        coarse, builder, finer = self.compiled({})
        if not finer:
            return coarse, builder
        try:
            return self.compiled(finer, max(0, -builder.fewer.get(OUTPUT, 0)))[:2]
        except ModelError:  # of a range, or of a public number that these bits make too long
            return coarse, builder

    def compiled(self, finer: Mapping[str, int], longer: int = 0) -> tuple[Compiled, Builder, dict[str, int]]:
        """A program whose values stay in range, and the bits that more activations could have; raises RangeExceeded.

        ``longer``: bits that descriptors are known to have more.
        """
        fewer = {OUTPUT: -longer} if longer else {}
        for _ in range(_PASSES):
            builder = Builder(
                self.module,
                self.traced,
                self.input_shape,
                self.q,
                self.profile,
                EMITTERS.emit,
                self.calibration,
                fewer,
                finer,
            )
            builder.build()
            program = Program(self.q, self.input_shape, 0, with_spare(builder.operations), *self.stated)
            weights = np.concatenate([np.zeros(0, np.int64), *(w.reshape(-1) for w in builder.weights)])
            measured = _Measured.of(program, weights, self.calibration)
            excesses = measured.excesses(builder, self.margin)
            if not excesses and (more := measured.longer()) and fewer.get(OUTPUT, 0) > -_LONGER_BY:
                fewer[OUTPUT] = fewer.get(OUTPUT, 0) - more
                continue
            if not excesses:
                reports = measured.reports(builder)
                return Compiled(program, weights, reports), builder, measured.finer(builder)
            for excess in excesses:
                _relieve(builder, excess, fewer)
        raise RangeExceeded(excesses[0].text if excesses else "descriptor: its length has no fixed point")


def with_spare(operations: Sequence[Operation]) -> tuple[Operation, ...]:
    """Each maximum is told how many of its lowest bits all drop that read it."""
    found = list(operations)
    for k, op in enumerate(operations):
        readers = [reader for reader in operations if k + 1 in reader.sources]
        if isinstance(op, MaxPool) and readers and all(isinstance(reader, Dropping) for reader in readers):
            found[k] = replace(op, spare=min(reader.drop for reader in readers if isinstance(reader, Dropping)))
    return tuple(found)


@dataclass(frozen=True)
class _Excess:
    """A value that comes too close to its bound: the operation that reads it (None: the comparison), by how many bits."""

    operation: int | None
    bits: int
    text: str


@dataclass(frozen=True)
class _Measured:
    """The largest |integer| of each value on the calibration images, and the largest squared norm of an output."""

    program: Program
    largest: npt.NDArray[np.float64]
    norm: float

    @classmethod
    def of(cls, program: Program, weights: Integers, calibration: npt.NDArray[np.uint8]) -> "_Measured":
        """What the twin finds on calibration images (N, C, H, W); raises RangeExceeded where float64 is not exact."""
        largest = np.zeros(len(program.values))
        norm = 0.0

        def observe(k: int, value: Integers) -> None:
            largest[k + 1] = max(largest[k + 1], float(np.abs(value).max()))

        for image in calibration:
            largest[0] = max(largest[0], float(image.max()))
            output = run_twin(program, weights, image[None].astype(np.int64), random_rounding(0), observe)
            norm = max(norm, float((output.astype(np.float64) ** 2).sum()))
        return cls(program, largest, norm)

    def excesses(self, builder: Builder, margin: float) -> list[_Excess]:
        """Every value that the protocols open and that is too large."""
        checks: list[tuple[int | None, str, float, float]] = [
            (k, e.place, self.largest[e.operation.x] * margin, e.operation.bound(self.program.q))
            for k, e in enumerate(builder.emitted)
        ]
        if self.program.purpose == MATCH:
            # the norm test lets pass twice the largest squared norm, whatever the margin
            checks.append((None, "descriptor", 4 * self.norm, 2.0 ** (self.program.q - 3)))
        return [
            _Excess(k, ceil(log2(largest / bound) + 1e-9) or 1, _too_large(name, largest, bound, margin))
            for k, name, largest, bound in checks
            if largest >= bound
        ]

    def longer(self) -> int:
        """Bits that descriptors can have more, so that what the normalisation looks up of their length is accurate."""
        if self.program.purpose != MATCH or not self.norm:
            return 0
        return max(0, int(self.program.q + _LONG - log2(self.norm)) // 2)

    def finer(self, builder: Builder) -> dict[str, int]:
        """For each node whose activations are small how many more fractional bits they can have."""
        found = {}
        for k, e in enumerate(builder.emitted):
            spare = builder.profile.reach - ceil(log2(max(self.largest[k + 1], 1)))
            if isinstance(e.operation, ACTIVATIONS) and spare > 0:
                found[e.node] = spare
        return found

    def reports(self, builder: Builder) -> list[LayerReport]:
        """One an operation, in their order."""
        program, found = self.program, []
        for k, e in enumerate(builder.emitted):
            op, bits = e.operation, log2(max(self.largest[k + 1], 1))
            headroom = log2(op.bound(program.q) / max(self.largest[op.x], 1))
            products = op.multiply_adds(program.values)
            found.append(LayerReport(e.place, op.kind, program.values[k + 1].shape, products, bits, headroom))
        return found


def _too_large(name: str, largest: float, bound: float, margin: float) -> str:
    reached = log2(max(largest / margin, 1))
    return (
        f"{name}: values reach 2^{reached:.1f} on the calibration images; with a margin of {margin:g} "
        f"they must stay below 2^{log2(bound):.0f} (use q = 61, or fewer fractional bits)"
    )


def _relieve(builder: Builder, excess: _Excess, fewer: dict[str, int]) -> None:
    """Let the layers behind a value give bits away; raises RangeExceeded when they have none left."""
    if excess.operation is None:
        fewer[OUTPUT] = fewer.get(OUTPUT, 0) + ceil(excess.bits / 2)
        if builder.profile.output - fewer[OUTPUT] < _LEAST_OUTPUT_BITS:
            raise RangeExceeded(excess.text)
        return
    # of both operands: one may only have been aligned with the other
    sources = builder.emitted[excess.operation].operation.sources
    levers = set[str]().union(*(_levers(builder, source) for source in sources))
    if not levers:
        raise RangeExceeded(excess.text)
    for lever in levers:
        if builder.significance[lever] - excess.bits < SIGNIFICANT_BITS:
            raise RangeExceeded(excess.text)
        fewer[lever] = fewer.get(lever, 0) + excess.bits


def _levers(builder: Builder, value: int) -> set[str]:
    """The layers whose weights decide a value's scale: back to where it was last truncated."""
    if value == 0:
        return set()
    made = builder.emitted[value - 1]
    if made.lever or made.operation.truncates:
        return {made.lever} - {""}
    return set[str]().union(*(_levers(builder, source) for source in made.operation.sources))
