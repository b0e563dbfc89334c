"""The closed list of operations, by the name under which a program's JSON has them; all that is known of one is in its class.

Two things stand apart on purpose, for they are what a class is checked against: the same on plain integers (nn/twin.py),
and how far its rounding can go (nn/rounding.py).
"""

from visard_engine.nn.operations import activations, arithmetic, norm, pooling, weighted
from visard_engine.nn.operations.base import Operation

_WEIGHTED: tuple[type[Operation], ...] = (weighted.Conv, weighted.Linear, weighted.Filter)
_NORM: tuple[type[Operation], ...] = (norm.Affine, norm.Sum)
_ACTIVATIONS: tuple[type[Operation], ...] = (
    *(activations.Relu, activations.Rectify, activations.Prelu),
    *(activations.Truncate, activations.Clip),
)
_POOLING: tuple[type[Operation], ...] = (pooling.MaxPool, pooling.AveragePool, pooling.SumPool)
_ARITHMETIC: tuple[type[Operation], ...] = (
    *(arithmetic.Add, arithmetic.Product, arithmetic.Align, arithmetic.Times, arithmetic.Offset),
    *(arithmetic.Concat, arithmetic.Pad, arithmetic.Flatten),
)

OPERATIONS: dict[str, type[Operation]] = {
    op.kind: op for op in (*_WEIGHTED, *_NORM, *_ACTIVATIONS, *_POOLING, *_ARITHMETIC)
}
