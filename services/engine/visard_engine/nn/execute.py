"""Running a program on shares, operation by operation; how each one runs is in its class (nn/operations)."""

from collections.abc import Iterator
from functools import cached_property
from math import prod

from visard_engine.errors import ProtocolError
from visard_engine.field import Elements, field_of
from visard_engine.kits import KitPlan
from visard_engine.nn.operations.base import Weights
from visard_engine.nn.program import Program
from visard_engine.nn.tape import Tape
from visard_engine.session import Session


def embed_plan(program: Program, batch: int) -> KitPlan:
    """What ``embed`` consumes for a batch of images, in the order of the operations."""
    sections = (section for op in program.operations for section in op.sections(program.values[op.x], batch))
    return KitPlan(program.q, tuple(sections))


class Model:
    """A program and this party's share of its weights, prepared for many runs; raises ProtocolError if they do not fit."""

    def __init__(self, program: Program, weight_share: Elements) -> None:
        self.program = program
        self.field = field_of(program.q)
        if weight_share.shape != (program.weight_count,) or weight_share.dtype != self.field.dtype:
            raise ProtocolError(f"{program.weight_count} weights of {self.field.itemsize} bytes expected")
        self._weights = list(self._prepare(weight_share))

    def __repr__(self) -> str:
        return f"<Model: {self.program.weight_count} secret weights>"

    def _prepare(self, share: Elements) -> Iterator[Weights]:
        """For each operation its weights, as it multiplies with them."""
        start = 0
        for op, shapes in zip(self.program.operations, self.program.weight_shapes, strict=True):
            parts = []
            for shape in shapes:
                parts.append(share[start : start + prod(shape)].reshape(shape))
                start += prod(shape)
            yield op.prepare(self.field, parts)

    def weights(self, index: int) -> Weights:
        """What operation ``index`` of the program multiplies with."""
        return self._weights[index]

    @cached_property
    def kept(self) -> set[int]:
        """The narrow values that a claim about a wide one may come to."""
        values = self.program.values
        wide = (op for op, result in zip(self.program.operations, values[1:], strict=True) if result.wide)
        return {source for op in wide for source in op.sources if not values[source].wide}

    @cached_property
    def last_uses(self) -> list[int]:
        """For each value by number the last operation that reads it."""
        uses = list(range(-1, len(self.program.operations)))
        for k, op in enumerate(self.program.operations):
            for source in op.sources:
                uses[source] = k
        return uses


async def embed(s: Session, model: Model, images: Elements) -> Elements:
    """Degree-1 shares of the output (B, ...), such as descriptors (B, D), of shared images (B, C, H, W).

    What it has opened is claimed in the session, to be verified with ``Program.pairs`` pairs a kit.
    """
    program = model.program
    tape = Tape(program.operations, program.values, model.weights, model.field, len(images))
    tape.shares[0] = images
    values: list[Elements | None] = [images]
    for k, op in enumerate(program.operations):
        operands = []
        for source in op.sources:
            value = values[source]
            assert value is not None
            operands.append(value)
        result = await op.run(s, operands, model.weights(k), tape.at(k))
        values.append(result)
        if k + 1 in model.kept:
            tape.shares[k + 1] = result
        for source, last in enumerate(model.last_uses[: k + 1]):
            if last == k:
                values[source] = None  # shares are freed as soon as nothing reads them
    output = values[-1]
    assert output is not None
    return output
