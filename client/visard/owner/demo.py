"""The demonstration: real photos through real services, and a picture of what each of them sees."""

import asyncio
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from visard import owner
from visard.capture import Chip, Picture, capture, chip_pixels
from visard.client import DEFAULT_MODEL, Client, Connection
from visard.cluster import Cluster
from visard.errors import InvalidRequest
from visard.owner.networks.names import FACE, FACE_CHIP, FACE_SMALL
from visard.results import Report
from visard.sharing import share

SUBJECT = "demo-subject"
OTHERS = ("demo-passer-by",)
PHOTOS = tuple(Path(".photos") / name for name in ("obama.jpg", "obama2.jpg", "biden.jpg"))
DEMO_PORT = 7400
_TILE = 150


@dataclass(frozen=True)
class DemoResult:
    """What happened, and what it cost. ``decisions_equal_float``: every answer is that of the float network."""

    match: bool
    stranger_match: bool
    identified: str | None
    decisions_equal_float: bool
    verify_seconds: float
    sent_mb_per_party: float
    kit_mb: float
    rounds: int

    @property
    def as_expected(self) -> bool:
        """Whether the same person matched, the stranger did not, and the float network says the same."""
        return self.match and not self.stranger_match and self.identified == SUBJECT and self.decisions_equal_float


Steps = list[tuple[str, str, Report]]  # what was done, its answer, and what it cost
Progress = Callable[[str], AbstractContextManager[None]]  # around work that takes a while, with what is done


def play(photos: Sequence[Path], home: Path | None, picture: Path, progress: Progress) -> tuple[DemoResult, Steps]:
    """Run the demonstration on three photos (a person, the same person, a stranger), or on the usual ones.

    ``home`` is that of running services; without it five are started, and stopped afterwards. Writes ``picture``, a PNG.
    Raises InvalidRequest for photos that are not there, CaptureError for those that cannot be used, ServiceError.
    """
    first, second, stranger = _three(photos or PHOTOS)
    chips = [capture(photo, largest=True) for photo in (first, second, stranger)]
    picture.write_bytes(draw(chips[0]))
    with _services(home, progress) as connected:
        return asyncio.run(_play(connected, chips, progress))


def _three(photos: Sequence[Path]) -> tuple[Path, Path, Path]:
    if len(photos) != 3:
        raise InvalidRequest("three photos are needed: a person, the same person again, and a stranger")
    missing = [photo for photo in photos if not photo.exists()]
    if missing:
        raise InvalidRequest(f"{missing[0]} does not exist: name three photos, or fetch the usual ones with make demo")
    return photos[0], photos[1], photos[2]


@contextmanager
def _services(home: Path | None, progress: Progress) -> Iterator[Path]:
    """The home of running services: the given one, or of our own for as long as this takes."""
    if home is not None and (home / "client.toml").exists():
        yield home
        return
    with tempfile.TemporaryDirectory(prefix="visard-demo-") as directory:
        cluster = Cluster(Path(directory), DEMO_PORT)
        cluster.prepare()
        try:
            with progress("starting gateway, dealer and three parties (compiles kernels the first time)"):
                cluster.start()
            yield cluster.home
        finally:
            cluster.stop()


async def _play(home: Path, chips: list[Chip], progress: Progress) -> tuple[DemoResult, Steps]:
    first, second, stranger = chips
    await _publish(home, progress)
    async with Client(Connection.from_home(home)) as client:
        for subject in (SUBJECT, *OTHERS):  # leftovers of a demonstration that was interrupted
            if subject in {found.subject for found in await client.subjects()}:
                await client.delete(subject)
        chip = (await client.models.info()).chip
        with progress("enrolling, verifying, identifying"):
            enrolled = await client.enrol(SUBJECT, [first])
            await client.enrol(OTHERS[0], [stranger])
            same = await client.verify(SUBJECT, second)
            started = time.monotonic()
            again = await client.verify(SUBJECT, second)  # warm
            seconds = time.monotonic() - started
            other = await client.verify(SUBJECT, stranger)
            identified = await client.identify(second)
            for subject in (SUBJECT, *OTHERS):
                await client.delete(subject)
    decisions = (same.match, again.match, other.match, identified.subject == SUBJECT)
    result = DemoResult(
        match=same.match,
        stranger_match=other.match,
        identified=identified.subject,
        decisions_equal_float=decisions == owner.plain.decisions(chips, _network(chip)),
        verify_seconds=round(seconds, 3),
        sent_mb_per_party=round(again.report.sent_mb_per_party, 3),
        kit_mb=round(again.report.kit_mb, 3),
        rounds=again.report.rounds,
    )
    steps = [
        ("enrol a photo", f"{len(enrolled.references)} reference stored, as shares", enrolled.report),
        ("verify another photo", _words(same.match), again.report),
        ("verify a stranger", _words(other.match), other.report),
        ("identify among 2", identified.subject or "nobody", identified.report),
    ]
    return result, steps


async def _publish(home: Path, progress: Progress) -> None:
    async with Client(Connection.from_home(home, "owner")) as client:
        if DEFAULT_MODEL not in {model.name for model in await client.models.list()}:
            with progress("publishing the face network: its weights are shared as well"):
                owner.threads.single()
                compiled = await asyncio.to_thread(owner.publish.compile_face_model)
                await owner.publish.publish(client, DEFAULT_MODEL, compiled)


def _network(chip: str) -> str:
    """Which of the face networks is published, by what chip it wants."""
    return FACE if chip == FACE_CHIP else FACE_SMALL


def draw(chip: Chip) -> bytes:
    """A PNG: the photo, the face as it is cut for SFace, and the three shares of that, which are noise."""
    height, width = chip.photo.shape[:2]
    size = (_TILE * width // height, _TILE)
    photo = np.asarray(cv2.resize(chip.photo, size, interpolation=cv2.INTER_AREA), np.uint8)
    pixels = chip_pixels(chip, FACE_CHIP)
    squares = [pixels, *((part >> 23).astype(np.uint8) for part in share(pixels.astype(np.int64), 31))]
    enlarged = [cv2.resize(square, (_TILE, _TILE), interpolation=cv2.INTER_NEAREST) for square in squares]
    tiles: list[Picture] = [photo, *(np.asarray(square, np.uint8) for square in enlarged)]
    gap = np.full((_TILE, 8, 3), 255, np.uint8)
    row = np.concatenate([part for tile in tiles for part in (tile, gap)][:-1], axis=1)
    done, png = cv2.imencode(".png", cv2.cvtColor(row, cv2.COLOR_RGB2BGR))
    assert done
    return png.tobytes()


def _words(match: bool) -> str:
    return "match" if match else "no match"
