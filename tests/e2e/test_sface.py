"""SFace through the services: who is enrolled is found, and who is not is not, as the network that is published says in float."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional
from visard.capture import Chip, capture, chip_pixels
from visard.client import Client, Connection
from visard.cluster import Cluster
from visard.owner import linear
from visard.owner.networks import sface
from visard.owner.networks.faces import face_network
from visard.owner.networks.names import FACE

from tests.e2e.test_cli import visard

MODEL = "sface"
PEOPLE, STRANGERS = 8, 5  # of these a share, but in make test-long


@pytest.fixture(scope="module")
def published(cluster: Cluster) -> Iterator[Cluster]:
    """SFace, as its owner publishes it; withdrawn afterwards."""
    done = visard(cluster, "model", "publish", MODEL)
    assert done.returncode == 0, done.stderr
    yield cluster
    assert visard(cluster, "model", "delete", MODEL).returncode == 0


@pytest.fixture(scope="module")
def faces(shared: Path) -> list[tuple[str, Chip]]:
    """Two photos of each of the people, then one of each stranger: 21 faces of LFW, with their names."""
    home = shared / "data" / "lfw-dev"
    folders = sorted(path for path in home.iterdir() if path.is_dir())
    several = [path for path in folders if len(list(path.glob("*.jpg"))) > 1][:PEOPLE]
    alone = [path for path in folders if len(list(path.glob("*.jpg"))) == 1][:STRANGERS]
    files = [file for path in several for file in sorted(path.glob("*.jpg"))[:2]]
    files += [next(path.glob("*.jpg")) for path in alone]
    return [(file.parent.name, capture(file, largest=True)) for file in files]


def cosines(faces: list[tuple[str, Chip]]) -> tuple[np.ndarray, np.ndarray]:
    """Between all faces, and of each to the mean, in floating point: of the network with the lines that it is published with."""
    chips = np.stack([chip_pixels(chip, sface.CHIP).transpose(2, 0, 1) for _, chip in faces])
    network = linear.published(sface.load(), face_network(FACE))
    found = functional.normalize(network(torch.from_numpy(chips).float())).numpy()
    return found @ found.T, found @ np.array(sface.MEAN, np.float32)


@pytest.mark.timeout(1800)  # 21 photos and a compilation, which wait for others on a busy machine
@pytest.mark.parametrize(
    ("people", "strangers"), [(3, 2), pytest.param(PEOPLE, STRANGERS, marks=pytest.mark.long)], ids=["8", "21"]
)
async def faces__should_be_decided_as_in_float(
    published: Cluster, faces: list[tuple[str, Chip]], people: int, strangers: int
) -> None:
    """One search compares a photo with everybody: of 21 faces 13 times, 104 comparisons; the nearest must be the right one."""
    between, to_mean = cosines(faces)
    assert len(faces) == 21
    assert (to_mean < sface.MEAN_LIMIT).all()
    first = 2 * PEOPLE
    enrolled, probes = range(0, 2 * people, 2), [*range(1, 2 * people, 2), *range(first, first + strangers)]
    limit = 1 - sface.OPERATING_POINTS["default"] ** 2 / 2
    nearest = [max(enrolled, key=lambda other: between[k, other]) for k in probes]
    expected = [faces[i][0] if between[k, i] >= limit else None for k, i in zip(probes, nearest, strict=True)]
    async with Client(Connection.from_home(published.home), model=MODEL, deadline=300) as client:
        try:
            for k in enrolled:
                await client.enrol(faces[k][0], [faces[k][1]])
            found = [await client.identify(faces[k][1], operating_point="default") for k in probes]
        finally:
            for subject in await client.subjects():
                await client.delete(subject.subject)
    assert [answer.subject for answer in found] == expected
    assert sum(answer.subject is not None for answer in found) >= people - 1


@pytest.mark.timeout(1800)
async def photo__should_move_its_subject_from_one_face_network_to_the_other(
    published: Cluster, photos: dict[str, Path]
) -> None:
    """Both networks of visard, from dlib's to SFace: two cuts of one photo in one upload."""
    to = ("--to", MODEL)
    async with Client(Connection.from_home(published.home), deadline=300) as client:
        await client.enrol("obama", [photos["obama"]])
        try:
            refused = visard(published, "migrate", "obama", str(photos["biden"]), *to)
            assert (refused.returncode, refused.stdout.partition(" (")[0]) == (1, "no match: nothing was stored")
            left = visard(published, "model", "status", *to)
            assert (left.returncode, left.stdout.splitlines()[-1]) == (1, f"left to move to {MODEL}: 1: obama")
            moved = visard(published, "migrate", "obama", str(photos["obama2"]), *to)
            assert moved.returncode == 0, moved.stderr
            assert moved.stdout.startswith(f"moved obama to {MODEL}; with face: 1 references erased")
            counted = visard(published, "model", "status").stdout.splitlines()
            assert {f"{MODEL}\t1\t1", "face\t0\t0"} <= set(counted)
            found = await client.identify(photos["obama"], models=["face", MODEL], operating_point="default")
            assert [(one.subject, one.model) for one in found.candidates] == [("obama", MODEL)]
            client.model = MODEL
            assert (await client.verify("obama", photos["obama"])).match
            assert not (await client.verify("obama", photos["biden"])).match
        finally:
            for client.model in ("face", MODEL):
                for subject in await client.subjects():
                    await client.delete(subject.subject)
