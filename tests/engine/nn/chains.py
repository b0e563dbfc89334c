"""Small programs whose wide values come about in every way there is: each operation that can have a wide result, and chains."""

from typing import Any

import numpy as np
from visard_engine.field import Integers, field_of
from visard_engine.nn.operations.activations import Clip, Prelu, Rectify, Relu, Truncate
from visard_engine.nn.operations.arithmetic import Add, Align, Concat, Flatten, Offset, Pad, Product, Times
from visard_engine.nn.operations.base import Operation
from visard_engine.nn.operations.norm import Affine, Sum
from visard_engine.nn.operations.pooling import AveragePool, MaxPool, SumPool
from visard_engine.nn.operations.weighted import Conv, Filter, Linear
from visard_engine.nn.program import OPEN, Program

SHAPE = (4, 6, 5)
CONV = Conv(0, 4, (3, 3), (1, 1), (1, 1), 12, bias=True)  # its result has the shape of the input
OTHER = Conv(0, 4, (1, 1), (1, 1), (0, 0), 12, bias=False)
GROUPED = Conv(0, 4, (3, 3), (1, 1), (1, 1), 12, bias=True, groups=2)


def _filter(x: int, channels: int = 4) -> Filter:
    taps = np.random.default_rng(x).integers(-3, 4, 3 * channels * 9)
    return Filter(x, 3, (3, 3), (1, 1), (1, 1), 2, tuple(map(int, taps)))


CHAINS: dict[str, tuple[Operation, ...]] = {
    "conv": (CONV, Relu(1, 4)),
    "strided conv": (Conv(0, 3, (3, 2), (2, 1), (0, 1), 12, bias=False), Relu(1, 12)),
    "dilated conv": (Conv(0, 3, (3, 2), (1, 2), (1, 1), 12, bias=True, dilation=(2, 3)), Truncate(1, 9)),
    "grouped conv": (GROUPED, Truncate(1, 4)),
    "depthwise conv": (Conv(0, 8, (3, 3), (2, 2), (1, 1), 12, bias=False, groups=4, dilation=(1, 1)), Relu(1, 4)),
    "linear": (Flatten(0), Linear(1, 5, 10, bias=True), Truncate(2, 4)),
    "linear without bias": (Flatten(0), Linear(1, 5, 10, bias=False), Relu(2, 0)),
    "affine": (Affine(0, 8), Relu(1, 4)),
    "flat affine": (Flatten(0), Affine(1, 8), Truncate(2, 4)),
    "prelu of a narrow value": (Prelu(0, 0, 8), Truncate(1, 4)),
    "prelu": (CONV, Prelu(1, 4, 8), Truncate(2, 4)),
    "flat prelu": (Flatten(0), Linear(1, 5, 10, bias=True), Prelu(2, 4, 8), Relu(3, 4)),
    "rectify": (CONV, Rectify(1, 4)),
    "exact relu and clip": (CONV, Relu(1, 0), Clip(2, 77)),
    "square": (Product(0, 0), Truncate(1, 4)),
    "product": (CONV, Relu(1, 12), Product(0, 2), Truncate(3, 4)),
    "product a channel": (SumPool(0, (6, 5), (1, 1)), Product(0, 1), Truncate(2, 4)),
    "product a flat channel": (SumPool(0, (6, 5), (1, 1)), Flatten(1), Product(0, 2), Truncate(3, 4)),
    "product by one": (Flatten(0), Sum(1), Product(1, 2), Truncate(3, 4)),
    "sum of squares": (Product(0, 0), Sum(1), Truncate(2, 4)),
    "flat sum": (Flatten(0), Product(1, 1), Sum(2), Truncate(3, 4)),
    "sum of conv": (CONV, Sum(1), Relu(2, 4)),
    "add of two": (CONV, OTHER, Add(1, 2), Relu(3, 4)),
    "add to itself": (CONV, Add(1, 1), Relu(2, 4)),
    "add of a narrow one": (CONV, Align(0, 12), Add(1, 2), Relu(3, 4)),
    "add to an offset of itself": (CONV, Offset(1, 5, 3), Add(1, 2), Relu(3, 4)),
    "align": (CONV, Align(1, 3), Relu(2, 4)),
    "times": (CONV, Times(1, -3, 4), Relu(2, 4)),
    "offset": (CONV, Offset(1, 5, 3), Relu(2, 4)),
    "concat": (CONV, OTHER, Concat(1, 2), Relu(3, 4)),
    "concat of a narrow one": (CONV, Align(0, 12), Concat(2, 1), Relu(3, 4)),
    "concat with itself": (CONV, Concat(1, 1), Relu(2, 4)),
    "linear with itself": (Flatten(0), Linear(1, 5, 10, bias=True), Concat(2, 2), Truncate(3, 4)),
    "affine with itself": (Affine(0, 8), Concat(1, 1), Truncate(2, 4)),
    "pad": (CONV, Pad(1, 1, 2, 1, 1, 2), Relu(2, 4)),
    "pad with a number": (CONV, Pad(1, 2, 0, 0, fill=-77), Relu(2, 4)),
    "filter of pad with a number": (CONV, Pad(1, 1, 0, 0, fill=5), _filter(2, 5), Relu(3, 4)),
    "conv of pad with a number": (
        *(CONV, Rectify(1, 4), Pad(2, 2, 0, 0, fill=9)),
        *(Conv(3, 2, (3, 3), (1, 1), (1, 1), 12, bias=True), Relu(4, 4)),
    ),
    "flatten": (CONV, Flatten(1), Relu(2, 4)),
    "flatten in a chain": (CONV, Flatten(1), Times(2, 3, 1), Relu(3, 4)),
    "flatten and sum": (CONV, Flatten(1), Times(2, 3, 1), Sum(3), Relu(4, 4)),
    "flatten grouped conv": (GROUPED, Flatten(1), Offset(2, 3, 1), Relu(3, 4)),
    "filter": (CONV, _filter(1), Relu(2, 4)),
    "filter of grouped conv": (GROUPED, _filter(1), Relu(2, 4)),
    "filter of dilated groups": (
        Conv(0, 8, (2, 3), (1, 2), (1, 2), 12, bias=True, dilation=(2, 1), groups=4),
        _filter(1, 8),
        Relu(2, 4),
    ),
    "filter of affine": (Affine(0, 8), _filter(1), Truncate(2, 4)),
    "filter of prelu": (CONV, Prelu(1, 4, 8), _filter(2), Truncate(3, 4)),
    "filter of square": (Product(0, 0), _filter(1), Truncate(2, 4)),
    "filter of product a channel": (SumPool(0, (6, 5), (1, 1)), Product(0, 1), _filter(2), Truncate(3, 4)),
    "filter of filter": (CONV, _filter(1), _filter(2, 3), Relu(3, 4)),
    "filter and pad": (CONV, Pad(1, 0, 1, 1, 2, 0), _filter(2), Pad(3, 2, 1, 0, 0, 1), Relu(4, 4)),
    "filter and align": (CONV, Align(1, 2), Times(2, 5, 1), Offset(3, 1, 1), _filter(4), Relu(5, 4)),
    "filter of concat": (CONV, OTHER, Concat(1, 2), _filter(3, 8), Relu(4, 4)),
    "filter of pool": (CONV, SumPool(1, (2, 2), (1, 2)), _filter(2), Relu(3, 4)),
    "filter of sum of filters": (CONV, OTHER, Add(1, 2), _filter(3), Add(4, 4), Relu(5, 4)),
    "average pool": (CONV, AveragePool(1, (2, 2), (2, 2)), Relu(2, 4)),
    "overlapping average": (CONV, AveragePool(1, (2, 4), (1, 1)), Relu(2, 4)),
    "sum pool": (CONV, SumPool(1, (3, 2), (2, 1)), Relu(2, 4)),
    "max pool": (CONV, MaxPool(1, (2, 2), (2, 2)), Relu(2, 4)),
    "overlapping max pool": (CONV, MaxPool(1, (3, 3), (2, 2)), Truncate(2, 4)),
    "long max pool": (CONV, MaxPool(1, (5, 1), (1, 2)), Relu(2, 4)),
    "max pool with spare bits": (CONV, MaxPool(1, (2, 3), (2, 2), 12), Relu(2, 12)),
    "max pool of one": (CONV, MaxPool(1, (1, 1), (2, 2)), Relu(2, 4)),
    "max pool of max pool": (CONV, MaxPool(1, (2, 2), (2, 1)), MaxPool(2, (1, 2), (1, 1)), Relu(3, 4)),
    "max pool of pad": (CONV, Pad(1, 0, 1, 0, 0, 1), MaxPool(2, (2, 2), (2, 2)), Relu(3, 4)),
    "max pool of filter": (CONV, _filter(1), MaxPool(2, (2, 2), (2, 2)), Relu(3, 4)),
    "filter of max pool": (CONV, MaxPool(1, (2, 2), (1, 1)), _filter(2), Relu(3, 4)),
    "sum pool of max pool": (CONV, MaxPool(1, (2, 2), (1, 1)), SumPool(2, (2, 2), (2, 2)), Relu(3, 4)),
    "shortcut": (CONV, Relu(1, 12), Conv(2, 4, (1, 1), (1, 1), (0, 0), 12, bias=True), Add(3, 1), Relu(4, 4)),
    "two readers": (CONV, Relu(1, 4), Truncate(1, 4), Add(2, 3)),
    "long chain": (
        *(CONV, Pad(1, 2, 1, 1, 1, 1), SumPool(2, (2, 2), (1, 1)), Offset(3, -7, 2), Times(4, 9, 3), Align(5, 2)),
        Relu(6, 4),
    ),
}


def chain(name: str, q: int) -> Program:
    """A program that ends in a narrow value, for pictures of ``SHAPE``."""
    options: dict[str, Any] = {"operating_points": {}, "purpose": OPEN}
    return Program(q, SHAPE, 14, CHAINS[name], **options)


def weights_of(program: Program, seed: int = 0) -> Integers:
    """Anything in the field: whether products are what they should be has nothing to do with their size."""
    p = field_of(program.q).p
    return np.random.default_rng(seed).integers(-(p // 2), p // 2 + 1, program.weight_count)


def pictures(program: Program, batch: int, seed: int = 1) -> Integers:
    """Likewise, (B, C, H, W)."""
    p = field_of(program.q).p
    return np.random.default_rng(seed).integers(-(p // 2), p // 2 + 1, (batch, *program.input_shape))
