"""A program on shares computes what its plaintext twin computes, to the last bit, and costs what its plan says."""

import numpy as np
import pytest
import torch
from visard_engine.errors import ProtocolError
from visard_engine.field import field_of
from visard_engine.nn.compile import compile_module
from visard_engine.nn.execute import Model, embed_plan
from visard_engine.nn.twin import run_twin

from tests.engine.nn.networks import SHAPE, VERIFICATION, images, residual, run_on_shares

POINTS = {"default": 0.6}
# four ReLUs and four stages of pooling, and one last truncation: three rounds where four digits do, else four
ROUNDS = {31: 7 * 3 + 4 + 1, 61: 8 * 4 + 1}


@pytest.mark.parametrize("q", [31, 61])
@pytest.mark.parametrize("batch", [1, 3])
async def run_on_shares__should_equal_the_twin(q: int, batch: int) -> None:
    network, probes = residual(), images(batch)
    compiled = compile_module(network, SHAPE, q=q, calibration=images(8, seed=2), operating_points=POINTS)
    found, channels, rounding = await run_on_shares(compiled.program, compiled.weights, probes)
    assert found.tolist() == run_twin(compiled.program, compiled.weights, probes, rounding).tolist()
    expected = network(torch.from_numpy(probes).float()).numpy()
    assert np.abs(found / 2**compiled.program.output.scale - expected).max() < (0.03 if q == 31 else 0.001)
    assert {c.rounds for c in channels} == {ROUNDS[q] + VERIFICATION}


@pytest.mark.parametrize("q", [31, 61])
async def images_with_a_kit_each__should_run_together_in_the_rounds_of_one(q: int) -> None:
    network, probes = residual(), images(6)
    compiled = compile_module(network, SHAPE, q=q, calibration=images(8, seed=2), operating_points=POINTS)
    found, channels, rounding = await run_on_shares(compiled.program, compiled.weights, probes, kits=3)
    assert found.tolist() == run_twin(compiled.program, compiled.weights, probes, rounding).tolist()
    assert {c.rounds for c in channels} == {ROUNDS[q] + VERIFICATION}


def kit_plan__should_grow_with_the_batch() -> None:
    program = compile_module(residual(), SHAPE, q=31, calibration=images(2), operating_points=POINTS).program
    one, four = embed_plan(program, 1), embed_plan(program, 4)
    assert [s.n * 4 for s in one.sections] == [s.n for s in four.sections]
    assert one.digest != four.digest


def weights_of_the_wrong_length__should_be_refused() -> None:
    program = compile_module(residual(), SHAPE, q=31, calibration=images(2), operating_points=POINTS).program
    with pytest.raises(ProtocolError, match=str(program.weight_count)):
        Model(program, np.zeros(program.weight_count - 1, field_of(31).dtype))
