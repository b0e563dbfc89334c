"""One image that passes as many people: how far it gets against a network whose weights the attacker has.

White box: by gradient descent on pixels within 0 to 255 an image is made whose descriptor lies within a threshold of as many
people's as possible, for people whose photos the attacker has; what counts is how many others it matches whom he has never
seen. The idea is of A. Roy, N. Memon, A. Ross, "MasterPrint", IEEE TIFS 2017; for faces R. Shmelkin, T. Friedlander, L. Wolf,
"Generating master faces for dictionary attacks with a network-assisted latent space evolution", FG 2021.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from visard.errors import InvalidRequest
from visard.evaluation.embed import Advance, Captured
from visard.evaluation.metrics import Floats

LEAST_PEOPLE = 20
STEPS = 400
_RATE = 4.0  # grey levels a step
_SOFTNESS = 0.03  # of the threshold: how sharply a match is told from none while descending
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
    starts = _starts(captured, own)
    covered = {}
    for name, distance in points.items():
        best = max(
            (_descend(module, start, known, distance, steps, advance) for start in starts), key=lambda found: found[0]
        )
        image = best[1]
        covered[name] = Coverage(
            distance, _share(module, image, known, distance), _share(module, image, unknown, distance)
        )
    return Attack(len(own), len(others), steps, len(starts), covered)


def _starts(captured: Captured, own: Sequence[int]) -> list[Tensor]:
    """The mean of the attacker's photos, and grey noise."""
    photos = np.stack([captured.pictures[row] for row in own]).astype(np.float32)
    noise = np.random.default_rng(_SEED).uniform(96, 160, photos.shape[1:]).astype(np.float32)
    return [torch.from_numpy(photos.mean(axis=0)), torch.from_numpy(noise)]


def _descend(
    module: nn.Module, start: Tensor, known: Tensor, distance: float, steps: int, advance: Advance
) -> tuple[float, Tensor]:
    """The image with the largest coverage of ``known`` on the way, and that coverage."""
    image = start.clone().requires_grad_(True)
    optimizer = torch.optim.Adam([image], lr=_RATE)
    best, found = -1.0, start
    for _ in range(steps):
        distances = torch.cdist(module(image[None]), known)[0]
        share = float((distances <= distance).float().mean())
        if share > best:
            best, found = share, image.detach().clone()
        # a smooth count of those who are not matched: far ones pull little, those at the threshold most
        loss = torch.sigmoid((distances - distance) / (_SOFTNESS + 0.25 * distance)).sum()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        with torch.no_grad():
            image.clamp_(0, 255)
        advance()
    return best, found


def _share(module: nn.Module, image: Tensor, vectors: Tensor, distance: float) -> float:
    """Of these people, how many the image matches, rounded to whole grey levels as it would be sent."""
    pixels: npt.NDArray[np.uint8] = image.round().clamp(0, 255).to(torch.uint8).numpy()
    with torch.no_grad():
        distances = torch.cdist(module(torch.from_numpy(pixels[None]).float()), vectors)[0]
    return float((distances <= distance).float().mean())
