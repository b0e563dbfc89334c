"""SFace in 31 bits: the twin's descriptors point where the network's do in float, and those on shares are the twin's."""

from pathlib import Path

import numpy as np
import pytest
import torch
from visard.capture import capture, chip_pixels
from visard.owner.networks import sface
from visard.owner.publish import PHOTO_MARGIN
from visard_engine.nn.compile import Compiled, compile_module
from visard_engine.nn.twin import random_rounding, run_twin

from tests.engine.nn.networks import run_on_shares

COSINE = 0.9999  # measured on 8 faces: 0.99998 to 0.99999
SIGNIFICANT = 2.0  # bits of headroom that are left above the margin on faces


@pytest.fixture(scope="module")
def chips(shared: Path) -> np.ndarray:
    """Four faces of LFW, (4, 3, 112, 112)."""
    files = sorted((shared / "data" / "lfw-dev").glob("*/*_0001.jpg"))[:400:100]
    return np.stack([chip_pixels(capture(file, largest=True), sface.CHIP).transpose(2, 0, 1) for file in files])


@pytest.fixture(scope="module")
def compiled(chips: np.ndarray) -> Compiled:
    return compile_module(
        sface.load(),
        sface.INPUT_SHAPE,
        q=31,
        calibration=chips[:2],
        operating_points=sface.OPERATING_POINTS,
        margin=PHOTO_MARGIN,
        chip=sface.CHIP,
    )


def program__should_name_its_chip_and_have_the_networks_size(compiled: Compiled) -> None:
    assert compiled.program.chip == "arcface-112"
    assert sum(op.kind == "conv" for op in compiled.program.operations) == 27
    assert min(layer.headroom_bits for layer in compiled.layers) >= SIGNIFICANT


def twins_descriptors__should_point_where_the_networks_do(compiled: Compiled, chips: np.ndarray) -> None:
    expected = sface.load()(torch.from_numpy(chips).float()).numpy()
    found = run_twin(compiled.program, compiled.weights, chips.astype(np.int64), random_rounding(0))
    lengths = np.linalg.norm(expected, axis=1) * np.linalg.norm(found, axis=1)
    assert ((expected * found).sum(axis=1) / lengths).min() > COSINE


async def descriptor_on_shares__should_equal_the_twins(compiled: Compiled, chips: np.ndarray) -> None:
    found, _, rounding = await run_on_shares(compiled.program, compiled.weights, chips[:1])
    assert found.tolist() == run_twin(compiled.program, compiled.weights, chips[:1], rounding).tolist()
