"""``python -m visard_engine.warm``: run every protocol once on small numbers, so that Numba's cache holds all kernels."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import numpy as np

from visard_engine import matching, nearest, searching
from visard_engine.describe import describe, describe_plan
from visard_engine.in_process import LocalChannel, local_channels
from visard_engine.kits import Kit, KitPlan, deal_kit, dealt_part
from visard_engine.nn.execute import Model
from visard_engine.nn.operations.activations import Prelu, Relu, Truncate
from visard_engine.nn.operations.arithmetic import Flatten
from visard_engine.nn.operations.norm import Affine
from visard_engine.nn.operations.pooling import AveragePool, MaxPool
from visard_engine.nn.operations.weighted import Conv, Filter, Linear
from visard_engine.nn.program import Program
from visard_engine.session import Run

_REFERENCES = 70  # more than a word of bits


def program(q: int) -> Program:
    """A network with every layer that opens something."""
    layers = (
        Conv(0, 2, (3, 3), (2, 2), (1, 1), 12, bias=True),
        MaxPool(1, (2, 2), (2, 2)),
        Filter(2, 2, (3, 3), (1, 1), (1, 1), 0, (1,) * 36),
        Relu(3, 8),
        Conv(4, 2, (3, 3), (1, 1), (1, 1), 8, bias=True, groups=2),
        Prelu(5, 6, 6),
        Truncate(6, 6),
        Affine(7, 6),
        Relu(8, 6),
        AveragePool(9, (2, 2), (2, 2)),
        Relu(10, 0),
        Flatten(11),
        Truncate(12, 2),
        Linear(13, 8, 8, bias=True),
        Truncate(14, 6),
    )
    return Program(q, (1, 16, 16), 0, layers, {"default": 1.0})


async def _together(plans: Sequence[KitPlan], body: Callable[[LocalChannel, list[Kit]], Awaitable[object]]) -> None:
    dealt = [deal_kit(plan, bytes(32), 1 + k) for k, plan in enumerate(plans)]
    parts = [[dealt_part(plans[k], 1 + k, d, i, bytes(32)) for k, d in enumerate(dealt)] for i in range(3)]
    await asyncio.gather(*(body(channel, part) for channel, part in zip(local_channels(), parts, strict=True)))


async def warm(q: int) -> None:
    """Run the network, a verification, searches and a tournament. The shares are all zero: a sharing like any other."""
    small = program(q)
    model = Model(small, np.zeros(small.weight_count, np.uint32 if q == 31 else np.uint64))
    image = np.zeros((1, *small.input_shape), model.field.dtype)
    model.field.multiply(image, model.field.scale(image, 3))  # what renewals use, and the dealer
    probe = np.zeros(small.output.size, model.field.dtype)
    references = np.zeros((_REFERENCES, probe.size), model.field.dtype)
    images = np.repeat(image, 3, axis=0)
    await _together([describe_plan(small)] * 3, lambda c, kits: describe(Run(c), kits, model, images))
    verify = matching.verify_plan(q, _REFERENCES, probe.size)
    await _together([verify], lambda c, kits: matching.verify(Run(c), kits[0], probe, references, 1))
    identify = nearest.identify_plans(q, _REFERENCES, probe.size)
    await _together(identify, lambda c, kits: nearest.identify(Run(c), kits, probe, references, 1))
    labels = searching.Labels(np.zeros((_REFERENCES, 5), np.uint64), np.zeros((2, 10), np.uint64), 4)
    search = searching.search_plans(q, _REFERENCES, probe.size, searching.Tables(1, 5, labels.parts))
    await _together(search, lambda c, kits: searching.search(Run(c), kits, probe, references, [1], labels))
    known = searching.known_plans(q, _REFERENCES, probe.size)
    await _together(known, lambda c, kits: searching.is_known(Run(c), kits, probe, references, 1))


async def _both() -> None:
    for q in (31, 61):
        await warm(q)


if __name__ == "__main__":
    asyncio.run(_both())
