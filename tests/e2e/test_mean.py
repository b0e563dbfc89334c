"""A photo that is too much like a model's mean is enrolled by nobody and matches nobody; everybody else's is as before."""

from collections.abc import AsyncIterator

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from visard.capture import Chip
from visard.client import Client, Connection
from visard.cluster import Cluster
from visard.errors import InvalidRequest
from visard.owner import publish
from visard.owner.networks import calibration
from visard.uploads import as_planes

MODEL = "mean"
SHAPE = (3, 12, 12)
AVERAGE, PEOPLE = 9, (1, 2, 3)  # seeds of pictures: one like the mean, and others


def chip(seed: int, noise: int = 0) -> Chip:
    blocks = np.random.default_rng(seed).integers(20, 236, (4, 4, 3))
    plain = np.kron(blocks, np.ones((38, 38, 1)))[:150, :150]
    pixels = (plain + np.random.default_rng(noise).integers(-9, 10, plain.shape)).astype(np.uint8)
    return Chip(pixels, pixels)


def network() -> nn.Module:
    torch.manual_seed(1)
    entry = nn.Conv2d(3, 4, 3)
    entry.weight.data.div_(32)
    made = nn.Sequential(entry, nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(100, 16))
    return made.eval().requires_grad_(False)


def described(*chips: Chip) -> torch.Tensor:
    pixels = np.stack([as_planes(chip.pixels, SHAPE) for chip in chips])
    return functional.normalize(network()(torch.from_numpy(pixels).float()))


@pytest.fixture
async def client(cluster: Cluster) -> AsyncIterator[Client]:
    async with Client(Connection.from_home(cluster.home, "owner"), deadline=120) as owner:
        await publish.publish(owner, MODEL, compiled(), allow_loose=True)
        async with Client(Connection.from_home(cluster.home), model=MODEL, deadline=120) as client:
            yield client
        await owner.models.withdraw(MODEL)


def compiled() -> publish.Compiled:
    mean, *others = described(chip(AVERAGE), *map(chip, PEOPLE)).double().numpy()
    nearest = max(float(one @ mean) for one in others)
    assert nearest < 0.98
    made: publish.Compiled = publish.compiler()(
        network(),
        SHAPE,
        q=31,
        calibration=calibration.patterns(SHAPE),
        operating_points={"default": float(np.sqrt(2 - 2 * (1 + nearest) / 2))},
        mean=np.rint(mean * 2**14).astype(int).tolist(),
        mean_limit=(1 + nearest) / 2,
    )
    return made


async def photo_like_the_mean__should_not_be_enrolled(client: Client) -> None:
    for unique in (False, True):
        for photos in ([chip(AVERAGE, 1)], [chip(1), chip(AVERAGE, 2)]):
            with pytest.raises(InvalidRequest, match="average face"):
                await client.enrol("somebody", photos, unique=unique)
    assert await client.subjects() == []


async def photo_like_the_mean__should_match_nobody_and_nothing(client: Client) -> None:
    await client.enrol("one", [chip(1), chip(1, 1)], unique=True)
    await client.enrol("two", [chip(2)])
    try:
        assert (await client.verify("one", chip(1, 2))).match
        assert not (await client.verify("one", chip(3))).match
        assert not (await client.verify("one", chip(AVERAGE))).match
        assert (await client.identify(chip(2, 1), operating_point="default")).subject == "two"
        assert (await client.identify(chip(AVERAGE), operating_point="default")).subject is None
        assert (await client.compare(chip(3), chip(3, 1))).match
        assert not (await client.compare(chip(AVERAGE), chip(AVERAGE, 1))).match
        for photos in ((chip(AVERAGE), chip(3)), (chip(3), chip(AVERAGE))):
            assert not (await client.compare(*photos)).match
    finally:
        for subject in ("one", "two"):
            await client.delete(subject)
