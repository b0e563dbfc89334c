"""The face network on shares: within 0.02 of dlib's own binary on every reference chip, and equal to its twin to the last bit."""

import functools
from pathlib import Path

import numpy as np
import pytest
from visard.owner.networks import calibration, face_resnet
from visard.owner.publish import PATTERN_MARGIN, PHOTO_MARGIN
from visard_engine.nn.compile import Compiled, compile_module
from visard_engine.nn.execute import embed_plan
from visard_engine.nn.twin import random_rounding, run_twin

from tests.engine.nn.networks import run_on_shares


@pytest.fixture(scope="module")
def reference(shared: Path) -> dict[str, np.ndarray]:
    data = np.load(shared / "reference" / "face_resnet_descriptors.npz")
    return {"chips": data["chips"].transpose(0, 3, 1, 2).copy(), "descriptors": data["descriptors"]}


@functools.cache
def compile_face(q: int) -> Compiled:
    return compile_module(
        face_resnet.load(),
        face_resnet.INPUT_SHAPE,
        q=q,
        calibration=calibration.patterns(face_resnet.INPUT_SHAPE),
        operating_points=face_resnet.OPERATING_POINTS,
        margin=PATTERN_MARGIN,
    )


@pytest.fixture(scope="module")
def face() -> Compiled:
    return compile_face(31)


def program__should_have_the_networks_size(face: Compiled) -> None:
    program = face.program
    assert sum(op.kind == "conv" for op in program.operations) == 29
    assert face.multiply_adds == 270_854_144
    sections = embed_plan(program, 1).sections
    assert sum(s.n for s in sections if s.kind == "relu") == 495_584
    assert sum(s.n for s in sections if s.kind == "max") == 239_680
    assert embed_plan(program, 1).correction_bytes == 12_545_792


def ranges__should_hold_with_more_margin_on_faces(face: Compiled, reference: dict[str, np.ndarray]) -> None:
    compile_module(
        face_resnet.load(),
        face_resnet.INPUT_SHAPE,
        q=31,
        calibration=reference["chips"][:24],
        operating_points=face_resnet.OPERATING_POINTS,
        margin=PHOTO_MARGIN,
    )


@pytest.mark.parametrize("step", [3, pytest.param(1, marks=pytest.mark.long)], ids=["9", "27"])
async def secure_descriptors__should_be_within_two_hundredths_of_dlibs(
    face: Compiled, reference: dict[str, np.ndarray], step: int
) -> None:
    """Of every third chip; in make test-long of all."""
    errors = []
    for chip, expected in zip(reference["chips"][::step], reference["descriptors"][::step], strict=True):
        found, channels, _ = await run_on_shares(face.program, face.weights, chip[None])
        errors.append(float(np.linalg.norm(found[0] / 2**face.program.output.scale - expected)))
    assert max(errors) < 0.02
    assert np.mean(errors) < 0.008
    assert {channel.rounds for channel in channels} == {103}  # three of them verify it
    assert {channel.sent_bytes for channel in channels} == {7_020_560}


@pytest.mark.parametrize("q", [31, 61])
async def secure_descriptor__should_equal_the_twin(q: int, reference: dict[str, np.ndarray]) -> None:
    compiled = compile_face(q)
    chip = reference["chips"][:1]
    found, _, rounding = await run_on_shares(compiled.program, compiled.weights, chip)
    assert found.tolist() == run_twin(compiled.program, compiled.weights, chip, rounding).tolist()


def larger_field__should_be_finer(reference: dict[str, np.ndarray]) -> None:
    compiled = compile_face(61)
    chips = reference["chips"][::5]
    found = run_twin(compiled.program, compiled.weights, chips, random_rounding(0)) / 2**compiled.program.output.scale
    assert np.linalg.norm(found - reference["descriptors"][::5], axis=1).max() < 0.001
