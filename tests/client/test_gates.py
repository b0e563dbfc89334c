"""Clients refuse photos of poor quality before anything of them is sent, and take them when they are forced to."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from visard import cli
from visard.capture import capture
from visard.client import Connection
from visard.errors import CaptureError, QualityError
from visard.sync import SyncClient
from visard_wire.v1 import common_pb2

from bench.degradations import blurred
from tests.cells import label
from tests.client.double import connected, serving


@pytest.fixture(scope="module")
def blurred_photo(shared: Path) -> np.ndarray:
    """Too blurred for every gate, though a face is seen."""
    chip = capture(shared / "data" / "lfw-dev" / "Tara_Reid" / "Tara_Reid_0001.jpg", largest=True)
    return np.ascontiguousarray(blurred(0.12)(chip.photo, chip))


@pytest.fixture(scope="module")
def turned_face(shared: Path) -> Path:
    """Good enough to be asked about, and not to be enrolled: turned by 47 degrees."""
    return shared / "data" / "lfw-dev" / "Masum_Turker" / "Masum_Turker_0001.jpg"


async def poor_photo__should_not_be_sent_unless_it_is_forced(folder: Path, blurred_photo: np.ndarray) -> None:
    async with connected(folder) as (double, client):
        double.table = ["ann"]
        calls: list[Callable[..., Awaitable[object]]] = [
            lambda **options: client.enrol("ann", [blurred_photo], **options),
            lambda **options: client.verify("ann", blurred_photo, **options),
            lambda **options: client.identify(blurred_photo, **options),
        ]
        for k, call in enumerate(calls):
            with pytest.raises(QualityError, match="blurred"):
                await call()
            assert len(double.received) == k
            await call(force=True)
            assert len(double.received) == k + 1


async def comparison__should_take_photos_as_they_are(folder: Path, blurred_photo: np.ndarray) -> None:
    async with connected(folder) as (_, client):
        assert (await client.compare(blurred_photo, blurred_photo)).match


async def force__should_not_take_what_is_no_usable_face(folder: Path) -> None:
    async with connected(folder) as (double, client):
        with pytest.raises(CaptureError):
            await client.enrol("ann", [np.full((200, 200, 3), 128, np.uint8)], force=True)
    assert not double.received


async def enrolment__should_be_stricter_than_a_probe(folder: Path, turned_face: Path) -> None:
    async with connected(folder) as (double, client):
        await client.verify("ann", turned_face)
        good = turned_face.parents[1] / "Bono" / "Bono_0001.jpg"
        with pytest.raises(
            QualityError, match=r"^photo 2 of 2: .*Masum_Turker_0001\.jpg: the face is turned to the left"
        ):
            await client.enrol("ann", [good, turned_face])
    assert len(double.received) == 1


async def strict_operating_point__should_ask_for_more(folder: Path, turned_face: Path) -> None:
    async with connected(folder) as (double, client):
        double.info.points.extend(
            common_pb2.OperatingPoint(name=name, distance=1.0, false_match_rate=rate)
            for name, rate in (("default", 1e-4), ("strict", 1e-5), ("unmeasured", 0))
        )
        for name in ("", "default", "unmeasured"):
            await client.verify("ann", turned_face, operating_point=name)
        with pytest.raises(QualityError, match="turned to the left"):
            await client.verify("ann", turned_face, operating_point="strict")
        with pytest.raises(QualityError, match="turned to the left"):
            await client.identify(turned_face, operating_point="strict")


async def upload__should_be_refused_likewise(folder: Path, blurred_photo: np.ndarray) -> None:
    async with connected(folder) as (_, client):
        with pytest.raises(QualityError, match="blurred"):
            await client.upload("verify", [blurred_photo], subject="ann")
        assert [message async for message in await client.upload("verify", [blurred_photo], subject="ann", force=True)]
        assert [message async for message in await client.upload("compare", [blurred_photo] * 2)]


async def blocking_client__should_refuse_and_be_forced_likewise(folder: Path, blurred_photo: np.ndarray) -> None:
    def work(connection: Connection) -> None:
        with SyncClient(connection) as client:
            with pytest.raises(QualityError, match="blurred"):
                client.enrol("ann", [blurred_photo])
            assert client.enrol("ann", [blurred_photo], force=True).references
            assert client.verify("ann", blurred_photo, force=True).match
            client.identify(blurred_photo, force=True)
            assert client.upload("enrol", [blurred_photo], subject="ann", force=True)

    async with serving(folder) as (double, connection):
        double.table = ["ann"]
        await asyncio.to_thread(work, connection)


@pytest.mark.parametrize(
    "command", [["enrol", "ann"], ["verify", "ann"], ["identify"], ["upload", "verify", "--subject", "ann"]]
)
async def command__should_end_with_two_and_one_line_unless_it_is_forced(
    command: list[str],
    tmp_path: Path,
    blurred_photo: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "poor.png"
    cv2.imwrite(str(path), blurred_photo[:, :, ::-1])
    monkeypatch.setenv("VISARD_HOME", str(tmp_path))

    def run(*more: str) -> int:
        monkeypatch.setattr(sys, "argv", ["visard", *command, str(path), *more])
        return cli.run()

    async with serving(tmp_path / "certs") as (double, connection):
        (tmp_path / "client.toml").write_text(f'gateway = "{connection.gateway}"\ncerts = "certs"\n')
        double.table, double.found = ["ann"], [[label(1, "ann")], []]
        assert await asyncio.to_thread(run) == 2
        shown = capsys.readouterr()
        assert shown.out == ""
        (line,) = shown.err.splitlines()
        assert line.startswith(f"visard: {path}: the face is blurred (sharpness")
        assert line.endswith("hold still, and let the camera focus")
        assert await asyncio.to_thread(run, "--force") == 0
