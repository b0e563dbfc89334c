"""While people are enrolled and deleted, each search is right for some moment between its start and its end."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from visard.capture import Chip
from visard.client import Client, Connection
from visard.cluster import Cluster
from visard.owner import publish
from visard.owner.networks import calibration
from visard.uploads import as_planes

MODEL = "coming-and-going"
SHAPE = (3, 12, 12)
FACES = (1, 2, 3, 4)  # seeds of pictures
OTHER = 5  # of somebody who stays, and whom nobody searches for: an empty gallery is refused
ALIKE = 3  # subjects that have each face: what a search finds is a set
SEARCHERS = 2


def chip(face: int, noise: int) -> Chip:
    blocks = np.random.default_rng(face).integers(20, 236, (4, 4, 3))
    plain = np.kron(blocks, np.ones((38, 38, 1)))[:150, :150]
    pixels = (plain + np.random.default_rng(noise).integers(-5, 6, plain.shape)).astype(np.uint8)
    return Chip(pixels, pixels)


def network() -> nn.Module:
    torch.manual_seed(1)
    entry = nn.Conv2d(3, 4, 3)
    entry.weight.data.div_(32)
    made = nn.Sequential(entry, nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(100, 16))
    return made.eval().requires_grad_(False)


def compiled() -> publish.Compiled:
    """With a threshold half way between photos of one face and the nearest two faces."""
    pixels = np.stack([as_planes(chip(face, noise).pixels, SHAPE) for face in (*FACES, OTHER) for noise in (1, 2)])
    found = functional.normalize(network()(torch.from_numpy(pixels).float())).double().numpy()
    cosines = found @ found.T
    same = np.kron(np.eye(len(FACES) + 1), np.ones((2, 2))).astype(bool)
    least, most = cosines[same].min(), cosines[~same].max()
    assert most < least
    made: publish.Compiled = publish.compiler()(
        network(),
        SHAPE,
        q=31,
        calibration=calibration.patterns(SHAPE),
        operating_points={"default": float(np.sqrt(2 - least - most))},
    )
    return made


@pytest.fixture
async def client(cluster: Cluster) -> AsyncIterator[Client]:
    async with Client(Connection.from_home(cluster.home, "owner"), deadline=120) as owner:
        await publish.publish(owner, MODEL, compiled(), allow_loose=True)
        async with Client(Connection.from_home(cluster.home), model=MODEL, deadline=120) as client:
            yield client
            for who in await client.subjects():
                await client.delete(who.subject)
        await owner.models.withdraw(MODEL)


@dataclass
class Gallery:
    """Who is enrolled after each change, and when the changes were asked for and answered."""

    states: list[frozenset[str]] = field(default_factory=lambda: [frozenset()])
    asked: list[float] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)

    @contextmanager
    def changing(self, after: frozenset[str]) -> Iterator[None]:
        """A change is asked for, and answered: one after the other."""
        self.states.append(after)
        self.asked.append(time.monotonic())
        yield
        self.answered.append(time.monotonic())

    def between(self, start: float, end: float) -> Sequence[frozenset[str]]:
        """Who may have been enrolled at some moment then."""
        first, last = sum(t < start for t in self.answered), sum(t <= end for t in self.asked)
        return self.states[first : last + 1]


async def _changes(client: Client, gallery: Gallery, count: int) -> None:
    chance = random.Random(3)
    everybody = [f"{face}-{k}" for face in FACES for k in range(ALIKE)]
    for n in range(count):
        who, before = chance.choice(everybody), gallery.states[-1]
        with gallery.changing(before ^ {who}):
            if who in before:
                await client.delete(who)
            else:
                await client.enrol(who, [chip(int(who[0]), 100 + n)])


@dataclass(frozen=True)
class Search:
    """A face that was searched for, when, and who was found."""

    face: int
    start: float
    end: float
    found: frozenset[str]


async def _searches(client: Client, numbers: Iterator[int], enough: int) -> list[Search]:
    made = []
    for n in numbers:
        if n >= enough:
            break
        face, start = FACES[n % len(FACES)], time.monotonic()
        answer = await client.identify(chip(face, 10_000 + n), operating_point="default")
        assert not answer.more
        found = frozenset(one.subject for one in answer.candidates)
        made.append(Search(face, start, time.monotonic(), found))
    return made


# 200 take some minutes
@pytest.mark.parametrize("count", [16, pytest.param(200, marks=pytest.mark.long)])
async def search_while_others_come_and_go__should_be_right_for_some_moment(client: Client, count: int) -> None:
    gallery, numbers = Gallery(), iter(range(count))
    await client.enrol("other", [chip(OTHER, 1)])
    changing = asyncio.create_task(_changes(client, gallery, count))
    searching = [asyncio.create_task(_searches(client, numbers, count)) for _ in range(SEARCHERS)]
    await changing
    searches = [search for made in await asyncio.gather(*searching) for search in made]
    assert len(searches) == count
    for search in searches:
        possible = gallery.between(search.start, search.end)
        alike = [frozenset(who for who in state if who.startswith(f"{search.face}-")) for state in possible]
        assert search.found in alike, search
