"""One image that passes as many people: how far it gets against a network whose weights the attacker has.

White box: by gradient descent on pixels within 0 to 255 an image is made whose descriptor lies within a threshold of as many
people's as possible, for people whose photos the attacker has; what counts is how many others it matches whom he has never
seen. The idea is of A. Roy, N. Memon, A. Ross, "MasterPrint", IEEE TIFS 2017; for faces R. Shmelkin, T. Friedlander, L. Wolf,
"Generating master faces for dictionary attacks with a network-assisted latent space evolution", FG 2021.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from visard.errors import InvalidRequest
from visard.owner.evaluation.embed import Advance, Captured, Pixels
from visard.owner.evaluation.metrics import Floats

LEAST_PEOPLE = 20
STEPS = 300
STARTS = 4
_RATE = 4.0  # grey levels a step, at first
_SOFT, _SHARP = 0.25, 0.04  # how gradual the count is, at first and in the end, of the distance
_SEED = 20261126


@dataclass(frozen=True)
class Coverage:
    """At one operating point: the share of people whom the best image found matches, of those it was made for and of others."""

    distance: float
    train: float
    test: float


@dataclass(frozen=True)
class Attack:
    """What was tried: people with a photo each whom the attacker has and has not, steps of descent from each start."""

    train_people: int
    test_people: int
    steps: int
    starts: int
    covered: dict[str, Coverage]


def split(people: Sequence[str], rows: Sequence[int]) -> tuple[list[int], list[int]]:
    """One image a person: of half of the people, whom the attacker has, and of the others; the same each time.

    Raises InvalidRequest for fewer than LEAST_PEOPLE.
    """
    first = {people[row]: row for row in reversed(rows)}
    names = np.random.default_rng(_SEED).permutation(sorted(first))
    if len(names) < LEAST_PEOPLE:
        raise InvalidRequest(f"an attack needs photos of at least {LEAST_PEOPLE} people, and there are {len(names)}")
    train = len(names) // 2
    return [first[name] for name in names[:train]], [first[name] for name in names[train:]]


def attack(
    module: nn.Module,
    captured: Captured,
    vectors: Mapping[int, Floats],
    people: Sequence[str],
    points: Mapping[str, float],
    advance: Advance,
    *,
    steps: int = STEPS,
) -> Attack:
    """The coverage of the best image found, for each operating point anew; ``advance`` is called once a step."""
    own, others = split(people, captured.rows)
    known, unknown = (
        torch.tensor(np.stack([vectors[row] for row in rows]), dtype=torch.float32) for rows in (own, others)
    )
    begun = _first_images(np.stack([captured.pictures[row] for row in own]), known)
    covered = {}
    for name, distance in points.items():
        images = _descend(module, begun, known, distance, steps, advance)
        found = [(_share(module, image, known, distance), _share(module, image, unknown, distance)) for image in images]
        covered[name] = Coverage(distance, *max(found, key=lambda each: each[0]))
    return Attack(len(own), len(others), steps, len(begun), covered)


def _first_images(pictures: Pixels, known: Tensor) -> Tensor:
    """Where to start, (STARTS, C, H, W): grey noise, and the faces whose descriptors lie nearest to the others'."""
    noise = np.random.default_rng(_SEED).uniform(96, 160, (1, *pictures.shape[1:])).astype(np.float32)
    nearest = torch.cdist(known, known).mean(dim=1).argsort(stable=True)[: STARTS - 1]
    return torch.from_numpy(np.concatenate([noise, pictures[nearest.numpy()].astype(np.float32)]))


def _descend(
    module: nn.Module, begun: Tensor, known: Tensor, distance: float, steps: int, advance: Advance
) -> list[Tensor]:
    """Images (C, H, W) of whole grey levels, each moved by itself to where many of ``known`` are within the distance.

    Counts gradually at first, so that far ones pull too, and nearly as the threshold does in the end, in ever smaller steps.
    """
    images = begun.clone().requires_grad_(True)
    optimizer = torch.optim.Adam([images], lr=_RATE)
    for step in range(steps):
        done = step / steps
        optimizer.param_groups[0]["lr"] = _RATE * (1 + math.cos(math.pi * done)) / 2
        softness = _SOFT * (_SHARP / _SOFT) ** done
        missed = torch.sigmoid((torch.cdist(module(images), known) / distance - 1) / softness).mean(dim=1).sum()
        optimizer.zero_grad()
        missed.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        with torch.no_grad():
            images.clamp_(0, 255)
        advance()
    return list(images.detach().round())


def _share(module: nn.Module, image: Tensor, vectors: Tensor, distance: float) -> float:
    """Of these people, the share that the image matches."""
    with torch.no_grad():
        distances = torch.cdist(module(image[None]), vectors)[0]
    return float((distances <= distance).float().mean())
