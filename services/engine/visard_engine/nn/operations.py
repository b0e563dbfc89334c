"""The closed list of operations, by the name under which a program's JSON has them."""

from visard_engine.nn.base import Operation
from visard_engine.nn.layers import Affine, Conv, Linear, Prelu
from visard_engine.nn.steps import (
    Add,
    Align,
    AveragePool,
    Clip,
    Concat,
    Filter,
    Flatten,
    MaxPool,
    Offset,
    Pad,
    Product,
    Rectify,
    Relu,
    Sum,
    SumPool,
    Times,
    Truncate,
)

_WITH_WEIGHTS: tuple[type[Operation], ...] = (Conv, Linear, Affine, Prelu)
_NONLINEAR: tuple[type[Operation], ...] = (Relu, Rectify, Truncate, Clip, MaxPool)
_LOCAL: tuple[type[Operation], ...] = (
    *(AveragePool, SumPool, Filter, Align, Times, Offset),
    *(Add, Concat, Product, Sum, Pad, Flatten),
)

OPERATIONS: dict[str, type[Operation]] = {op.kind: op for op in (*_WITH_WEIGHTS, *_NONLINEAR, *_LOCAL)}
# those that take rounds
INTERACTIVE: tuple[type[Operation], ...] = (*_NONLINEAR, Prelu)
