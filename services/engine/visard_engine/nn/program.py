"""A network as a straight-line program: what the parties agree on, and may know, about a model.

Values are numbered: 0 is the input, operation k makes value k + 1, the last one is the output. A value has a shape
((C, H, W), or (D,) once flat), a ``scale`` (its integers are real numbers times 2^scale) and a width: a *wide* value is a
degree-2 sharing, the product of two degree-1 sharings before truncation; the others are *narrow*, of degree 1. Weights
are one flat vector of integers in the order of the operations: of each one its weights in order (a Conv or Linear: the
kernel, then the bias).
"""

import hashlib
import json
import re
from dataclasses import MISSING, asdict, dataclass, field, fields
from functools import cached_property
from math import isfinite, prod
from typing import Any

from visard_engine.field import field_of
from visard_engine.nn.errors import ProgramError
from visard_engine.nn.operations import OPERATIONS
from visard_engine.nn.operations.base import Operation, Pair, Shape, Value, require
from visard_engine.nn.tape import pairs
from visard_engine.protocols.mean import VECTOR_BITS, Mean
from visard_engine.protocols.normalise import unit_bits

__all__ = ["MATCH", "OPEN", "Operation", "Pair", "Program", "Shape", "Value"]

MAX_OPERATIONS = 1024
MAX_ELEMENTS = 1 << 24
MAX_WEIGHTS = 1 << 26
MAX_INTEGER = 1 << 26
_MEAN_TOLERANCE = 0.01  # of the length of a mean whose numbers are rounded
MAX_OPEN_ELEMENTS = 1 << 20  # of an output that is sent to the caller

_CHIP = "[a-z0-9-]{0,64}"

# what a program is for: its descriptors are compared and never opened, or its output is opened to whoever ran it
MATCH, OPEN = "match", "open"


@dataclass(frozen=True)
class Program:
    """A network over F_p, p = 2^q - 1, from images (C, H, W) of integers at ``input_scale`` to a descriptor (D,).

    ``operating_points`` names Euclidean distances between descriptors brought to length one, 0 to 2: d^2 / 2 = 1 - cosine;
    ``false_match_rates`` says, of those points whose rate was measured, how many strangers in one lie within. A photo whose
    descriptor has a cosine above ``mean_limit`` to the public vector ``mean`` (D numbers, of length 2^14) matches nobody and is
    not enrolled; () is no such test. With the ``purpose`` "open" the output, of any shape, goes to whoever ran the program, and
    nothing is ever compared with it. ``chip`` names how the faces are cut that the network was made for, for clients to know; ""
    is any.
    """

    q: int
    input_shape: Shape
    input_scale: int
    operations: tuple[Operation, ...]
    operating_points: dict[str, float]
    purpose: str = MATCH
    false_match_rates: dict[str, float] = field(default_factory=dict)
    mean: tuple[int, ...] = ()
    mean_limit: float = 0.0
    chip: str = ""

    def __post_init__(self) -> None:
        if self.q not in (31, 61):
            raise ProgramError("q: 31 or 61")
        if len(self.input_shape) != 3 or min(self.input_shape) < 1 or not 0 <= self.input_scale <= 16:
            raise ProgramError("input: a shape (C, H, W) and 0 to 16 fractional bits")
        if not 1 <= len(self.operations) <= MAX_OPERATIONS:
            raise ProgramError(f"operations: 1 to {MAX_OPERATIONS}")
        if self.purpose not in (MATCH, OPEN):
            raise ProgramError(f"purpose: {MATCH} or {OPEN}")
        if not re.fullmatch(_CHIP, self.chip):
            raise ProgramError("chip: a name of at most 64 small letters, digits and hyphens, or none")
        self._check_output()

    def _check_output(self) -> None:
        points = self.operating_points
        if self.purpose == OPEN:
            if points:
                raise ProgramError("operating points: none, for an output that is opened is compared with nothing")
            if self.output.size > MAX_OPEN_ELEMENTS:
                raise ProgramError(f"an output that is opened has at most {MAX_OPEN_ELEMENTS} elements")
        elif "default" not in points or not all(0 < d < 2 for d in points.values()):
            raise ProgramError(
                "operating points: distances on the unit sphere, between 0 and 2, one of them named default"
            )
        if self.output.wide or (self.purpose == MATCH and len(self.output.shape) != 1):
            raise ProgramError("the output must be narrow and flat")
        self._check_rates()
        self._check_mean()

    def _check_mean(self) -> None:
        length = sum(number**2 for number in self.mean) ** 0.5 / (1 << VECTOR_BITS)
        if self.mean:
            fits = self.purpose == MATCH and len(self.mean) == self.output.size and abs(length - 1) < _MEAN_TOLERANCE
            if not (fits and 0 < self.mean_limit < 1):
                raise ProgramError("mean: a vector like the descriptors, of length 2^14, with a limit between 0 and 1")
        elif self.mean_limit:
            raise ProgramError("mean limit: 0 without a mean")

    def _check_rates(self) -> None:
        rates, points = self.false_match_rates, self.operating_points
        if not set(rates) <= set(points) or not all(0 < rate < 1 for rate in rates.values()):
            raise ProgramError("false match rates: numbers between 0 and 1, each of an operating point")
        ordered = [rates[name] for name in sorted(rates, key=lambda name: (points[name], rates[name]))]
        if ordered != sorted(ordered):
            raise ProgramError("false match rates: a larger distance has no smaller one")

    @cached_property
    def values(self) -> tuple[Value, ...]:
        """Every value's shape, scale and width; raises ProgramError naming the operation that does not fit."""
        values = [Value(self.input_shape, self.input_scale, wide=False)]
        for k, op in enumerate(self.operations):
            try:
                require(all(0 <= source <= k for source in op.sources), "operands made before it")
                value = op.infer(values)
                require(
                    1 <= value.size <= MAX_ELEMENTS and 0 <= value.scale <= 60, "a result of sensible size and scale"
                )
            except ProgramError as error:
                raise ProgramError(f"operation {k} ({op.kind}): {error} required") from error
            values.append(value)
        return tuple(values)

    @property
    def output(self) -> Value:
        """The last value: the descriptor, or what is opened."""
        return self.values[-1]

    @cached_property
    def weight_shapes(self) -> tuple[tuple[Shape, ...], ...]:
        """For each operation the shapes of its weights, in the order of the vector; raises ProgramError if they are too many."""
        shapes = tuple(op.weight_shapes(self.values) for op in self.operations)
        if sum(prod(shape) for group in shapes for shape in group) > MAX_WEIGHTS:
            raise ProgramError(f"at most {MAX_WEIGHTS} weights")
        return shapes

    @property
    def weight_count(self) -> int:
        """Length of the flat vector of all weights."""
        return sum(prod(shape) for group in self.weight_shapes for shape in group)

    @cached_property
    def pairs(self) -> int:
        """Pairs of shared numbers that what a run of one image claims comes to; of a batch at most so many an image."""
        return max(1, pairs(self.operations, self.values, field_of(self.q)))

    def threshold(self, operating_point: str) -> int:
        """Half the square of a named distance, in the units of normalised descriptors' products; raises KeyError."""
        distance = self.operating_points[operating_point or "default"]
        return int(distance**2 / 2 * 4 ** unit_bits(self.q))

    @cached_property
    def mean_test(self) -> Mean | None:
        """What a photo must not be too much like, if anything."""
        return Mean(self.mean, int(self.mean_limit * (1 << unit_bits(self.q) + VECTOR_BITS))) if self.mean else None

    def false_match_rate(self, operating_point: str) -> float | None:
        """How many strangers in one lie within a named distance ("": the default), or None if that was not measured."""
        return self.false_match_rates.get(operating_point or "default")

    def to_json(self) -> bytes:
        """Canonical JSON; equal programs have equal bytes. What has its default value is left out."""
        operations = [[op.kind, _plain(op)] for op in self.operations]
        return json.dumps(_plain(self) | {"operations": operations}, sort_keys=True, separators=(",", ":")).encode()

    @property
    def digest(self) -> bytes:
        """SHA-256 of the canonical JSON."""
        return hashlib.sha256(self.to_json()).digest()

    @classmethod
    def from_json(cls, data: bytes) -> "Program":
        """The program in canonical JSON, checked; raises ProgramError."""
        try:
            raw = json.loads(data)
            operations = tuple(_operation(kind, body) for kind, body in raw.pop("operations"))
            points = {str(name): float(t) for name, t in raw.pop("operating_points").items()}
            shape = tuple(_integer(n) for n in raw.pop("input_shape"))
            header = _integer(raw.pop("q")), shape, _integer(raw.pop("input_scale"))
            purpose = str(raw.pop("purpose", MATCH))
            rates = {str(name): float(rate) for name, rate in raw.pop("false_match_rates", {}).items()}
            mean = tuple(_integer(number) for number in raw.pop("mean", ()))
            limit, chip = float(raw.pop("mean_limit", 0.0)), str(raw.pop("chip", ""))
            program = cls(*header, operations, points, purpose, rates, mean, limit, chip)
        except ProgramError:
            raise
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ProgramError("program: canonical JSON with known operations and integer fields") from error
        if raw or not all(map(isfinite, points.values())):
            raise ProgramError("program: unknown fields")
        assert program.weight_count >= 0  # infers every value and checks the limits
        return program


def _plain(item: Any) -> dict[str, Any]:
    """A dataclass without what has its default value."""
    defaults = {f.name: f.default for f in fields(item) if f.default is not MISSING}
    defaults |= {f.name: f.default_factory() for f in fields(item) if f.default_factory is not MISSING}
    return {name: value for name, value in asdict(item).items() if name not in defaults or value != defaults[name]}


def _operation(kind: str, body: dict[str, Any]) -> Operation:
    operation = OPERATIONS[kind]
    known = {f.name: f.type for f in fields(operation)}
    if not set(body) <= set(known):
        raise ValueError(kind)
    return operation(**{name: _field(known[name], value) for name, value in body.items()})


def _field(kind: Any, value: Any) -> Any:
    if kind is bool:
        if not isinstance(value, bool):
            raise TypeError("not a boolean")
        return value
    if kind is int:
        return _integer(value)
    numbers = tuple(_integer(number) for number in value)
    if kind == Pair and len(numbers) != 2:
        raise TypeError("not a pair")
    return numbers


def _integer(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > MAX_INTEGER:
        raise TypeError("not an integer of sensible size")
    return value
