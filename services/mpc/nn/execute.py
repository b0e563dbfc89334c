"""Running a program on shares.

Linear operations are local; Relu, Truncate and MaxPool are the protocols of the same names. The kit plan of a program
lists what those consume, in the order of the operations.
"""

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from services.mpc.errors import ProtocolError
from services.mpc.field import Elements, field_of
from services.mpc.kits import Kit, KitPlan, Section
from services.mpc.linear import Matrix, affine, convolve
from services.mpc.nn.program import (
    Add,
    Align,
    AveragePool,
    Conv,
    Flatten,
    Linear,
    MaxPool,
    Operation,
    Pad,
    Program,
    Relu,
    Truncate,
)
from services.mpc.protocols import maximum, relu, truncation
from services.mpc.session import Run, Session


class Model:
    """A program and this party's share of its weights, prepared for many runs."""

    def __init__(self, program: Program, weight_share: Elements) -> None:
        self.program = program
        self.field = field_of(program.q)
        if weight_share.shape != (program.weight_count,) or weight_share.dtype != self.field.dtype:
            raise ProtocolError(f"{program.weight_count} weights of {self.field.itemsize} bytes expected")
        self._weights = list(self._prepare(weight_share))

    def __repr__(self) -> str:
        return f"<Model: {self.program.weight_count} secret weights>"

    def _prepare(self, share: Elements) -> Iterator[tuple[Matrix, Elements | None] | None]:
        """For each operation its kernel as a matrix and its bias, or None."""
        start = 0
        for shapes in self.program.weight_shapes:
            parts = []
            for shape in shapes:
                size = int(np.prod(shape))
                parts.append(share[start : start + size].reshape(shape))
                start += size
            if not parts:
                yield None
                continue
            yield Matrix(self.field, parts[0].reshape(len(parts[0]), -1)), parts[1] if len(parts) > 1 else None

    def weights(self, index: int) -> tuple[Matrix, Elements | None]:
        """Kernel and bias of operation ``index``, a Conv or Linear."""
        weights = self._weights[index]
        assert weights is not None
        return weights

    @cached_property
    def last_uses(self) -> list[int]:
        """For each value the last operation that reads it."""
        uses = list(range(-1, len(self.program.operations)))
        for k, op in enumerate(self.program.operations):
            for source in (op.x, op.y) if isinstance(op, Add) else (op.x,):
                uses[source] = k
        return uses


def embed_plan(program: Program, batch: int) -> KitPlan:
    """What ``embed`` consumes for a batch of images."""
    sections: list[Section] = []
    for op in program.operations:
        x = program.values[op.x]
        if isinstance(op, Relu):
            n = batch * x.size
            sections.append(Section("relu", n, op.drop) if op.drop else Section("max", n))
        elif isinstance(op, Truncate):
            sections.append(Section("truncate", batch * x.size, op.drop))
        elif isinstance(op, MaxPool):
            stages = maximum.pool_comparisons((batch, *x.shape), op.kernel, op.stride)
            sections.extend(Section("max", n) for n in stages)
    return KitPlan(program.q, tuple(sections))


async def embed(run: Run, kit: Kit, model: Model, images: Elements) -> Elements:
    """Degree-1 shares of the descriptors (B, D) of shared images (B, C, H, W)."""
    s = Session(run, kit)
    values: list[Elements | None] = [images]
    for k, op in enumerate(model.program.operations):
        values.append(await _apply(s, model, k, op, values))
        for source, last in enumerate(model.last_uses[: k + 1]):
            if last == k:
                values[source] = None  # shares are freed as soon as nothing reads them
    result = values[-1]
    assert result is not None
    return result


async def _apply(s: Session, model: Model, k: int, op: Operation, values: list[Elements | None]) -> Elements:
    x = values[op.x]
    assert x is not None
    if isinstance(op, Relu):
        flat = x.reshape(-1)
        return (await (relu.relu(s, flat, op.drop) if op.drop else maximum.exact_relu(s, flat))).reshape(x.shape)
    if isinstance(op, Truncate):
        return (await truncation.truncate(s, x.reshape(-1), op.drop)).reshape(x.shape)
    if isinstance(op, MaxPool):
        return await maximum.max_pool(s, x, op.kernel, op.stride)
    if isinstance(op, Add):
        y = values[op.y]
        assert y is not None
        return s.field.add(x, y)
    return await s.compute(x.size, _local, model, k, op, x)


def _local(model: Model, k: int, op: Operation, x: Elements) -> Elements:
    """The linear operations, without interaction."""
    match op:
        case Conv():
            return convolve(*model.weights(k), x, op.kernel, op.stride, op.padding)
        case Linear():
            return affine(*model.weights(k), x)
        case Align():
            return model.field.scale(x, 1 << op.bits)
        case AveragePool():
            return _sum_pool(model, x, op)
        case Pad():
            return np.pad(x, ((0, 0), (0, op.channels), (0, op.rows), (0, op.columns)))
        case Flatten():
            return x.reshape(len(x), -1)
    raise ProtocolError(f"no execution of {op.kind}")


def _sum_pool(model: Model, x: Elements, op: AveragePool) -> Elements:
    total: Elements | None = None
    for rows in maximum.windows(x, op.kernel[0], op.stride[0], 2):
        for part in maximum.windows(rows, op.kernel[1], op.stride[1], 3):
            total = part if total is None else model.field.add(total, part)
    assert total is not None
    return total
