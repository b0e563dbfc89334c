"""Images that pass as many people: how far they get against a network whose weights the attacker has.

White box: by gradient descent on pixels within 0 to 255 images are made whose descriptors lie within a threshold of as many
people as possible, for people whose photos the attacker has; what counts is how many others they match whom he has never seen.
Several images are made for those whom the first ones do not cover, and chosen one after the other (greedily). Where a model
refuses what is too near a public mean, the attacker knows that, and an image that is refused covers nobody. The idea is of
A. Roy, N. Memon, A. Ross, "MasterPrint", IEEE TIFS 2017; for faces R. Shmelkin, T. Friedlander, L. Wolf, "Generating master
faces for dictionary attacks with a network-assisted latent space evolution", FG 2021.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from visard.errors import InvalidRequest
from visard.owner.evaluation.embed import Advance, Captured, Pixels
from visard.owner.evaluation.sphere import Floats, MeanTest, cosine

LEAST_PEOPLE = 20
STEPS = 200
STARTS = 4
ROUNDS = 3  # of descents at one point, each for whom the images so far leave out: STARTS images a round
SETS = (1, 5, 10)
WARN = 10.0  # times the false match rate that one image may cover
_RATE = 4.0  # grey levels a step, at first
_TURN = 0.004  # of a unit vector, likewise
# how gradual the count is, of 1 - cos at the point: at first, by turns (the one pulls towards all, the other keeps to those
# who are near), and in the end
_SOFT, _SHARP = (0.2, 0.06), 0.03
_MARGIN, _WEIGHT = 0.004, 50.0  # below the mean test's limit, while descending, and what it weighs to be above
_SEED = 20261126

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Covered:
    """The share of people matched: of those it was made for, and of the others."""

    own: float
    others: float


@dataclass(frozen=True)
class Coverage:
    """At one operating point: the best images by how many there are, and the best unit vector, image or not.

    ``times``: what one image covers, in terms of the point's false match rate, where that is known and not 0.
    """

    distance: float
    images: dict[int, Covered]
    vector: Covered
    times: float | None

    @property
    def passes_as_many(self) -> bool:
        """Whether one image covers more than WARN times the point's rate."""
        return self.times is not None and self.times > WARN


@dataclass(frozen=True)
class Attack:
    """What was tried: people with a photo each whom the attacker has and has not, steps of descent, starts, rounds."""

    train_people: int
    test_people: int
    steps: int
    starts: int
    rounds: int
    mean_test: bool
    covered: dict[str, Coverage]


@dataclass(frozen=True)
class Budget:
    """How much an attack may take: steps of each descent, descents a point, people the attacker has (0: half of all)."""

    steps: int = STEPS
    rounds: int = ROUNDS
    people: int = 0

    def total(self, points: int) -> int:
        """How often ``advance`` is called."""
        return self.steps * self.rounds * points


def split(people: Sequence[str], rows: Sequence[int], own: int = 0) -> tuple[list[int], list[int]]:
    """One image a person: of ``own`` people whom the attacker has (half of all at 0), and of the others; the same each time.

    Raises InvalidRequest for fewer than LEAST_PEOPLE, or if nobody would be left.
    """
    first = {people[row]: row for row in reversed(rows)}
    names = np.random.default_rng(_SEED).permutation(sorted(first))
    if len(names) < LEAST_PEOPLE:
        raise InvalidRequest(f"an attack needs photos of at least {LEAST_PEOPLE} people, and there are {len(names)}")
    train = own or len(names) // 2
    if not STARTS <= train <= len(names) - STARTS:
        raise InvalidRequest(
            f"the attacker may have {STARTS} to {len(names) - STARTS} of {len(names)} people, not {own}"
        )
    return [first[name] for name in names[:train]], [first[name] for name in names[train:]]


def attack(
    module: nn.Module,
    captured: Captured,
    vectors: Mapping[int, Floats],
    people: Sequence[str],
    points: Mapping[str, float],
    advance: Advance,
    *,
    rates: Mapping[str, float] | None = None,
    test: MeanTest | None = None,
    budget: Budget = Budget(),
) -> Attack:
    """The coverage of the best images found, for each operating point anew; ``advance`` is called once a step.

    ``vectors``: unit descriptors by image; ``rates``: the false match rates of the points.
    """
    own, others = split(people, captured.rows, budget.people)
    known, unknown = (
        torch.tensor(np.stack([vectors[row] for row in rows]), dtype=torch.float32) for rows in (own, others)
    )
    pictures = np.stack([captured.pictures[row] for row in own])
    covered = {}
    for name, distance in points.items():
        goal = _Goal(cosine(distance), known, test)
        found = _images(module, pictures, goal, budget, advance)
        made = {k: _covered(goal, found[:k], unknown) for k in SETS}
        rate = (rates or {}).get(name)
        times = made[1].others / rate if rate else None
        covered[name] = Coverage(distance, made, _vector(goal, unknown, found), times)
    return Attack(
        *(len(own), len(others), budget.steps, STARTS, budget.rounds, test is not None),
        covered,
    )


class _Goal:
    """To be near known unit vectors (N, D) by cosine, and to pass the mean test."""

    def __init__(self, least: float, known: Tensor, test: MeanTest | None) -> None:
        self.least, self.known = least, known
        self.mean = torch.tensor(test.mean, dtype=torch.float32) if test is not None else None
        self.limit = test.limit if test is not None else 1.0

    def matches(self, units: Tensor, people: Tensor) -> Bools:
        """Whether each unit vector (B, D) matches each of the people (N, D): (B, N)."""
        found: Tensor = units @ people.T >= self.least
        if self.mean is not None:
            found = found & (units @ self.mean <= self.limit)[:, None]
        return np.asarray(found.numpy())

    def loss(self, units: Tensor, wanted: Tensor, done: float, soft: float) -> Tensor:
        """Small where many of ``wanted`` are matched, counted from ``soft`` on ever more sharply as ``done`` goes from 0 to 1."""
        softness = soft * (_SHARP / soft) ** done * (1 - self.least)
        missed = torch.sigmoid((self.least - units @ wanted.T) / softness).mean(dim=1)
        if self.mean is not None:
            missed = missed + _WEIGHT * functional.relu(units @ self.mean - (self.limit - _MARGIN))
        return missed.sum()


def _images(module: nn.Module, pictures: Pixels, goal: _Goal, budget: Budget, advance: Advance) -> Tensor:
    """Unit descriptors (K, D) of the images made, the best first, each next one for whom those before it leave out."""
    made: list[Tensor] = []
    left: Bools = np.ones(len(goal.known), np.bool_)
    for turn in range(budget.rounds):
        wanted = goal.known[torch.from_numpy(left)] if left.any() else goal.known
        begun = _first_images(pictures, goal.known, wanted, turn)

        def step(images: Tensor, done: float, wanted: Tensor = wanted, soft: float = _SOFT[turn % 2]) -> Tensor:
            advance()
            return goal.loss(_units(module, images), wanted, done, soft)

        images = _descend(begun, step, budget.steps, _RATE).clamp(0, 255).round()
        with torch.no_grad():
            made.append(_units(module, images))
        chosen = _greedy(goal.matches(torch.cat(made), goal.known))
        left = ~np.asarray(goal.matches(torch.cat(made)[chosen], goal.known).any(axis=0))
    found = torch.cat(made)
    return found[_greedy(goal.matches(found, goal.known))]


def _first_images(pictures: Pixels, known: Tensor, wanted: Tensor, turn: int) -> Tensor:
    """Where to start, (STARTS, C, H, W): grey noise, and the attacker's faces that lie nearest to the people wanted."""
    noise = np.random.default_rng((_SEED, turn)).uniform(96, 160, (1, *pictures.shape[1:])).astype(np.float32)
    nearest = (known @ wanted.T).mean(dim=1).argsort(descending=True, stable=True)[: STARTS - 1]
    return torch.from_numpy(np.concatenate([noise, pictures[nearest.numpy()].astype(np.float32)]))


def _units(module: nn.Module, images: Tensor) -> Tensor:
    return functional.normalize(module(images), dim=1)


def _descend(begun: Tensor, loss: Callable[[Tensor, float], Tensor], steps: int, rate: float) -> Tensor:
    """What is begun with, each row moved by itself to where the loss is small, in ever smaller steps.

    The loss counts gradually at first, so that far ones pull too, and nearly as the threshold does in the end.
    """
    moved = begun.clone().requires_grad_(True)
    optimizer = torch.optim.Adam([moved], lr=rate)
    images = begun.ndim == 4
    for step in range(steps):
        done = step / steps
        optimizer.param_groups[0]["lr"] = rate * (1 + math.cos(math.pi * done)) / 2
        optimizer.zero_grad()
        loss(moved, done).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if images:
            with torch.no_grad():
                moved.clamp_(0, 255)
    return moved.detach()


def _greedy(matches: Bools, count: int = 0) -> list[int]:
    """So many rows of (K, N), or all: each next one matches most of whom those before it do not."""
    order: list[int] = []
    left = matches.copy()
    for _ in range(count or len(matches)):
        gains = left.sum(axis=1)
        gains[order] = -1
        order.append(int(gains.argmax()))
        left &= ~matches[order[-1]]
    return order


def _covered(goal: _Goal, units: Tensor, unknown: Tensor) -> Covered:
    return Covered(*(float(goal.matches(units, people).any(axis=0).mean()) for people in (goal.known, unknown)))


def _vector(goal: _Goal, unknown: Tensor, images: Tensor) -> Covered:
    """The best unit vector found for the people known, from each of them and from where the images are.

    What an image could come to that led to any descriptor.
    """
    middle = functional.normalize(goal.known.mean(dim=0, keepdim=True), dim=1)
    begun = torch.cat([images, middle, goal.known])

    found = [images]
    for soft in _SOFT:

        def loss(rows: Tensor, done: float, soft: float = soft) -> Tensor:
            return goal.loss(functional.normalize(rows, dim=1), goal.known, done, soft)

        found.append(functional.normalize(_descend(begun, loss, STEPS, _TURN), dim=1))
    units = torch.cat(found)
    best = _greedy(goal.matches(units, goal.known), 1)
    return _covered(goal, units[best], unknown)
