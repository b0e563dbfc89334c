"""A program's predicted rounds, bytes and kit are those of a run, exactly."""

import pytest
import torch
from torch import nn
from visard_engine.cost import SECONDS_PER_ROUND, cost
from visard_engine.describe import describe_plan
from visard_engine.nn.compile import compile_module
from visard_engine.nn.program import MATCH, OPEN

from tests.engine.nn.networks import describe_on_shares, images

SHAPE = (2, 13, 11)


def network() -> nn.Module:
    torch.manual_seed(0)
    module = nn.Sequential(
        *(nn.Conv2d(2, 5, 3, padding=1), nn.PReLU(5), nn.Conv2d(5, 5, 3, groups=5), nn.ReLU6()),
        *(nn.MaxPool2d(3, 2), nn.Conv2d(5, 3, 1), nn.ReLU(), nn.Flatten(), nn.Linear(60, 4)),
    )
    module.get_parameter("0.weight").data.div_(128)
    return module.eval().requires_grad_(False)


@pytest.mark.parametrize("q", [31, 61])
@pytest.mark.parametrize("purpose", [OPEN, MATCH])
async def costs__should_be_those_of_a_run(q: int, purpose: str) -> None:
    points = {"default": 0.6} if purpose == MATCH else {}
    calibration = images(3, SHAPE)
    compiled = compile_module(network(), SHAPE, q=q, calibration=calibration, operating_points=points, purpose=purpose)
    found = cost(compiled.program)
    _, channels = await describe_on_shares(compiled, images(1, SHAPE, seed=3))
    assert {channel.rounds for channel in channels} == {found.rounds}
    assert {channel.sent_bytes for channel in channels} == {found.sent_bytes}
    assert found.kit_bytes == describe_plan(compiled.program).correction_bytes
    assert found.multiply_adds == compiled.multiply_adds
    convolutions = 13 * 11 * 5 * 2 * 9 + 2 * 11 * 9 * 5 * 9 + 5 * 4 * 5 * 3  # the second takes over the PReLU
    assert found.multiply_adds == convolutions + 60 * 4
    assert found.rounds * SECONDS_PER_ROUND < found.seconds < 1
