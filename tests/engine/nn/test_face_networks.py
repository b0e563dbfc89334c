"""MobileFaceNet and ResNet-18 go through the compiler, stay close to float, and on shares equal their twin to the last bit."""

import numpy as np
import pytest
import torch
from visard_engine.cost import cost
from visard_engine.nn.compile import Compiled, compile_module
from visard_engine.nn.twin import random_rounding, run_twin

from tests.engine.nn.face_networks import MobileFaceNet, ResNet18, settled
from tests.engine.nn.networks import images, run_on_shares

POINTS = {"default": 1.0}
SMALL = (3, 64, 64)

# what a service does before and after a network and its verification
OUTSIDE = ("degree test", "norm test", "normalise", "alarms", "agreement")


def compiled(module: torch.nn.Module, shape: tuple[int, int, int], q: int) -> Compiled:
    calibration = images(4, shape, seed=9)
    return compile_module(module, shape, q=q, calibration=calibration, operating_points=POINTS)


def relative_error(result: Compiled, module: torch.nn.Module, probes: np.ndarray) -> float:
    found = run_twin(result.program, result.weights, probes, random_rounding(1)) / 2**result.program.output.scale
    expected = module(torch.from_numpy(probes).float()).numpy()
    return float((np.linalg.norm(found - expected, axis=1) / np.linalg.norm(expected, axis=1)).max())


@pytest.fixture(scope="module")
def mobile() -> torch.nn.Module:
    return settled(MobileFaceNet(normalised=True), MobileFaceNet.input_shape)


@pytest.fixture(scope="module")
def residual() -> torch.nn.Module:
    return settled(ResNet18(), SMALL)


async def mobile_face_net__should_run_on_shares_as_published(mobile: torch.nn.Module) -> None:
    result = compiled(mobile, MobileFaceNet.input_shape, 61)
    probes = images(1, MobileFaceNet.input_shape, seed=5)
    assert relative_error(result, mobile, probes) < 0.005
    found, channels, rounding = await run_on_shares(result.program, result.weights, probes)
    assert found.tolist() == run_twin(result.program, result.weights, probes, rounding).tolist()
    layers = (layer for layer in cost(result.program).layers if layer.kind not in OUTSIDE)
    assert {c.rounds for c in channels} == {sum(layer.rounds for layer in layers)}
    assert np.linalg.norm(found / 2**result.program.output.scale) == pytest.approx(1, abs=0.001)


async def mobile_face_net__should_run_in_the_small_field_without_its_normalisation() -> None:
    module = settled(MobileFaceNet(normalised=False), MobileFaceNet.input_shape)
    result = compiled(module, MobileFaceNet.input_shape, 31)
    probes = images(1, MobileFaceNet.input_shape, seed=5)
    found, _, rounding = await run_on_shares(result.program, result.weights, probes)
    assert found.tolist() == run_twin(result.program, result.weights, probes, rounding).tolist()
    assert relative_error(result, module, probes) < 0.1


@pytest.mark.parametrize(("q", "error"), [(31, 0.1), (61, 0.001)])
async def resnet_18__should_run_on_shares(q: int, error: float, residual: torch.nn.Module) -> None:
    result = compiled(residual, SMALL, q)
    probes = images(1, SMALL, seed=5)
    assert relative_error(result, residual, probes) < error
    found, _, rounding = await run_on_shares(result.program, result.weights, probes)
    assert found.tolist() == run_twin(result.program, result.weights, probes, rounding).tolist()
    assert sum(op.kind == "conv" for op in result.program.operations) == 20


def networks__should_have_their_published_sizes(mobile: torch.nn.Module, residual: torch.nn.Module) -> None:
    convolutions = [p for name, p in mobile.named_parameters() if p.ndim in (2, 4)]
    assert 0.95e6 < sum(p.numel() for p in convolutions) < 1.0e6
    assert sum(p.numel() for p in residual.parameters()) == pytest.approx(11.24e6, rel=0.01)
