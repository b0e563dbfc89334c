"""What a run of a program costs, from the program alone: products, nonlinear elements, rounds, bytes, kit, seconds.

Rounds and bytes are exact (tests/engine/test_cost.py). Seconds are an estimate from rates that were measured once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from visard_engine.bits import words_for
from visard_engine.describe import describe_plan, descriptor_sections, verified_sections
from visard_engine.field import field_of
from visard_engine.nn.operations.base import Operation, Shape
from visard_engine.nn.program import OPEN, Program
from visard_engine.protocols import comparison, maximum, norm
from visard_engine.protocols.disjunction import PARITIES
from visard_engine.protocols.opening import AGREED
from visard_engine.protocols.verification import COIN, REPETITIONS
from visard_engine.sections import Section
from visard_engine.views import VIEW_BYTES

_WORD_BYTES = 8
_CHECKS = ("coin", "inner", "squares")

# 2026-11: rates of a party with a core to itself most of the time, without delay between the parties, from rows W1 and W2
# of the bench (docs/performance.md): 271 M products and 735 thousand elements in 166 rounds take 0.27 s, 66 rounds 0.04 s
SECONDS_PER_PRODUCT = {31: 0.13e-9, 61: 0.57e-9}
SECONDS_PER_GROUPED_PRODUCT = 1e-9  # of convolutions in groups, which BLAS does not do
SECONDS_PER_ELEMENT = {31: 0.2e-6, 61: 0.45e-6}
SECONDS_PER_ROUND = 0.45e-3


@dataclass(frozen=True)
class LayerCost:
    """One operation of one image, or a test before or after them."""

    kind: str
    shape: tuple[int, ...]
    multiply_adds: int
    nonlinear: int
    rounds: int
    sent_bytes: int


@dataclass(frozen=True)
class Cost:
    """A whole run of one image; bytes are those that one party sends to the two others."""

    layers: tuple[LayerCost, ...]
    kit_bytes: int
    seconds: float

    @property
    def multiply_adds(self) -> int:
        """Products of shares with weights or with each other, all layers together."""
        return sum(layer.multiply_adds for layer in self.layers)

    @property
    def nonlinear(self) -> int:
        """Elements that are compared or truncated, all layers together."""
        return sum(layer.nonlinear for layer in self.layers)

    @property
    def rounds(self) -> int:
        """Rounds of communication, one after the other."""
        return sum(layer.rounds for layer in self.layers)

    @property
    def sent_bytes(self) -> int:
        """Bytes that one party sends to the two others together."""
        return sum(layer.sent_bytes for layer in self.layers)


def cost(program: Program) -> Cost:
    """Of one image, with the tests of what was shared and of what comes out, and the verification of it all."""
    plan = describe_plan(program)
    before = _part(program.q, "degree test", program.input_shape, plan.sections[:1])
    layers = tuple(_layer(program, k) for k in range(len(program.operations)))
    after = tuple(_after(program))
    seconds = sum(_seconds(op, layer, program.q) for op, layer in zip(program.operations, layers, strict=True))
    seconds += sum(part.rounds for part in (before, *after)) * SECONDS_PER_ROUND
    return Cost((before, *layers, *after), plan.correction_bytes, seconds)


def _after(program: Program) -> Iterator[LayerCost]:
    """What comes after the network: the norm test and normalisation, the verification, alarms, the parties' agreement."""
    q, shape = program.q, program.output.shape
    for name, section in zip(("norm test", "normalise"), descriptor_sections(program), strict=False):
        yield _part(q, name, shape, [section])
    yield _part(q, "verification", shape, verified_sections(program))
    if program.purpose != OPEN:
        yield LayerCost("alarms", shape, 0, 0, 1, _WORD_BYTES * words_for(PARITIES) + VIEW_BYTES)
    yield LayerCost("agreement", shape, 0, 0, 2, VIEW_BYTES + 2 * len(AGREED))


def _seconds(op: Operation, layer: LayerCost, q: int) -> float:
    products = layer.multiply_adds * (SECONDS_PER_GROUPED_PRODUCT if op.in_groups else SECONDS_PER_PRODUCT[q])
    return products + layer.nonlinear * SECONDS_PER_ELEMENT[q] + layer.rounds * SECONDS_PER_ROUND


def _layer(program: Program, k: int) -> LayerCost:
    op, values = program.operations[k], program.values
    sections, x = tuple(op.sections(values[op.x], 1)), values[op.x]
    return _part(program.q, op.kind, values[k + 1].shape, sections, op.multiply_adds(values), wide=x.wide)


def _part(
    q: int, kind: str, shape: Shape, sections: Sequence[Section], multiply_adds: int = 0, *, wide: bool = True
) -> LayerCost:
    sent = [size for section in sections for size in _openings(section, q, wide=wide)]
    beside = (
        sum(s.n * s.extent for s in sections if s.kind == "squares") * field_of(q).itemsize
    )  # with the masked pairs
    nonlinear = sum(_compared_or_truncated(section) for section in sections)
    return LayerCost(kind, shape, multiply_adds, nonlinear, len(sent), sum(sent) + beside + VIEW_BYTES * len(sent))


def _compared_or_truncated(section: Section) -> int:
    """Elements of a section that are."""
    if section.kind in ("degree", *_CHECKS):
        return 0
    return section.n * norm.comparisons(section.extent) if section.kind == "norm" else section.n


def _openings(section: Section, q: int, *, wide: bool) -> Iterator[int]:
    """Bytes that a party sends in each round that a section takes, but for what is said of views."""
    size, n = field_of(q).itemsize, section.n
    match section.kind:
        case "relu":
            yield from _compared(n, q, comparison.above(q, section.extent), wide=wide)
            yield _WORD_BYTES * words_for(n)
        case "max":
            yield from _compared(n, q, maximum.digits(q, section.extent), wide=wide)
            yield _WORD_BYTES * words_for(n)
        case "compare":
            yield from _compared(n, q, comparison.exact(q), wide=wide)
        case "norm":
            yield from _compared(_compared_or_truncated(section), q, comparison.exact(q), wide=wide)
        case "truncate" | "degree":
            yield (2 if wide else 1) * n * size
        case "coin":
            yield COIN * size
        case "inner":  # the difference is opened when all that is masked has been
            yield REPETITIONS * 2 * n * size
            yield REPETITIONS * size


def _compared(n: int, q: int, digits: comparison.Digits, *, wide: bool) -> Iterator[int]:
    """A masked value, to both others if it is wide, and the masked bits of each level of digits."""
    yield (2 if wide else 1) * n * field_of(q).itemsize
    for opened in digits.opened:
        yield _WORD_BYTES * opened * words_for(n)
