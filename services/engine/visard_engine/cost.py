"""What a run of a program costs, from the program alone: products, nonlinear elements, rounds, bytes, kit, seconds.

Rounds and bytes are exact (tests/engine/test_cost.py). Seconds are an estimate from rates that were measured once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, log2

from visard_engine.bits import words_for
from visard_engine.describe import describe_plan
from visard_engine.field import field_of
from visard_engine.kits import Section
from visard_engine.nn.operations.base import Operation, Shape
from visard_engine.nn.program import OPEN, Program
from visard_engine.protocols.disjunction import PARITIES

_DIGIT_BITS = 4
_WORD_BYTES = 8

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
    """Of one image, with the tests of what was shared and of what comes out."""
    plan = describe_plan(program)
    before = _part(program.q, "degree test", program.input_shape, plan.sections[:1])
    layers = tuple(_layer(program, k) for k in range(len(program.operations)))
    after = (
        () if program.purpose == OPEN else (_part(program.q, "norm test", program.output.shape, plan.sections[-1:]),)
    )
    seconds = sum(_seconds(op, layer, program.q) for op, layer in zip(program.operations, layers, strict=True))
    seconds += sum(part.rounds for part in (before, *after)) * SECONDS_PER_ROUND
    return Cost((before, *layers, *after), plan.correction_bytes, seconds)


def _seconds(op: Operation, layer: LayerCost, q: int) -> float:
    products = layer.multiply_adds * (SECONDS_PER_GROUPED_PRODUCT if op.in_groups else SECONDS_PER_PRODUCT[q])
    return products + layer.nonlinear * SECONDS_PER_ELEMENT[q] + layer.rounds * SECONDS_PER_ROUND


def _layer(program: Program, k: int) -> LayerCost:
    op, values = program.operations[k], program.values
    sections = tuple(op.sections(values[op.x], 1))
    return _part(program.q, op.kind, values[k + 1].shape, sections, op.multiply_adds(values))


def _part(q: int, kind: str, shape: Shape, sections: Sequence[Section], multiply_adds: int = 0) -> LayerCost:
    return LayerCost(
        kind,
        shape,
        multiply_adds,
        sum(section.n for section in sections if section.kind != "degree"),
        sum(_rounds(section, q) for section in sections),
        sum(_sent(section, q) for section in sections),
    )


def _digits(q: int) -> int:
    return -(-q // _DIGIT_BITS)


def _rounds(section: Section, q: int) -> int:
    """An opening; for a comparison a level of AND gates each halving of the digits, and what is opened of the signs."""
    return 1 if section.kind in ("truncate", "degree") else 2 + ceil(log2(_digits(q)))


def _sent(section: Section, q: int) -> int:
    """Masked shares to both others; packed bits of AND gates and of the signs, or of their parities, to one."""
    opened = 2 * section.n * field_of(q).itemsize
    if section.kind in ("truncate", "degree"):
        return opened
    signs = PARITIES if section.kind == "compare" else section.n
    return opened + _WORD_BYTES * (_gates(_digits(q)) * words_for(section.n) + words_for(signs))


def _gates(nodes: int) -> int:
    """AND gates of a comparison's tree: at each level one a pair for lt, and for eq one less."""
    total = 0
    while nodes > 1:
        pairs = nodes // 2
        total += 2 * pairs - 1
        nodes -= pairs
    return total
