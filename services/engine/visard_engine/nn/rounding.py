"""How far rounding can take a program's value from the real number that it stands for: a worst case, operation by operation.

An error here is a bound in units of the value's last bit, one for each element, or 0.0 where all are exact. Sources: a
truncation moves a value by less than one unit (protocols/truncation.py); a weight, summand, limit or public factor is off
by at most half a unit of its own scale; a sign that does without the lowest bits lets a ReLU be trunc(z) for small z < 0, and
a maximum the smaller of two values that are close (``comparison.missed``). Otherwise maxima, ReLU and clipping never enlarge
an error; sums add them; |x y - x' y'| is at most |x| e_y + |y| e_x + e_x e_y. This is first-order interval arithmetic in the
sense of N. Higham, "Accuracy and Stability of Numerical Algorithms", chapter 3, with the actual values in place of norms.

It is apart from the operations' own classes: it checks what they do, and it takes torch, which parties do not have.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from visard_engine.field import Integers
from visard_engine.nn.operations.activations import Clip, Prelu, Rectify, Relu, Truncate
from visard_engine.nn.operations.arithmetic import Add, Align, Concat, Flatten, Offset, Pad, Product, Times
from visard_engine.nn.operations.base import Operation
from visard_engine.nn.operations.norm import Affine, Sum
from visard_engine.nn.operations.pooling import AveragePool, MaxPool, SumPool
from visard_engine.nn.operations.weighted import Conv, Filter, Linear
from visard_engine.protocols.comparison import above, missed

Error = npt.NDArray[np.float64]

HALF = 0.5


def error_of(
    op: Operation, values: Sequence[Integers], errors: Sequence[Error], weights: Sequence[Integers], q: int
) -> Error:
    """The result's, shaped as the result or of no axes; of values (B, ...) and their errors, both by number; on shares mod
    2^q - 1."""
    x, e = values[op.x], errors[op.x]
    match op:
        case Conv() | Filter() | Linear() | Affine():
            return _multiplied(op, np.abs(x).astype(np.float64), e, weights)
        case Relu() | Rectify() | Truncate() | Prelu():
            return _truncated(op, x, e, weights, q)
        case Clip():
            return e + HALF
        case Align():
            return e * 2.0**op.bits
        case Times():
            rounded = HALF if op.bits and abs(op.factor) > 1 else 0.0
            return np.asarray(e * float(abs(op.factor)) + np.abs(x) * rounded)
        case Offset():
            return e + HALF * 2.0**op.shift
        case Add():
            return e + errors[op.y]
        case Product():
            y, f = _beside(values[op.y], x), _beside(errors[op.y], x)
            return np.asarray(np.abs(x) * f + np.abs(y) * e + e * f)
        case Concat():
            parts = [_whole(errors[k], values[k]) for k in op.sources]
            return np.concatenate(parts, axis=1)
    return _moved(op, _whole(e, x), q)


def _whole(e: Error, x: npt.NDArray[Any]) -> Error:
    """One for each element."""
    return np.broadcast_to(e, x.shape).astype(np.float64)


def _beside(y: npt.NDArray[Any], x: Integers) -> Any:
    """One number a channel, as it multiplies a picture."""
    return y.reshape(*y.shape, 1, 1) if y.ndim == 2 and x.ndim == 4 else y


def _truncated(
    op: Relu | Rectify | Truncate | Prelu, x: Integers, e: Error, weights: Sequence[Integers], q: int
) -> Error:
    kept = e / 2.0**op.drop + (1.0 if op.drop else 0.0)
    if op.drop and not isinstance(op, Truncate):
        kept = kept + missed(above(q, op.drop)) / 2.0**op.drop
    if isinstance(op, Rectify):
        return np.repeat(_whole(kept, x), 2, axis=1)
    if isinstance(op, Prelu):
        slopes = weights[0].reshape(-1, *(1 for _ in x.shape[2:]))
        least = np.maximum(0, -x) / 2.0**op.drop + 1
        return np.asarray(kept * (2.0**op.weight_bits + np.abs(slopes)) + least * HALF)
    return kept


def _multiplied(op: Conv | Filter | Linear | Affine, x: Error, e: Error, weights: Sequence[Integers]) -> Error:
    """Sums of |w| e + (|x| + e) / 2, and half a unit of the bias."""
    if isinstance(op, Affine):
        factors = np.abs(weights[0]).reshape(-1, *(1 for _ in x.shape[2:]))
        return np.asarray(factors * e + HALF * (x + e) + HALF)
    if isinstance(op, Linear):
        found = HALF * (x + e).sum(axis=1, keepdims=True) + HALF
        carried = np.broadcast_to(e, x.shape) @ np.abs(weights[0]).T.astype(np.float64)
        return np.asarray(found + carried)
    groups = op.groups if isinstance(op, Conv) else 1
    options: dict[str, Any] = {"stride": op.stride, "padding": op.padding}
    options["dilation"] = op.dilation if isinstance(op, Conv) else (1, 1)
    found = HALF * _window_sums(x + e, groups, op.out_channels, op.kernel, options) + HALF
    if not np.any(e):
        return found
    taps = weights[0] if isinstance(op, Conv) else np.array(op.taps).reshape(op.out_channels, x.shape[1], *op.kernel)
    kernel = torch.from_numpy(np.abs(taps)).double()
    through = functional.conv2d(torch.tensor(_whole(e, x)), kernel, groups=groups, **options)
    return np.asarray(found + through.numpy())


def _window_sums(x: Error, groups: int, filters: int, kernel: tuple[int, int], options: dict[str, Any]) -> Error:
    """Of each filter the sum of what it reads: the same for all filters of a group."""
    grouped = x.reshape(len(x), groups, -1, *x.shape[2:]).sum(axis=2)
    ones = torch.ones(groups, 1, *kernel, dtype=torch.float64)
    sums = functional.conv2d(torch.from_numpy(grouped), ones, groups=groups, **options)
    return np.repeat(sums.numpy(), filters // groups, axis=1)


def _moved(op: Operation, e: Error, q: int) -> Error:
    """What only moves, adds or compares elements."""
    match op:
        case MaxPool():
            confused = missed(above(q, op.spare)) * sum((k - 1).bit_length() for k in op.kernel) if op.spare else 0
            return np.asarray(functional.max_pool2d(torch.from_numpy(e), op.kernel, op.stride).numpy() + confused)
        case AveragePool() | SumPool():
            return functional.avg_pool2d(torch.from_numpy(e), op.kernel, op.stride, divisor_override=1).numpy()
        case Sum():
            return np.asarray(e.reshape(len(e), -1).sum(axis=1, keepdims=True))
        case Pad():
            return np.pad(e, op.widths)
        case Flatten():
            return e.reshape(len(e), -1)
    raise TypeError(op.kind)
