"""Whoever sees the features of an early layer sees the face, also of people he has never seen: so no layer is ever opened."""

from pathlib import Path

import numpy as np
import pytest
import torch
from visard.owner import bring
from visard.owner.evaluation import inversion
from visard.owner.training import faces
from visard.uploads import as_planes

LAYER_3, LAYER_17 = "blocks.0", "blocks.7"


@pytest.fixture(scope="module")
def people(shared: Path) -> tuple[np.ndarray, np.ndarray]:
    """30 pictures of 15 people, and 6 of others, as the face network takes them."""
    found = faces.read_faces(shared / "data" / "orl")
    pictures = np.stack([as_planes(np.ascontiguousarray(p.transpose(1, 2, 0)), (3, 150, 150)) for p in found.pictures])
    return pictures[:150:5], pictures[200:380:30]


def features__should_be_those_of_the_named_modules() -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(72, 5))
    picture = np.arange(64, dtype=np.uint8).reshape(1, 1, 8, 8)
    found = inversion.features(network, ["1", "3"], picture)
    assert [tuple(tapped.shape) for tapped in found.values()] == [(1, 2, 6, 6), (1, 5, 1, 1)]
    assert torch.equal(found["1"], torch.relu(network[0](torch.from_numpy(picture).float())))
    assert not any(module._forward_hooks for module in network.modules())


def picture_itself__should_be_reconstructed_from_itself() -> None:
    network = torch.nn.Sequential(torch.nn.Identity())
    pictures = np.random.default_rng(0).integers(0, 256, (4, 3, 20, 20)).astype(np.uint8)
    inverse = inversion.fit(network, ["0"], pictures[:3])["0"]
    made = inverse(torch.from_numpy(pictures[3]).float())
    assert np.abs(made.astype(int) - pictures[3]).max() <= 2


def opened_layers__should_show_faces_of_people_never_seen(people: tuple[np.ndarray, np.ndarray]) -> None:
    own, victims = people
    network = bring.load("face-small").module
    inverses = inversion.fit(network, [LAYER_3, LAYER_17], own)
    found: dict[str, list[float]] = {LAYER_3: [], LAYER_17: []}
    for picture in victims:
        for name, tapped in inversion.features(network, found, picture[None]).items():
            made = inverses[name](tapped[0])
            found[name].append(inversion.correlation(made - own.mean(axis=0), picture - own.mean(axis=0)))
    assert min(found[LAYER_3]) > 0.7  # the average picture has 0
    assert np.mean(found[LAYER_3]) > np.mean(found[LAYER_17]) + 0.1
