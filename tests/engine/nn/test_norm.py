"""Batch norms and normalised outputs: on shares as their twin and as torch; others are refused by name."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from visard_engine.nn.compile import compile_module
from visard_engine.nn.errors import ProgramError, UnsupportedLayer
from visard_engine.nn.operations.norm import Affine
from visard_engine.nn.twin import run_twin

from tests.engine.nn.layers import SHAPE, Entry, Function, normed, run_layer
from tests.engine.nn.networks import images, run_on_shares
from tests.engine.nn.test_program import CONV, program

LAYERS: dict[str, Callable[[], nn.Module]] = {
    "batch norm alone": lambda: Entry(nn.ReLU(), normed(nn.BatchNorm2d(4)), nn.ReLU()),
    "flat batch norm": lambda: Entry(nn.Flatten(), nn.Linear(576, 5), normed(nn.BatchNorm1d(5))),
    "flat batch norm alone": lambda: Entry(nn.AvgPool2d(4), nn.Flatten(), normed(nn.BatchNorm1d(36))),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("q", [31, 61])
async def norm__should_compute_its_function_on_shares(name: str, q: int) -> None:
    await run_layer(name, LAYERS[name], q)


@pytest.mark.parametrize(
    ("operations", "text"),
    [
        ((CONV, Affine(1, 8)), "a narrow input"),
    ],
)
def impossible_operation__should_be_refused(operations: tuple[Any, ...], text: str) -> None:
    with pytest.raises(ProgramError, match=text):
        program(*operations)


@pytest.mark.parametrize("length", [0.01, 1.0, 50.0])
async def normalised_output__should_have_length_one(length: float) -> None:
    torch.manual_seed(1)
    module = Entry(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(36, 8), Function(functional.normalize)).eval()
    module.requires_grad_(False)
    module.get_parameter("rest.2.weight").mul_(length)
    module.get_parameter("rest.2.bias").mul_(length)
    calibration, probes = images(8, SHAPE, seed=9), images(2, SHAPE, seed=5)
    points = {"default": 1.0}
    result = compile_module(module, SHAPE, q=61, calibration=calibration, operating_points=points)
    found, _, rounding = await run_on_shares(result.program, result.weights, probes)
    assert found.tolist() == run_twin(result.program, result.weights, probes, rounding).tolist()
    expected = module(torch.from_numpy(probes).float()).numpy()
    assert np.abs(found / 2**result.program.output.scale - expected).max() < (0.02 if length < 0.1 else 2e-4)
    with pytest.raises(UnsupportedLayer, match=r"rest\.3 \(normalize\): normalize needs the 61-bit field"):
        compile_module(module, SHAPE, q=31, calibration=calibration, operating_points=points)
