"""One image that passes as many: the attack finds it, counts whom it was not made for, and loose points are refused."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from visard.errors import InvalidRequest
from visard.owner.evaluation import embed
from visard.owner.evaluation.attack import LEAST_PEOPLE, Attack, Budget, attack, split
from visard.owner.evaluation.sphere import MeanTest, unit
from visard.owner.publish import LOOSEST, check_points

from tests.engine.nn.test_program import CONV, TAIL, program

SHAPE, PEOPLE, TRAIN, DISTANCE = (3, 6, 6), 120, 60, 1.0
Faces = tuple[embed.Captured, dict[int, np.ndarray], list[str]]

POINTS = {"default": DISTANCE, "strict": 0.8 * DISTANCE}


@pytest.fixture(scope="module")
def network() -> nn.Module:
    """From pictures to vectors in 5 dimensions, which lie to one side as faces' do: their mean is not zero."""
    torch.manual_seed(3)
    module = nn.Sequential(nn.Flatten(), nn.Linear(108, 32), nn.ReLU(), nn.Linear(32, 5))
    with torch.no_grad():
        module.get_parameter("1.weight").div_(40)
    return module.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def faces(network: nn.Module) -> Faces:
    """Two pictures each of many people, and their unit descriptors, spread around a mean."""
    rng = np.random.default_rng(4)
    pictures = {row: rng.integers(0, 256, SHAPE, dtype=np.uint8) for row in range(2 * PEOPLE)}
    stacked = torch.from_numpy(np.stack(list(pictures.values()))).float()
    found = network(stacked)
    with torch.no_grad():
        network.get_parameter("3.bias").sub_(found.mean(dim=0) - 0.5 * found.std(dim=0))
    vectors = dict(enumerate(unit(network(stacked).numpy().astype(np.float64))))
    return embed.Captured(pictures, {}), vectors, [f"person {row // 2}" for row in range(2 * PEOPLE)]


def attacked(network: nn.Module, faces: Faces, steps: int, points: dict[str, float], **more: Any) -> Attack:
    return attack(network, *faces, points, lambda: None, budget=Budget(steps, rounds=2), **more)


def people__should_be_either_the_attackers_or_counted(faces: Faces) -> None:
    captured, _, people = faces
    own, others = split(people, captured.rows)
    assert (len(own), len(others)) == (TRAIN, PEOPLE - TRAIN)
    assert not {people[row] for row in own} & {people[row] for row in others}
    assert (own, others) == split(people, captured.rows), "the same each time"
    assert [len(part) for part in split(people, captured.rows, 7)] == [7, PEOPLE - 7]
    with pytest.raises(InvalidRequest, match=f"at least {LEAST_PEOPLE} people, and there are {LEAST_PEOPLE - 1}"):
        split(people, captured.rows[: 2 * LEAST_PEOPLE - 2])
    with pytest.raises(InvalidRequest, match=f"may have 4 to {PEOPLE - 4} of {PEOPLE} people"):
        split(people, captured.rows, PEOPLE)


def image_made_for_it__should_match_more_than_any_face_does(network: nn.Module, faces: Faces) -> None:
    made = attacked(network, faces, 100, POINTS, rates={"default": 0.01, "strict": 0.9})
    captured, vectors, people = faces
    own, others = split(people, captured.rows)
    rows = np.stack([vectors[row] for row in [*own, *others]])
    for name, distance in POINTS.items():
        share = (np.linalg.norm(rows[:, None] - rows[None], axis=2) <= distance).mean()  # a face, on average
        found = made.covered[name]
        one, five, ten = found.images.values()
        assert found.distance == distance
        assert one.others > 1.3 * share, "of those whom it was not made for"
        assert one.own > 1.3 * share
        assert found.vector.own >= 0.8 * one.own, "no image leads farther than the best vector"
        assert one.own <= five.own <= ten.own
        assert one.others <= five.others <= ten.others
    default, strict = made.covered["default"], made.covered["strict"]
    assert strict.images[1].others < default.images[1].others
    assert default.times == pytest.approx(default.images[1].others / 0.01)
    assert (default.passes_as_many, strict.passes_as_many) == (True, False)
    assert (made.train_people, made.test_people, made.steps, made.mean_test) == (TRAIN, PEOPLE - TRAIN, 100, False)


def descent__should_be_what_finds_it(network: nn.Module, faces: Faces) -> None:
    strict = {"strict": POINTS["strict"]}
    first, best = (attacked(network, faces, steps, strict).covered["strict"].images[1].own for steps in (1, 100))
    assert best > first


def test_against_the_mean__should_be_passed_and_cost_the_attacker(network: nn.Module, faces: Faces) -> None:
    vectors = np.stack(list(faces[1].values()))
    mean = unit(vectors.mean(axis=0))
    limit = float(np.quantile(vectors @ mean, 0.5))
    free = attacked(network, faces, 100, {"default": POINTS["default"]}).covered["default"]
    made = attacked(network, faces, 100, {"default": POINTS["default"]}, test=MeanTest(mean, limit))
    bound = made.covered["default"]
    assert made.mean_test
    assert 0 < bound.images[1].others < free.images[1].others
    assert bound.vector.others < free.vector.others
    nothing = attacked(network, faces, 5, {"default": POINTS["default"]}, test=MeanTest(mean, -2.0))
    assert nothing.covered["default"].images[10].others == 0, "what is refused matches nobody"


@pytest.mark.parametrize(
    ("rates", "refusal"),
    [
        ({"default": 6e-3, "strict": 1e-4}, r"default: its false match rate is 0\.6 %, and 0\.1 % is allowed"),
        ({"strict": 1e-4}, "default: nobody has measured"),
        ({"default": LOOSEST}, "strict: nobody has measured"),
        ({"default": LOOSEST, "strict": 1e-4}, None),
    ],
)
def point__should_let_in_one_stranger_in_a_thousand_at_most(rates: dict[str, float], refusal: str | None) -> None:
    made = dataclasses.replace(program(CONV, *TAIL), false_match_rates=rates)
    if refusal is None:
        check_points(made)
    else:
        with pytest.raises(InvalidRequest, match=refusal):
            check_points(made)
