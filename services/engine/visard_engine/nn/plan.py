"""What a run of a program consumes: its kit plan, in the order of the operations."""

from collections.abc import Iterator

from visard_engine.kits import KitPlan, Section
from visard_engine.nn.base import Operation, Value
from visard_engine.nn.layers import Prelu
from visard_engine.nn.program import Program
from visard_engine.nn.steps import Clip, MaxPool, Rectify, Relu, Truncate
from visard_engine.protocols import maximum


def embed_plan(program: Program, batch: int) -> KitPlan:
    """What ``execute.embed`` consumes for a batch of images."""
    sections = (section for op in program.operations for section in operation_sections(op, program.values[op.x], batch))
    return KitPlan(program.q, tuple(sections))


def operation_sections(op: Operation, x: Value, batch: int) -> Iterator[Section]:
    """What one operation consumes, of a batch of values x."""
    n = batch * x.size
    match op:
        case Relu() | Prelu() | Rectify():
            yield Section("relu", n, op.drop) if op.drop else Section("max", n)
        case Truncate():
            yield Section("truncate", n, op.drop)
        case Clip():
            yield Section("max", n)
        case MaxPool():
            for pairs in maximum.pool_comparisons((batch, *x.shape), op.kernel, op.stride):
                yield Section("max", pairs)
