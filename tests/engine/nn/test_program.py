"""A program is checked before anybody runs it: every malformed or oversized one is refused by operation and reason."""

import json
from typing import Any

import numpy as np
import pytest
from visard_engine.nn.compile import compile_module
from visard_engine.nn.errors import ProgramError
from visard_engine.nn.operations.activations import Relu, Truncate
from visard_engine.nn.operations.arithmetic import Add, Align, Flatten, Pad
from visard_engine.nn.operations.pooling import MaxPool
from visard_engine.nn.operations.weighted import Conv, Linear
from visard_engine.nn.program import MATCH, OPEN, Program
from visard_engine.protocols.mean import Mean

from tests.engine.nn.networks import SHAPE, images, residual

POINTS = {"default": 0.5, "strict": 0.25}
CONV = Conv(0, 4, (3, 3), (1, 1), (1, 1), 12, bias=True)
TAIL = (Relu(1, 4), Flatten(2), Linear(3, 5, 10, bias=False), Truncate(4, 6))


def program(*operations: Any, **changes: Any) -> Program:
    fields: dict[str, Any] = {"q": 31, "input_shape": (3, 6, 6), "input_scale": 0, "operating_points": POINTS}
    return Program(operations=operations, **(fields | changes))


def values__should_carry_shape_scale_and_width() -> None:
    good = program(CONV, *TAIL)
    found = [(value.shape, value.scale, value.wide) for value in good.values]
    assert found == [
        ((3, 6, 6), 0, False),
        ((4, 6, 6), 12, True),
        ((4, 6, 6), 8, False),
        ((144,), 8, False),
        ((5,), 18, True),
        ((5,), 12, False),
    ]
    assert good.weight_count == 4 * 3 * 9 + 4 + 5 * 144
    assert good.threshold("strict") == 0.25**2 / 2 * 4**12
    assert good.threshold("") == 0.5**2 / 2 * 4**12
    assert program(CONV, *TAIL, q=61).threshold("") == 0.5**2 / 2 * 4**24


def mean__should_be_a_vector_of_length_one_with_its_limit() -> None:
    vector = tuple(np.rint(np.full(5, 0.2**0.5) * 2**14).astype(int).tolist())
    good = program(CONV, *TAIL, mean=vector, mean_limit=0.474)
    assert Program.from_json(good.to_json()) == good
    assert program(CONV, *TAIL).mean_test is None
    assert b"mean" not in program(CONV, *TAIL).to_json()
    assert good.mean_test == Mean(vector, int(0.474 * 2**26))
    wrong: list[dict[str, Any]] = [{"mean": vector}, {"mean_limit": 0.4}, {"mean": vector[:4], "mean_limit": 0.4}]
    wrong += [{"mean": vector, "mean_limit": limit} for limit in (1.0, -0.1, float("nan"))]
    wrong += [{"mean": tuple(2 * n for n in vector), "mean_limit": 0.4}]
    for changes in wrong:
        with pytest.raises(ProgramError, match="mean"):
            program(CONV, *TAIL, **changes)


def json__should_be_canonical_and_checked() -> None:
    good = program(CONV, *TAIL)
    assert Program.from_json(good.to_json()) == good
    assert Program.from_json(good.to_json()).digest == good.digest
    real = compile_module(residual(), SHAPE, q=31, calibration=images(2), operating_points=POINTS).program
    assert Program.from_json(real.to_json()) == real


@pytest.mark.parametrize(
    ("operations", "text"),
    [
        ((CONV,), "narrow and flat"),
        ((Conv(0, 4, (9, 9), (1, 1), (0, 0), 12, bias=True), *TAIL), r"operation 0 \(conv\): a window no larger"),
        ((Conv(0, 4, (3, 3), (1, 1), (3, 0), 12, bias=True), *TAIL), "padding below the kernel"),
        ((CONV, Conv(1, 4, (1, 1), (1, 1), (0, 0), 12, bias=True), *TAIL), r"operation 1 \(conv\): a narrow input"),
        ((CONV, Relu(5, 4)), "operands made before it"),
        ((CONV, Relu(1, 13)), "0 to 12 bits to drop"),
        ((Truncate(0, 1),), "1 to 0 bits to drop"),
        ((Flatten(0), MaxPool(1, (2, 2), (2, 2))), "shape"),
        ((MaxPool(0, (2, 2), (0, 1)), Flatten(1)), "positive sizes"),
        ((Align(0, 3), Add(1, 0)), "one shape and scale"),
        ((Pad(0, -1, 0, 0), Flatten(1)), "no negative padding"),
        ((Pad(0, 1 << 23, 0, 0), Flatten(1)), "sensible size"),
        ((Flatten(0), Linear(1, 0, 4, bias=False)), "positive sizes"),
        ((), "operations: 1 to"),
    ],
)
def impossible_program__should_be_refused(operations: tuple[Any, ...], text: str) -> None:
    with pytest.raises(ProgramError, match=text):
        program(*operations)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"q": 13}, "q: 31 or 61"),
        ({"input_shape": (3, 0, 6)}, "input"),
        ({"input_scale": 99}, "input"),
        ({"operating_points": {"strict": 0.1}}, "default"),
        ({"operating_points": {"default": 2.0}}, "between 0 and 2"),
        ({"operating_points": {"default": -1.0}}, "between 0 and 2"),
    ],
)
def impossible_header__should_be_refused(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ProgramError, match=text):
        program(CONV, *TAIL, **changes)


def purpose__should_be_part_of_the_digest() -> None:
    flat, picture = (Truncate(0, 1), Flatten(1)), (Align(0, 1), Truncate(1, 1))
    matching = program(*flat, input_scale=4)
    opening = program(*flat, input_scale=4, operating_points={}, purpose=OPEN)
    assert matching.purpose == MATCH
    assert b"purpose" not in matching.to_json()  # a default is left out: older programs keep their digests
    assert b'"purpose":"open"' in opening.to_json()
    assert matching.digest != opening.digest
    assert Program.from_json(opening.to_json()) == opening
    assert program(*picture, operating_points={}, purpose=OPEN).output.shape == (3, 6, 6)


@pytest.mark.parametrize(
    ("operations", "changes", "text"),
    [
        (TAIL, {"purpose": "both"}, "purpose: match or open"),
        (TAIL, {"purpose": OPEN}, "operating points: none"),
        ((), {"purpose": OPEN, "operating_points": {}}, "narrow"),
        ((Pad(1, 0, 1024, 1024), Truncate(2, 1)), {"purpose": OPEN, "operating_points": {}}, "at most 1048576"),
    ],
)
def impossible_purpose__should_be_refused(operations: tuple[Any, ...], changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ProgramError, match=text):
        program(CONV, *operations, **changes)


def spoilt(change: Any) -> bytes:
    raw = json.loads(program(CONV, *TAIL).to_json())
    change(raw)
    return json.dumps(raw).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        spoilt(lambda r: r.pop("q")),
        spoilt(lambda r: r.update(extra=1)),
        spoilt(lambda r: r["operations"].append(["exec", {"x": 0}])),
        spoilt(lambda r: r["operations"][0][1].update(stride=[1])),
        spoilt(lambda r: r["operations"][0][1].update(stride=[1, 1.5])),
        spoilt(lambda r: r["operations"][0][1].update(out_channels=1 << 40)),
        spoilt(lambda r: r["operations"][0][1].update(out_channels=True)),
        spoilt(lambda r: r["operations"][0][1].update(bias=1)),
        spoilt(lambda r: r["operations"][0][1].update(surprise=1)),
        spoilt(lambda r: r["operations"][1][1].pop("drop")),
        spoilt(lambda r: r["operating_points"].update(default="NaN")),
        spoilt(lambda r: r.update(operations=r["operations"] * 300)),
    ],
)
def malformed_json__should_be_refused(data: bytes) -> None:
    with pytest.raises(ProgramError):
        Program.from_json(data)
